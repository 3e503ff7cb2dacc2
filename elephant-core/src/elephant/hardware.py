"""The machine: how many cores and how much memory this process may use. Knows no PyTorch."""

import os
from collections.abc import Mapping
from pathlib import Path

import psutil

from elephant.errors import InvalidInputError
from elephant.memory import give_back_memory, kept_bytes

# That limit the sets of instructions that oneDNN may use; the first one counts.
ISA_VARIABLES = ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA")
_GIB = 1 << 30
# A process keeps what it has freed for itself only where that is less than this part of what is available besides.
_KEPT_SHARE = 0.25
_CGROUP = Path("/sys/fs/cgroup")


def n_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def training_variables(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the variables that a process needs that trains, before it computes anything; none where a person set them.

    They keep oneDNN from AMX, whose gradients in bfloat16 nobody has checked: it computes by AVX512 instead.
    """
    is_set = any(name in environment for name in ISA_VARIABLES)
    return {} if is_set else {ISA_VARIABLES[0]: "AVX512_CORE_BF16"}


def available_bytes() -> int:
    """Return the available memory, in bytes, without swapping and within the limit of a container.

    Where memory is scarce, what this process keeps is given back first, so that it counts.
    """
    give_back_if_scarce()
    return _available_now()


def give_back_if_scarce() -> None:
    """Give back what this process keeps for itself, unless there is plenty besides."""
    if kept_bytes() > _KEPT_SHARE * _available_now():
        give_back_memory()


def _available_now() -> int:
    free = int(psutil.virtual_memory().available)
    limit, used = (_number(_CGROUP / name) for name in ("memory.max", "memory.current"))
    return free if limit is None or used is None else min(free, max(limit - used + _kept_of_files(), 0))


def total_bytes() -> int:
    """Return the total memory, in bytes, within the limit of a container."""
    limit = _number(_CGROUP / "memory.max")
    total = int(psutil.virtual_memory().total)
    return total if limit is None else min(total, limit)


def check_memory(needed: int, what: str, advice: str, there_is: int | None = None) -> None:
    """Check that an array fits into memory.

    Parameters
    ----------
    needed
        Bytes.
    what
        What needs them, for the message.
    advice
        What to do if it does not fit.
    there_is
        Available bytes; by default those of this moment.

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
    """Return the part of a control group's memory that is file cache, which is freed on demand."""
    try:
        amounts = dict(line.split() for line in (_CGROUP / "memory.stat").read_text().splitlines())
        return int(amounts["active_file"]) + int(amounts["inactive_file"])
    except (OSError, ValueError, KeyError):
        return 0


def _number(path: Path) -> int | None:
    """Return the value in a file of the control group; None without a limit."""
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None
