"""Running the same task on every timepoint, in this process or in several, with the results in order."""

import ctypes
import logging
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, ThreadPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from contextvars import ContextVar
from multiprocessing import connection
from multiprocessing.process import BaseProcess
from typing import Any, Protocol, TypeVar

from elephant.errors import Cancelled
from elephant.hardware import n_cores
from elephant.progress import CancelToken, cancelled_by

_MOST_WORKERS = 8  # a disk is busy by then
_POLL_S = 0.1

# None outside of tasks that run beside others.
_cores: ContextVar[int | None] = ContextVar("cores of this task", default=None)

logger = logging.getLogger(__name__)

Result_co = TypeVar("Result_co", covariant=True)
_Way = Callable[[int], Future[Any]]


class TimepointTask(Protocol[Result_co]):
    """A task for one timepoint. It is sent to other processes, so it holds no open files."""

    def __call__(self, t: int, cancel: CancelToken) -> Result_co:
        """Run the task for timepoint `t`; ask `cancel` at least once per block."""


def cores_of_this_task() -> int:
    """Return how many cores a task may use: its share of those of this process, or all outside of :func:`run`."""
    return _cores.get() or n_cores()


def run(
    task: TimepointTask[Result_co], count: int, cancel: CancelToken, *, parallel: bool
) -> Generator[Result_co, None, None]:
    """Yield the results of a task for the timepoints 0, 1, ... in this order.

    Close the iterator if it is not read to its end: that ends the other processes.

    Parameters
    ----------
    task
        What to run.
    count
        Number of timepoints.
    cancel
        Asked in this process, also while it waits for others.
    parallel
        Whether more than one process may be used.
    """
    workers = min(_MOST_WORKERS, n_cores(), count) if parallel else 1
    done = 0
    if workers > 1:
        try:
            for result in _run_in_processes(task, count, cancel, workers - 1):
                yield result
                done += 1
        except BrokenProcessPool:
            logger.warning("a helper process ended unexpectedly: continuing in this process alone, which takes longer")
    for t in range(done, count):
        yield task(t, cancel)


def _run_in_processes(
    task: TimepointTask[Result_co], count: int, cancel: CancelToken, n_helpers: int
) -> Generator[Result_co, None, None]:
    """Run a task in helper processes, and in a thread of this one: helpers take a while to start."""
    context = multiprocessing.get_context("spawn")  # forking a process with threads can hang it
    # No event: its lock would stay locked for ever if a helper were killed while it looks.
    ended = context.RawValue(ctypes.c_bool, False)
    others = set(multiprocessing.active_children())
    share = max(1, n_cores() // (n_helpers + 1))
    pool = ProcessPoolExecutor(n_helpers, context, _prepare, (task, ended, share))
    with ThreadPoolExecutor(1, "timepoints", _cores.set, (share,)) as here:

        def locally(t: int) -> Future[Any]:
            return here.submit(_run, task, t, _SharedToken(ended))

        def remotely(t: int) -> Future[Any]:
            return pool.submit(_run_task, t)

        try:
            yield from _in_order([locally, *[remotely] * n_helpers], count, cancel)
        finally:
            ended.value = True
            _shut_down(pool, set(multiprocessing.active_children()) - others)


def _in_order(ways: Sequence[_Way], count: int, cancel: CancelToken) -> Generator[Any, None, None]:
    """Let each way of running a task do one timepoint at a time, and yield their results in order."""
    free, running, futures = deque(ways), dict[Future[Any], _Way](), list[Future[Any]]()
    done = 0
    while done < count:
        while free and len(futures) < count:
            with _interrupts_held():  # this starts processes, which must ignore Ctrl-C from the start
                futures.append(free[0](len(futures)))
            running[futures[-1]] = free.popleft()
        cancel.check()
        free.extend(running.pop(future) for future in wait(running, _POLL_S, FIRST_COMPLETED).done)
        while done < len(futures) and futures[done].done():
            yield futures[done].result()
            done += 1


def _shut_down(pool: ProcessPoolExecutor, helpers: set[BaseProcess]) -> None:
    """Wait until the helpers have ended; kill them on a second Ctrl-C."""
    try:
        pool.shutdown(wait=True, cancel_futures=True)
    except KeyboardInterrupt:
        for helper in helpers:
            helper.kill()
        pool.shutdown(wait=True, cancel_futures=True)
        raise


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Block SIGINT; processes that are started meanwhile never get it. Windows has no such mask."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class _SharedToken:
    """A :class:`CancelToken` that another process triggers."""

    def __init__(self, ended: ctypes.c_bool) -> None:
        self._ended = ended

    def check(self) -> None:
        if self._ended.value:
            raise Cancelled


_mine: dict[str, Any] = {}  # the task of a helper process


def _prepare(task: TimepointTask[Any], ended: ctypes.c_bool, share: int) -> None:
    _cores.set(share)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
    _mine.update(task=task, cancel=_SharedToken(ended))
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """End this process when its parent is killed: nothing else would end it."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)


def _run_task(t: int) -> Any:
    return _run(_mine["task"], t, _mine["cancel"])


def _run(task: TimepointTask[Result_co], t: int, cancel: CancelToken) -> Result_co:
    with cancelled_by(cancel):
        return task(t, cancel)
