"""The machine: how many cores and how much memory this process may use. Knows no PyTorch."""

import os
from pathlib import Path

import psutil

from elephant.errors import InvalidInputError

_GIB = 1 << 30
_CGROUP = Path("/sys/fs/cgroup")


def n_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def available_bytes() -> int:
    """Return what can be taken without swapping, within the limit of a container."""
    free = int(psutil.virtual_memory().available)
    limit, used = (_number(_CGROUP / name) for name in ("memory.max", "memory.current"))
    return free if limit is None or used is None else min(free, max(limit - used + _kept_of_files(), 0))


def total_bytes() -> int:
    """Return what there is in all, within the limit of a container."""
    limit = _number(_CGROUP / "memory.max")
    total = int(psutil.virtual_memory().total)
    return total if limit is None else min(total, limit)


def check_memory(needed: int, what: str, advice: str, there_is: int | None = None) -> None:
    """Check that something fits into memory.

    Parameters
    ----------
    needed
        Bytes.
    what
        Whose they are, for the message.
    advice
        What to do where it does not fit.
    there_is
        Bytes; by default those that are available at the moment.

    Raises
    ------
    InvalidInputError
        It does not.
    """
    there_is = available_bytes() if there_is is None else there_is
    if needed > there_is:
        raise InvalidInputError(
            f"{what} would need {_in_words(needed)} of memory, but there are {_in_words(there_is)}: {advice}"
        )


def _in_words(n_bytes: int) -> str:
    return f"{n_bytes / _GIB:.1f} GiB" if n_bytes < 1000 * _GIB else f"{n_bytes / _GIB:.2g} GiB"


def _kept_of_files() -> int:
    """Return what of a control group's memory is a copy of files, let go of as soon as somebody needs the room."""
    try:
        amounts = dict(line.split() for line in (_CGROUP / "memory.stat").read_text().splitlines())
        return int(amounts["active_file"]) + int(amounts["inactive_file"])
    except (OSError, ValueError, KeyError):
        return 0


def _number(path: Path) -> int | None:
    """Return what a file of the control group says; None where there is no limit."""
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None
