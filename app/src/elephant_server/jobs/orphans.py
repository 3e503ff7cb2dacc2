"""Removing files that processes left when they were killed."""

import logging
import time
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from pathlib import Path

logger = logging.getLogger(__name__)

LEFT_AFTER_S = 20.0

_Look = tuple[Path, int, int]  # the file, when it was changed, its size


class OrphanFiles:
    """Finds files in a folder of passing files that nothing will use any more.

    A file is made before the job that needs it is entered, so that one which stays as it is while there is no such job
    was left. How long it stays is measured here: clocks that are set do not matter.

    Parameters
    ----------
    folder
        Where the passing files are.
    tasks
        Names of the tasks that need them.
    left_after_s
        For how many seconds a file must stay as it is.
    clock
        Seconds that pass, whatever the time of the day.
    """

    def __init__(
        self,
        folder: Path,
        tasks: Collection[str],
        left_after_s: float = LEFT_AFTER_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folder = folder
        self._tasks = frozenset(tasks)
        self._left_after_s = left_after_s
        self._clock = clock
        self._since: dict[_Look, float] = {}

    def sweep(self, running: Iterable[str]) -> None:
        """Look once, while the tasks `running` are queued or run."""
        now = self._clock()
        self._since = {look: self._since.get(look, now) for look in self._looks()}
        if not self._tasks.isdisjoint(running):
            return
        for (path, *_), since in self._since.items():
            if now - since > self._left_after_s:
                with suppress(OSError):
                    path.unlink()
                    logger.info("Removed %s, which a process had left", path.name)

    def _looks(self) -> list[_Look]:
        found = []
        with suppress(OSError):
            for path in self._folder.iterdir():
                with suppress(OSError):
                    known = path.lstat()
                    found.append((path, known.st_mtime_ns, known.st_size))
        return found
