"""Names of processes, from which others on the same machine can tell that one has ended.

A name holds the machine's boot, the namespace of process numbers, the number, and when the process started in ticks
since the boot: numbers are given again, ticks are not, and no clock that can be set plays a part. Where Linux'
``/proc`` is not to be had a name says nothing, and a process counts as there until its lease ends.
"""

import os
import signal
from contextlib import suppress
from pathlib import Path

_PROC = Path("/proc")
_STATE, _START = 0, 19  # positions behind the name of the program in /proc/<pid>/stat
_ENDED = ("Z", "X")
_PROGRAM = b"elephant_server.worker"  # in the command of every worker, and of nothing else that may be ended


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


def end_worker(owner: str) -> bool:
    """End a worker that does not answer, if it is a process of this machine; False where it is not.

    The kernel keeps it from meeting another process that was given the same number meanwhile. Nothing but a worker is
    ended, whoever wrote the name.
    """
    number = owner.rpartition("/")[2].partition("-")[0]
    pid = int(number) if number.isdecimal() else 0
    if not pid or pid == os.getpid() or _name(pid) != owner:
        return False
    try:
        handle = os.pidfd_open(pid)
    except (OSError, AttributeError):  # it has ended, or the system has no such thing
        return False
    try:
        # Looked at once more, now that the handle stands for one process alone.
        if _name(pid) != owner or _PROGRAM not in (_PROC / str(pid) / "cmdline").read_bytes():
            return False
        signal.pidfd_send_signal(handle, signal.SIGKILL)
    except OSError:
        return False
    else:
        return True
    finally:
        with suppress(OSError):
            os.close(handle)


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
