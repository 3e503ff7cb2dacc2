"""How much memory there is, asked before much is taken: what is too large is refused, and ends no worker."""

from pathlib import Path

from elephant.errors import InvalidInputError

_GIB = 1 << 30
_MEMINFO = Path("/proc/meminfo")
_CGROUP = Path("/sys/fs/cgroup")


def available_bytes() -> int:
    """Return what can be taken without swapping, within the limit of a container."""
    free = _meminfo("MemAvailable")
    limit, used = (_number(_CGROUP / name) for name in ("memory.max", "memory.current"))
    return free if limit is None or used is None else min(free, max(limit - used, 0))


def total_bytes() -> int:
    """Return what there is in all, within the limit of a container."""
    limit = _number(_CGROUP / "memory.max")
    total = _meminfo("MemTotal")
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


def _meminfo(name: str) -> int:
    line = next(line for line in _MEMINFO.read_text().splitlines() if line.startswith(f"{name}:"))
    return int(line.split()[1]) * 1024


def _number(path: Path) -> int | None:
    """Return what a file of the control group says; None where there is no limit."""
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None
