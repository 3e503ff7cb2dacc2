"""Cores, memory, and the folder that everything is kept in."""

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock

from elephant.cli.health.findings import Finding, ok, problem, warning
from elephant.cli.output import in_bytes
from elephant.errors import reason_of
from elephant.hardware import available_bytes, n_cores, total_bytes
from elephant.words import counted

_GIB = 2**30
_LOCK_SECONDS = 60
_LITTLE_MEMORY, _LITTLE_ROOM, _NO_ROOM = 4 * _GIB, 10 * _GIB, _GIB
# Exits with 1 where it gets a lock that another process holds.
_TRY_TO_LOCK = """
import sys, filelock
try:
    filelock.FileLock(sys.argv[1]).acquire(timeout=0)
except filelock.Timeout:
    sys.exit(0)
sys.exit(1)
"""


def check_machine(_workspace: Path | None) -> Iterator[Finding]:
    """Look at cores and memory."""
    yield ok("cores", f"{counted(n_cores(), 'core')} for this process")
    free = available_bytes()
    text = f"{in_bytes(total_bytes())}, {in_bytes(free)} free"
    if free < _LITTLE_MEMORY:
        yield warning("memory", text, "Close other programs, or use a small --patch and --crop-size.")
    else:
        yield ok("memory", text)


def check_workspace(workspace: Path | None) -> Iterator[Finding]:
    """Check the workspace, or the current folder without one."""
    folder = Path.cwd() if workspace is None else workspace
    name = "folder" if workspace is None else "workspace"
    if not folder.is_dir():
        yield problem(name, f"there is no folder {folder}", f"Create it: mkdir -p {folder}")
        return
    yield check_room(folder)
    try:
        with tempfile.TemporaryDirectory(dir=folder, prefix=".doctor-") as trial:
            yield ok(name, f"{folder.absolute()} can be written to")
            yield check_locks(Path(trial))
    except OSError as error:
        yield problem(
            name,
            f"{folder.absolute()} cannot be written to: {reason_of(error)}",
            "Give it to the user who runs this (chown), or choose another --workspace.",
        )


def check_room(folder: Path) -> Finding:
    """Look at how much room is left on the disk."""
    free = shutil.disk_usage(folder).free
    text, remedy = (
        f"{in_bytes(free)} free at {folder.absolute()}",
        "Free disk space, or choose another --workspace.",
    )
    if free < _NO_ROOM:
        return problem("disk", text, remedy)
    return warning("disk", text, remedy) if free < _LITTLE_ROOM else ok("disk", text)


def check_locks(folder: Path) -> Finding:
    """Look whether a lock that this process holds keeps another one out."""
    lock = folder / "lock"
    try:
        with FileLock(lock, timeout=5):
            command = [sys.executable, "-c", _TRY_TO_LOCK, str(lock)]
            other = subprocess.run(command, timeout=_LOCK_SECONDS, check=False)  # noqa: S603
    except (OSError, NotImplementedError, subprocess.TimeoutExpired) as error:
        return _no_locks(str(error))
    return _no_locks("two processes got the same lock") if other.returncode else ok("locks", "file locks work there")


def _no_locks(reason: str) -> Finding:
    return problem(
        "locks",
        f"file locks do not work there: {reason}",
        "Choose a --workspace on a local disk, or have the network file system mounted with locks (flock).",
    )
