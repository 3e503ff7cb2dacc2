"""Supervisord as a child of the launcher: start it, watch its programs, stop everything."""

import contextlib
import os
import subprocess
import sys
import time
import xmlrpc.client
from collections import defaultdict, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from elephant.errors import reason_of
from elephant_server.errors import StackError

GUARD = Path(__file__).with_name("guard.py")

# As in guard.py, which imports nothing of ours.
_PARENT = "GUARD_PARENT"

# Longer than the programs have in supervisord.conf before they are killed, one after the other.
_STOP_SECONDS = 45.0
# A program that ends so often within so many seconds will not run.
_TOO_OFTEN = 5
_WITHIN_SECONDS = 120.0
_LOG_LINES = 20


@dataclass(frozen=True)
class ProgramState:
    """The state of a program: ``state`` is one of supervisord's names, such as RUNNING or BACKOFF."""

    name: str
    state: str
    pid: int
    log: Path
    problem: str
    group: str = ""

    @property
    def is_running(self) -> bool:
        """Whether it has stayed up long enough to count as started."""
        return self.state == "RUNNING"

    @property
    def has_failed(self) -> bool:
        """Whether supervisord has given up on it."""
        return self.state == "FATAL"


class Supervision:
    """Supervisord and everything under it, from ``with`` to its end.

    Parameters
    ----------
    configuration
        ``supervisord.conf``.
    environment
        The variables of supervisord, which its programs inherit.
    control
        The socket on which supervisord answers.
    folder
        The working folder of all of them; supervisord's output before its log is open goes to ``start.log`` there.
    """

    def __init__(self, configuration: Path, environment: Mapping[str, str], control: Path, folder: Path) -> None:
        self._configuration = configuration
        self._environment = environment
        self._control = control
        self._folder = folder
        self._output = folder / "start.log"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        guard = [sys.executable, "-I", "-S", str(GUARD), "--signal", "TERM", "--"]
        supervisord = [sys.executable, "-m", "supervisor.supervisord", "-n", "-c", str(self._configuration)]
        self._control.unlink(missing_ok=True)
        with self._output.open("wb") as output:
            # In a group of its own, so that Ctrl-C in the terminal reaches the launcher alone.
            self._process = subprocess.Popen(  # noqa: S603 - both programs are ours
                guard + supervisord,
                cwd=self._folder,
                env={**self._environment, _PARENT: str(os.getpid())},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                process_group=0,
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def has_ended(self) -> bool:
        """Whether supervisord itself has exited."""
        return self._process is None or self._process.poll() is not None

    def output(self) -> str:
        """Return supervisord's own output, which says why it did not start."""
        return self._output.read_text(encoding="utf-8", errors="replace").strip()

    def programs(self) -> dict[str, ProgramState]:
        """Return the programs that were started; none while supervisord does not answer yet."""
        try:
            answer: Any = self._server().supervisor.getAllProcessInfo()
        except (OSError, HTTPException, xmlrpc.client.Error):
            return {}
        states = [_program_state(entry) for entry in answer]
        # STOPPED are those that do not belong here, such as RabbitMQ if it is on another machine.
        return {state.name: state for state in states if state.state != "STOPPED"}

    def start(self, program: ProgramState) -> None:
        """Make supervisord restart a program that it has given up; returns at once."""
        with contextlib.suppress(OSError, HTTPException, xmlrpc.client.Error):
            self._server().supervisor.startProcess(f"{program.group}:{program.name}", False)

    def stop(self) -> None:
        """Stop all programs, then supervisord; return when they have exited."""
        if self._process is None or self.has_ended:
            return
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()  # the guards then end the programs, too
            self._process.wait()

    def _server(self) -> xmlrpc.client.ServerProxy:
        # Not installed on Windows, where the doctor imports this module.
        from supervisor.xmlrpc import SupervisorTransport  # noqa: PLC0415

        transport = SupervisorTransport(None, None, f"unix://{self._control}")
        return xmlrpc.client.ServerProxy("http://127.0.0.1", transport=transport)


def child_environment(values: Mapping[str, str]) -> dict[str, str]:
    """Return this process's variables and ``values``, without those that would reconfigure a service."""
    prefixes = ("RABBITMQ_", "ERL_", "UWSGI_", "SUPERVISOR_", "CELERY_", "NGINX")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(prefixes)}
    return {**kept, "PYTHONUNBUFFERED": "1", **values}


def _program_state(entry: Mapping[str, Any]) -> ProgramState:
    return ProgramState(
        name=entry["name"],
        state=entry["statename"],
        pid=entry["pid"],
        log=Path(entry["stdout_logfile"]),
        problem=entry["spawnerr"] or entry["description"],
        group=entry["group"],
    )


class Watch:
    """Compares the states of programs with those of the last check.

    While the server starts, a program that keeps failing is an error of its configuration. Later it is not: a server
    that has started once keeps trying for as long as it runs.

    Attributes
    ----------
    has_served
        Whether the server has started.
    """

    def __init__(self) -> None:
        self.has_served = False
        self._pids: dict[str, int] = {}
        self._ends: defaultdict[str, deque[float]] = defaultdict(lambda: deque(maxlen=_TOO_OFTEN))

    def look(self, programs: Iterable[ProgramState]) -> list[str]:
        """Return the names of the programs that have exited since the last check.

        Raises
        ------
        StackError
            If one keeps failing while the server starts; the message has the last lines of its log.
        """
        ended = []
        for program in programs:
            before = self._pids.get(program.name, 0)
            if before and program.pid != before:
                ended.append(program.name)
                self._ends[program.name].append(time.monotonic())
            self._pids[program.name] = program.pid
            if not self.has_served and (program.has_failed or self._ends_too_often(program.name)):
                raise StackError(describe_failure(program))
        return ended

    def _ends_too_often(self, name: str) -> bool:
        ends = self._ends[name]
        return len(ends) == _TOO_OFTEN and ends[-1] - ends[0] < _WITHIN_SECONDS


def describe_failure(program: ProgramState) -> str:
    """Return the error for a program that keeps failing, with the last lines of its log."""
    lines = [f"{program.name} keeps failing ({program.problem}). The last lines of {program.log}:"]
    return "\n".join(lines + [f"    {line}" for line in last_lines(program.log)])


def last_lines(log: Path) -> list[str]:
    """Return the last lines of a log, reading no more than its end."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 200 * _LOG_LINES))
            text = file.read().decode(errors="replace")
    except OSError as error:
        return [f"({reason_of(error)})"]
    return text.splitlines()[-_LOG_LINES:] or ["(it is empty)"]
