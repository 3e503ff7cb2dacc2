"""A lock on a model: only one process at a time may change it.

The lock file is ``.locks/<name of the model>.lock`` in the model's folder. What counts is not whether the file exists
but whether a process has locked it. Its content names the holder.
"""

import logging
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pydantic import BaseModel, ValidationError

from elephant.errors import InUseError, reason_of
from elephant.io.locks import IS_POSIX, give_back, read_note, take, write_note

logger = logging.getLogger(__name__)

FOLDER = ".locks"
_SUFFIX = ".lock"
_MOST_TRIES = 100
_DOING = {
    "a training": "trained",
    "a live session": "trained live",
    "a reset": "reset",
    "a restoring": "restored",
    "an import": "imported",
    "a removal": "removed",
}


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
_without_locks: set[Path] = set()  # folders that were warned about


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
    lock_file = _lock_file_of(path)
    handle = None if lock_file in _held.paths else _locked(lock_file)
    if handle is None:
        yield
        return
    holder = _Holder(what=what, pid=os.getpid(), host=socket.gethostname(), since=time.time())
    with suppress(OSError):  # it is for messages only
        write_note(handle, holder.model_dump_json())
    _held.paths.add(lock_file)
    try:
        yield
    finally:
        _held.paths.remove(lock_file)
        _let_go(handle, lock_file)


def _locked(lock_file: Path) -> int | None:
    """Return the descriptor of the locked file; None if locks do not work there."""
    n_missing = 0
    while True:
        try:
            lock_file.parent.mkdir(parents=True, exist_ok=True)
            handle = take(lock_file)
        except OSError as error:
            if isinstance(error, FileNotFoundError) and n_missing < _MOST_TRIES:
                n_missing += 1  # its folder was removed when the last lock there was given back
                continue
            _warn(lock_file, error)  # if nothing can be written there, saving the model will report the problem
            return None
        if handle is None:
            name = lock_file.name.removesuffix(_SUFFIX)
            raise InUseError(f"{name} is being {_words(lock_file)}: wait until it ends, or stop it")
        if _is_at(lock_file, handle):
            return handle
        give_back(handle)  # its holder removed it meanwhile


def _let_go(handle: int, lock_file: Path) -> None:
    """Remove the file while it is locked: a process that has opened it notices that it is gone or replaced."""
    if IS_POSIX:
        with suppress(OSError):
            lock_file.unlink()
            lock_file.parent.rmdir()
    give_back(handle)


def _is_at(lock_file: Path, handle: int) -> bool:
    try:
        return os.path.samestat(lock_file.stat(), os.fstat(handle))
    except FileNotFoundError:
        return False


def _lock_file_of(path: Path) -> Path:
    target = path.resolve()
    return target.parent / FOLDER / f"{target.name}{_SUFFIX}"


def _warn(lock_file: Path, error: OSError) -> None:
    """Warn, once for each folder, that two trainings of one model would not be noticed."""
    if lock_file.parent not in _without_locks:
        _without_locks.add(lock_file.parent)
        logger.warning(
            "Cannot lock files in %s (%s): make sure that nobody else trains the same model meanwhile",
            *(lock_file.parent, reason_of(error)),
        )


def _words(lock_file: Path) -> str:
    try:
        holder = _Holder.model_validate_json(read_note(lock_file))
        since = time.strftime("%Y-%m-%d %H:%M", time.localtime(holder.since))
    except (ValueError, OverflowError, ValidationError):
        return "changed by another process"
    return f"{_DOING.get(holder.what, 'changed')} by process {holder.pid} on {holder.host} since {since}"
