"""Names of processes, from which others on the same machine can tell that one has ended.

A name holds the machine's boot, the namespace of process numbers, the number, and when the process started in ticks
since the boot: numbers are given again, ticks are not, and no clock that can be set plays a part. Where Linux'
``/proc`` is not to be had a name says nothing, and a process counts as there until its lease ends.
"""

import os
from pathlib import Path

_PROC = Path("/proc")
_STATE, _START = 0, 19  # positions behind the name of the program in /proc/<pid>/stat
_ENDED = ("Z", "X")


def this_process() -> str:
    """Return the name of this process; empty where there is none."""
    return _name(os.getpid())


def is_gone(owner: str) -> bool:
    """Tell whether a process is known to have ended; False where that cannot be known from here."""
    place, _, number = owner.rpartition("/")
    pid, _, _start = number.partition("-")
    if not pid.isdigit() or place != _place():
        return False
    return _name(int(pid)) != owner


def _name(pid: int) -> str:
    try:
        text = (_PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    # The name of the program is in brackets, and may hold brackets and spaces.
    values = text.rpartition(")")[2].split()
    return "" if values[_STATE] in _ENDED else f"{_place()}/{pid}-{values[_START]}"


def _place() -> str:
    try:
        boot = (_PROC / "sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
        return f"{boot}/{(_PROC / 'self/ns/pid').readlink().name}"
    except OSError:
        return ""
