"""A real server in a workspace of its own, driven as the client does."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from elephant.progress import NoReporter
from elephant_server.client import Client

EMBEDDED, STACK = "elephant_server.embedded", "elephant_server.deploy"
_ADDRESS_LINE = "press Ctrl-C to stop"
_START_S, _STOP_S = 180.0, 60.0
_PORTS = ("ELEPHANT_HTTP_PORT", "ELEPHANT_REDIS_PORT", "ELEPHANT_RABBITMQ_NODE_PORT")


@dataclass(frozen=True)
class Server:
    """A server that runs."""

    process: "subprocess.Popen[bytes]"
    workspace: Path
    client: Client
    host: str
    port: int

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Return the answer to a request; an error ends the benchmark."""
        found: dict[str, Any] = self.client.post(path, body)
        return found

    def processes(self) -> list[psutil.Process]:
        """Return all that it consists of."""
        launcher = psutil.Process(self.process.pid)
        return [launcher, *launcher.children(recursive=True)]

    def cpu_seconds(self) -> float:
        """Return the processor time that its processes have taken."""
        return sum(sum(process.cpu_times()[:2]) for process in self.processes())


@contextmanager
def serve(folder: Path, *, stack: bool = False, variables: Mapping[str, str] | None = None) -> Iterator[Server]:
    """Start a server on free ports, with variables of the environment if they are given, and end it after the block.

    Unless they say otherwise, it computes each prediction anew: what is timed is asked for again and again.
    """
    folder.mkdir(parents=True, exist_ok=True)
    workspace = folder / "workspace"
    ports = _free_ports(len(_PORTS))
    values = {name: str(port) for name, port in zip(_PORTS, ports, strict=True)}
    values |= {"ELEPHANT_WORKSPACE": str(workspace), "ELEPHANT_PRETRAINED_URL": ""}
    values |= {"ELEPHANT_KEEP_PREDICTIONS_GIB": "0", **(variables or {})}
    plain = {name: value for name, value in os.environ.items() if not name.startswith("ELEPHANT_")}
    output = folder / "server.txt"
    with output.open("wb") as file:
        process = subprocess.Popen(  # noqa: S603 - ourselves
            [sys.executable, "-m", STACK if stack else EMBEDDED],
            cwd=folder,
            env=plain | values,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        _wait(process, output)
        client = Client(f"http://127.0.0.1:{ports[0]}/", progress=NoReporter())
        yield Server(process, workspace, client, "127.0.0.1", ports[0])
    finally:
        _end(process)


def _wait(process: "subprocess.Popen[bytes]", output: Path) -> None:
    deadline = time.monotonic() + _START_S
    while _ADDRESS_LINE not in output.read_text(encoding="utf-8", errors="replace"):
        assert process.poll() is None, output.read_text(encoding="utf-8")
        assert time.monotonic() < deadline, f"the server does not serve after {_START_S:.0f} s: see {output}"
        time.sleep(0.05)


def _end(process: "subprocess.Popen[bytes]") -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
    try:
        process.wait(_STOP_S)
    finally:
        process.kill()
        process.wait()


def _free_ports(count: int) -> list[int]:
    """Return ports that nothing listens on; all are held until all are found."""
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]
    finally:
        for probe in probes:
            probe.close()
