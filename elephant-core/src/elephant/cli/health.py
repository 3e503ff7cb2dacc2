"""What `elephant doctor` looks at: the packages, cores, memory, the disk and its locks."""

import importlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from filelock import FileLock

from elephant.errors import reason_of
from elephant.hardware import available_bytes, n_cores, total_bytes
from elephant.words import counted, in_bytes

# The module to import, by the name of its package. A wheel for another machine is installed, but does not import.
_PACKAGES = {
    "torch": "torch",
    "numpy": "numpy",
    "scipy": "scipy.ndimage",
    "scikit-image": "skimage.transform",
    "zarr": "zarr",
    "h5py": "h5py",
    "tifffile": "tifffile",
    "pydantic": "pydantic",
    "filelock": "filelock",
}
_OLDEST = (3, 11)
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


class Status(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found.

    Attributes
    ----------
    name
        What was looked at, in a word.
    status
        Whether all is well. A problem keeps something from working.
    message
        What was found.
    remedy
        What to do about it; empty where all is well.
    """

    name: str
    status: Status
    message: str
    remedy: str = ""


# A check is given the workspace, or none where there is none.
Check = Callable[[Path | None], Iterable[Finding]]


def ok(name: str, message: str) -> Finding:
    """Return a finding that all is well."""
    return Finding(name, Status.OK, message)


def warning(name: str, message: str, remedy: str) -> Finding:
    """Return a finding of something that could be better."""
    return Finding(name, Status.WARNING, message, remedy)


def problem(name: str, message: str, remedy: str) -> Finding:
    """Return a finding of something that does not work."""
    return Finding(name, Status.PROBLEM, message, remedy)


def check_software(_workspace: Path | None) -> Iterator[Finding]:
    """Look at Python and at the packages that the core needs."""
    found = sys.version_info[:3]
    text = f"{'.'.join(map(str, found))} at {sys.executable}"
    if found[:2] < _OLDEST:
        yield problem("python", text, f"Install Python {'.'.join(map(str, _OLDEST))} or newer.")
    else:
        yield ok("python", text)
    yield from check_packages(_PACKAGES)
    yield _check_pretrained()


def _check_pretrained() -> Finding:
    from elephant.models.shipped import PACKAGE, shipped_networks

    names = ", ".join(network.name for network in shipped_networks())
    if names:
        return ok("pretrained", f"{names} of {PACKAGE}")
    remedy = f"pip install ./{PACKAGE} in the checkout: without it new models start from the images' intensities."
    return warning("pretrained", f"there are no networks of {PACKAGE}", remedy)


def check_packages(packages: dict[str, str], heading: str = "packages") -> Iterator[Finding]:
    """Look at packages, each with the module that shows whether it works."""
    working = []
    for name, module in packages.items():
        try:
            importlib.import_module(module)
            working.append(f"{name} {version(name)}")
        except (ImportError, OSError, PackageNotFoundError) as error:  # OSError: a library of the system is missing
            reason = (str(error).strip().splitlines() or [""])[0]
            yield problem(name, f"cannot be used: {reason}", f"Reinstall it: pip install --force-reinstall {name}")
    yield ok(heading, ", ".join(working))


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
