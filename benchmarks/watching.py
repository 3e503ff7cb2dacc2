"""The memory of processes, watched while they work."""

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Self

import psutil

_EVERY_S = 0.01
_LIST_EVERY = 20  # looks; listing them takes longer than looking at them
_MIB = 1 << 20


class Watch:
    """Watches how much more resident memory processes have than when the block began.

    Parameters
    ----------
    processes
        Lists those that there are.
    """

    def __init__(self, processes: Callable[[], Sequence[psutil.Process]]) -> None:
        self._processes = processes
        self._before = self._look(processes())
        self._most = dict(self._before)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def most_more(self) -> float:
        """Return the most that one of them has taken so far, MiB: the process that computes."""
        return max(n - self._before.get(pid, 0) for pid, n in self._most.items()) / _MIB

    def now_more(self) -> float:
        """Return what all of them together have now, MiB."""
        now = self._look(self._processes())
        self._remember(now)
        return (sum(now.values()) - sum(self._before.values())) / _MIB

    def _run(self) -> None:
        looks = 0
        processes: Sequence[psutil.Process] = ()
        while not self._ended.wait(_EVERY_S):
            if looks % _LIST_EVERY == 0:
                processes = self._processes()
            looks += 1
            self._remember(self._look(processes))

    def _remember(self, now: Mapping[int, int]) -> None:
        for pid, n in now.items():
            self._most[pid] = max(n, self._most.get(pid, 0))

    @staticmethod
    def _look(processes: Sequence[psutil.Process]) -> dict[int, int]:
        found = {}
        for process in processes:
            try:
                found[process.pid] = process.memory_info().rss
            except psutil.Error:
                continue  # it has ended
        return found
