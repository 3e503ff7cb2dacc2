"""Memory that a process keeps from one computation to the next, on Linux with the GNU C library, and garbage.

That library takes each large array from the system and returns it when it is freed. The system hands out memory in
pages of 4 KiB, zeroed when they are touched first. So a network, whose layers make arrays of hundreds of MiB each,
spends a fifth of its time on pages that it had a moment before.
"""

import ctypes
import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

# Of <malloc.h>.
_M_TRIM_THRESHOLD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -4, -8
_LARGEST = 2**31 - 1


class _Mallinfo2(ctypes.Structure):
    """What the library tells of itself: ``struct mallinfo2``."""

    _fields_ = tuple(
        (name, ctypes.c_size_t)
        for name in (
            *("arena", "ordblks", "smblks", "hblks", "hblkhd"),
            *("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"),
        )
    )


def _function(name: str) -> Any:
    """Return a function of the C library; None where it has none of that name."""
    return getattr(ctypes.CDLL(None), name, None) if sys.platform == "linux" else None


_trim, _info = _function("malloc_trim"), _function("mallinfo2")
if _info is not None:
    _info.restype = _Mallinfo2


def keep_memory() -> None:
    """Keep freed memory for the next arrays, from now on and for all threads; :func:`give_back_memory` returns it.

    To be called once, at the start of a program that runs networks. A library must not call it: how memory is managed
    is up to the program.
    """
    mallopt = _function("mallopt")
    if mallopt is not None:
        # A thread of its own would otherwise have an arena of its own, which takes and returns memory all the same.
        for option, value in ((_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, _LARGEST), (_M_ARENA_MAX, 1)):
            mallopt(option, value)


def kept_bytes() -> int:
    """Return how much freed memory, in bytes, this process keeps at most; 0 where that cannot be known.

    Part of it may have been given back: the library counts that as free, too.
    """
    return int(_info().fordblks) if _info is not None else 0


def give_back_memory() -> None:
    """Return to the system what this process has freed."""
    gc.collect()
    if _trim is not None:
        _trim(0)


@contextmanager
def collecting_later() -> Iterator[None]:
    """Collect no garbage inside the block, which makes many small objects that stay.

    Python's collector goes through all of them again and again: a third of the time in which a million spots are read.
    """
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@contextmanager
def uncollected() -> Iterator[None]:
    """Collect no garbage inside the block, nor ever what it has made: for imports, at the start of a program.

    Libraries make a million objects and hardly any garbage, and Python's collector goes through all of them again and
    again. That takes a fifth of the time in which PyTorch and what belongs to it are imported, and later a tenth of a
    second every now and then.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
