"""Notice programs that end unexpectedly, and those that keep doing so."""

import time
from collections import defaultdict, deque
from collections.abc import Iterable
from pathlib import Path

from elephant.errors import reason_of
from elephant_server.deploy.errors import StackError
from elephant_server.deploy.supervision import ProgramState

# So many ends within so many seconds: starting it again does not help.
_TOO_OFTEN = 5
_WITHIN_SECONDS = 120.0
_LOG_LINES = 20


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


def last_lines(log: Path, count: int = _LOG_LINES) -> list[str]:
    """Return the last lines of a log, reading no more than its end."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 200 * count))
            text = file.read().decode(errors="replace")
    except OSError as error:
        return [f"({reason_of(error)})"]
    return text.splitlines()[-count:] or ["(it is empty)"]
