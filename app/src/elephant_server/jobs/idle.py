"""What a worker does when it has nothing to do: it gives its free memory back."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from elephant.device import release_memory
from elephant.hardware import give_back_if_scarce
from elephant_server.jobs.control import JobControl
from elephant_server.jobs.runner import Work


class IdleMemory:
    """Gives the process's free memory back when no job has run for a while, or at once where memory is scarce.

    Parameters
    ----------
    after_s
        Seconds without a job.
    """

    def __init__(self, after_s: float) -> None:
        self._after_s = after_s
        self._lock = threading.Lock()
        self._n_running = 0
        self._timer: threading.Timer | None = None

    def around(self, work: Work) -> Work:
        """Return what does the same work, and counts as a job while it does."""

        def counted(control: JobControl) -> dict[str, Any]:
            with self.busy():
                return work(control)

        return counted

    @contextmanager
    def busy(self) -> Iterator[None]:
        """Let the block count as a job."""
        self._begin()
        try:
            yield
        finally:
            self._end()

    def _begin(self) -> None:
        with self._lock:
            self._n_running += 1
            if self._timer is not None:
                self._timer.cancel()

    def _end(self) -> None:
        give_back_if_scarce()
        with self._lock:
            self._n_running -= 1
            if not self._n_running:
                self._timer = threading.Timer(self._after_s, release_memory)
                self._timer.daemon = True
                self._timer.start()
