"""A lock on a model: only one process at a time may change it. It is a kernel lock, which ends with its process.

The lock file is ``.locks/<name of the model>.lock`` in the model's folder. What counts is not whether the file exists
but whether a process has locked it: a file left by a killed process means nothing. Its content names the holder.
"""

import errno
import logging
import os
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pydantic import BaseModel, ValidationError

from elephant.errors import InUseError, reason_of

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]
if sys.platform == "win32":
    import msvcrt

logger = logging.getLogger(__name__)

FOLDER = ".locks"
_SUFFIX = ".lock"
_LARGEST_NOTE = 1000
_MOST_TRIES = 100
_FAR = 1 << 30  # where Windows locks a byte: others cannot read what is locked
_O_NOFOLLOW = getattr(os, "O_NOFOLLOW", 0)
_DOING = {
    "a training": "trained",
    "a live session": "trained live",
    "a reset": "reset",
    "a restoring": "restored",
    "an import": "imported",
    "a removal": "removed",
}
_TAKEN = frozenset({errno.EAGAIN, errno.EACCES, errno.EDEADLK})


class _Holder(BaseModel):
    """The holder of a lock, for the message to those who are refused."""

    what: str
    pid: int
    host: str
    since: float


class _Held(threading.local):
    """The locks of a thread, which may take each one repeatedly."""

    def __init__(self) -> None:
        self.paths: set[Path] = set()


_held = _Held()
_without_locks: set[Path] = set()  # folders of which that was said


@contextmanager
def writing(path: Path, what: str) -> Iterator[None]:
    """Lock a model inside the block against other threads, processes and machines.

    Parameters
    ----------
    path
        The model file; it need not exist.
    what
        The work, for the message to those who are refused: ``a training``.

    Raises
    ------
    InUseError
        Another process or thread is changing it; the message says which.
    """
    place = _place_of(path)
    handle = None if place in _held.paths else _locked(place)
    if handle is None:
        yield
        return
    _note(handle, _Holder(what=what, pid=os.getpid(), host=socket.gethostname(), since=time.time()))
    _held.paths.add(place)
    try:
        yield
    finally:
        _held.paths.remove(place)
        _let_go(handle, place)


def _locked(place: Path) -> int | None:
    """Return the descriptor of the locked file; None if locks do not work there."""
    while (handle := _open(place)) is not None:
        try:
            _take(handle, place)
            if _is_at(place, handle):
                return handle
        except InUseError:
            os.close(handle)
            raise
        except OSError as error:  # some network file systems have no locks
            os.close(handle)
            _warn(place, error)
            return None
        os.close(handle)  # whoever had it removed it in the meantime
    return None


def _let_go(handle: int, place: Path) -> None:
    """Remove the file while it is locked: a process that has opened it notices that it is gone or replaced."""
    if fcntl is not None:
        with suppress(OSError):
            place.unlink()
            place.parent.rmdir()
    else:
        _note(handle, None)
        _unlock(handle)
    os.close(handle)


def _is_at(place: Path, handle: int) -> bool:
    try:
        return os.path.samestat(place.stat(), os.fstat(handle))
    except FileNotFoundError:
        return False


def _place_of(path: Path) -> Path:
    target = path.resolve()
    return target.parent / FOLDER / f"{target.name}{_SUFFIX}"


def _open(place: Path) -> int | None:
    """Open the file to be locked; if that fails, saving the model will report the problem."""
    for _ in range(_MOST_TRIES):
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            return os.open(place, os.O_RDWR | os.O_CREAT | _O_NOFOLLOW, 0o666)
        except FileNotFoundError as error:  # its folder was removed by who let go of the last lock there
            problem: OSError = error
        except PermissionError as error:
            problem = error
            with suppress(OSError):  # another user's: it can be locked all the same
                return os.open(place, os.O_RDONLY | _O_NOFOLLOW)
            break
        except OSError as error:
            problem = error
            break
    _warn(place, problem)
    return None


def _take(handle: int, place: Path) -> None:
    try:
        _lock(handle)
    except OSError as error:
        if error.errno not in _TAKEN:
            raise
        raise InUseError(
            f"{place.name.removesuffix(_SUFFIX)} is being {_words(handle)}: wait until it ends, or stop it"
        ) from None


def _warn(place: Path, error: OSError) -> None:
    """Warn, once for each folder, that two trainings of one model would not be noticed."""
    if place.parent not in _without_locks:
        _without_locks.add(place.parent)
        logger.warning(
            "Cannot lock files in %s (%s): make sure that nobody else trains the same model meanwhile",
            *(place.parent, reason_of(error)),
        )


def _lock(handle: int) -> None:
    if fcntl is not None:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    elif sys.platform == "win32":
        os.lseek(handle, _FAR, os.SEEK_SET)
        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)


def _unlock(handle: int) -> None:
    if sys.platform == "win32":  # elsewhere closing does
        os.lseek(handle, _FAR, os.SEEK_SET)
        with suppress(OSError):
            msvcrt.locking(handle, msvcrt.LK_UNLCK, 1)


def _note(handle: int, holder: _Holder | None) -> None:
    """Write the holder into the lock file, for messages only."""
    with suppress(OSError):
        os.ftruncate(handle, 0)
        if holder is not None:
            os.lseek(handle, 0, os.SEEK_SET)
            os.write(handle, holder.model_dump_json().encode())


def _words(handle: int) -> str:
    try:
        os.lseek(handle, 0, os.SEEK_SET)
        holder = _Holder.model_validate_json(os.read(handle, _LARGEST_NOTE))
        since = time.strftime("%Y-%m-%d %H:%M", time.localtime(holder.since))
    except (OSError, ValueError, OverflowError, ValidationError):
        return "changed by another process"
    return f"{_DOING.get(holder.what, 'changed')} by process {holder.pid} on {holder.host} since {since}"
