"""Doing the same with each of several things, on all cores that this process may use. Knows no PyTorch."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from elephant.hardware import n_cores

S = TypeVar("S")
T = TypeVar("T")


def in_threads(work: Callable[[S], T], items: Sequence[S], most: int) -> list[T]:
    """Do something with each item, several at a time.

    Threads help as far as Python's lock is released meanwhile, which most operations of NumPy on arrays do, and the
    trees of SciPy.

    Parameters
    ----------
    work
        Must not depend on what is done with other items.
    most
        How many threads are worth their start; with fewer than 2, all is done in this one.

    Returns
    -------
    list
        What `work` returned, in the order of the items.
    """
    n_threads = min(n_cores(), len(items), most)
    if n_threads < 2:
        return [work(item) for item in items]
    with ThreadPoolExecutor(n_threads, thread_name_prefix="parts") as threads:
        return list(threads.map(work, items))
