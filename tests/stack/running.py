"""A server that runs for a test: the real launcher, on free ports, in a workspace of its own."""

import getpass
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, cast

import psutil
import pytest
import redis
import requests
from filelock import FileLock, Timeout

from elephant_server.deploy.preflight import find_programs
from elephant_server.errors import StackError
from elephant_server.settings import Settings

START_SECONDS = 180.0
STOP_SECONDS = 60.0
ADDRESS_LINE = "press Ctrl-C to stop"
STACK = "elephant_server.deploy"
# Fixtures that give servers to a set of files that run one after the other; in another set they are made anew.
ENDING_WITH_THEIR_SET: list[Any] = []


def require_programs() -> None:
    """Skip what needs the services of the whole stack where they are not installed; the project's checks never do."""
    try:
        find_programs(Settings())
    except StackError as error:
        leave = pytest.fail if os.environ.get("ELEPHANT_TEST_STACK") == "required" else pytest.skip
        leave(" ".join(str(error).split()))


_reserved: dict[int, FileLock] = {}


def free_ports(count: int) -> list[int]:
    """Return ports that nothing listens on at the moment, and that no other process of the tests is given.

    They lie below those that launchers take for themselves: a program that is being started again must find its own.
    """
    folder = Path(tempfile.gettempdir()) / f"elephant-test-ports-{getpass.getuser()}"
    folder.mkdir(exist_ok=True)
    first = os.getpid() * 20 % 9000
    free = (10000 + (first + i) % 10000 for i in range(10000))
    found = list(islice((port for port in free if _is_free(port) and _reserve(port, folder)), count))
    assert len(found) == count, "no free ports"
    return found


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _reserve(port: int, folder: Path) -> bool:
    """Keep a port from other processes until this one ends."""
    if port in _reserved:
        return False
    lock = FileLock(folder / str(port))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return False
    _reserved[port] = lock
    return True


def settings_of(folder: Path) -> dict[str, str]:
    """Return the variables of a server in ``folder``."""
    http, redis, rabbitmq = free_ports(3)
    return {
        "ELEPHANT_HTTP_PORT": str(http),
        "ELEPHANT_REDIS_PORT": str(redis),
        "ELEPHANT_RABBITMQ_NODE_PORT": str(rabbitmq),
        "ELEPHANT_WORKSPACE": str(folder / "workspace"),
        "ELEPHANT_PRETRAINED_URL": "",
    }


def is_one_process(server: "RunningServer") -> bool:
    """Tell whether a server is the one of ``make serve``, and not the whole stack."""
    return "elephant_server.embedded" in cast("list[str]", server.process.args)


def wait_until(condition: Callable[[], object], seconds: float, what: str) -> None:
    """Return when ``condition`` holds; fail after ``seconds``, which is generous."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds:.0f} s for {what}"
        time.sleep(0.1)


def lives(process: psutil.Process) -> bool:
    """Tell whether a process is still there, and not just waited for."""
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


@dataclass
class RunningServer:
    """A launcher that was started, and what it started."""

    values: Mapping[str, str]
    folder: Path
    process: subprocess.Popen[bytes]

    @classmethod
    def start(
        cls,
        folder: Path,
        values: Mapping[str, str],
        *,
        variables: Mapping[str, str] | None = None,
        python: str = sys.executable,
        module: str = STACK,
    ) -> "RunningServer":
        """Start the launcher in ``folder``, or another kind of server.

        ``values`` say where it serves; they are its variables, unless ``variables`` are given in their place.
        """
        if module == STACK:
            require_programs()
        folder.mkdir(parents=True, exist_ok=True)
        kept = _without_settings()
        with (folder / "output.txt").open("wb") as output:
            process = subprocess.Popen(
                [python, "-m", module],
                cwd=folder,
                env=kept | dict(values if variables is None else variables),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return cls(values, folder, process)

    @property
    def base_url(self) -> str:
        """What the client is given, with a slash at its end; it carries the token, where one is required."""
        scheme = "https" if "ELEPHANT_TLS_CERT" in self.values else "http"
        return f"{scheme}://localhost:{self.http_port}/" + (f"t/{self.token}/" if self.token else "")

    @property
    def token(self) -> str:
        """The token that is good now."""
        file = Path(self.values.get("ELEPHANT_TOKEN_FILE", self.workspace / ".run" / "token"))
        return file.read_text().strip() if file.exists() else self.values.get("ELEPHANT_TOKEN", "")

    def redis(self, database: int = 0) -> "redis.Redis[str]":
        """Return a connection to its Redis: the job store, or the queues with database 1."""
        made = self.workspace / ".run" / "redis.password"
        password = self.values.get("ELEPHANT_REDIS_PASSWORD") or made.read_text().strip()
        return redis.Redis(
            port=self.redis_port, db=database, password=password, decode_responses=True, socket_timeout=5
        )

    @property
    def rabbitmq_password(self) -> str:
        """What the client is given beside the user."""
        made = self.workspace / ".run" / "rabbitmq.password"
        return made.read_text().strip() if made.exists() else self.values.get("ELEPHANT_RABBITMQ_PASSWORD", "user")

    @property
    def http_port(self) -> int:
        return int(self.values["ELEPHANT_HTTP_PORT"])

    @property
    def redis_port(self) -> int:
        return int(self.values["ELEPHANT_REDIS_PORT"])

    @property
    def rabbitmq_port(self) -> int:
        return int(self.values["ELEPHANT_RABBITMQ_NODE_PORT"])

    @property
    def workspace(self) -> Path:
        return Path(self.values["ELEPHANT_WORKSPACE"])

    @property
    def run_dir(self) -> Path:
        """Where it runs: a machine of several has a folder of its own."""
        if "ELEPHANT_RUN_DIR" in self.values:
            return Path(self.values["ELEPHANT_RUN_DIR"])
        return self.workspace / ".run" / self.values.get("ELEPHANT_MACHINE", "")

    @property
    def service_logs(self) -> Path:
        return self.run_dir / "logs"

    def ask(self, option: str) -> str:
        """Return what the launcher's command prints about this server when it is asked with an option."""
        command, variables = [sys.executable, "-m", "elephant_server.deploy", option], _without_settings()
        return subprocess.run(
            command, cwd=self.folder, env=variables | dict(self.values), capture_output=True, text=True, check=True
        ).stdout

    def output(self) -> str:
        """Return what the launcher has printed."""
        return (self.folder / "output.txt").read_text()

    def wait_until_serving(self) -> "RunningServer":
        """Return when the launcher says that it serves; fail with what it printed when it ends instead."""
        wait_until(
            lambda: ADDRESS_LINE in self.output() or self.process.poll() is not None, START_SECONDS, "the address"
        )
        assert self.process.poll() is None, self.output()
        return self

    def answers(self) -> bool:
        """Say whether the server answers as a client's polling needs it."""
        try:
            return requests.get(self.base_url + "state/gpus", timeout=60).status_code == requests.codes.ok
        except requests.RequestException:
            return False

    def processes(self) -> list[psutil.Process]:
        """Return every process that this server started and that is still there, known by its working folder."""
        run = str(self.run_dir)
        return [
            process for process in psutil.process_iter() if _cwd(process) == run and process.pid != self.process.pid
        ]

    def listening(self) -> set[tuple[str, int]]:
        """Return the addresses and ports on which its processes listen."""
        connections = [found for process in self.processes() for found in _connections(process)]
        return {(c.laddr.ip, c.laddr.port) for c in connections if c.status == psutil.CONN_LISTEN}

    def listens(self, port: int) -> bool:
        """Say whether one of its processes listens on a port."""
        return port in {found for _, found in self.listening()}

    def pid(self, name: str) -> int:
        """Return the process of a program, such as ``training`` or ``answering``; 0 where there is none."""
        mark = {
            "training": "training@",
            "answering": "answering@",
            "answering-2": "answering-2@",
            "redis": "redis-server",
            "rabbitmq": "beam.smp",
            "nginx": "nginx",
            "uwsgi": "elephant_server.wsgi:application",
        }[name]
        found = [process for process in self.processes() if mark in _first_words(process)]
        # The oldest: uWSGI's and Redis' own children have the same words.
        return min(found, key=lambda process: process.create_time()).pid if found else 0

    def stop(self, number: signal.Signals = signal.SIGINT) -> int:
        """End the server and return the launcher's exit status."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            return self.process.wait(STOP_SECONDS)
        finally:
            self.process.kill()
            self.process.wait()


def _without_settings() -> dict[str, str]:
    """Return this process's variables without those that are settings of a server."""
    users = {f"{who}_{what}" for who in ("LOCAL", "SUDO") for what in ("UID", "GID")}
    return {name: value for name, value in os.environ.items() if not name.startswith("ELEPHANT_") and name not in users}


def _cwd(process: psutil.Process) -> str:
    try:
        return "" if process.status() == psutil.STATUS_ZOMBIE else process.cwd()
    except psutil.Error:
        return ""


def _connections(process: psutil.Process) -> list[Any]:
    try:
        return list(process.net_connections("tcp"))
    except psutil.Error:
        return []


def _first_words(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""
