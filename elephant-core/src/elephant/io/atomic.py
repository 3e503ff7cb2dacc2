"""Atomic writes: files are written under a temporary name, synced to disk, then renamed. And temporary folders."""

import errno
import logging
import os
import re
import shutil
import stat
import tempfile
import weakref
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from itertools import repeat
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self, TypeVar

from elephant.errors import StorageError, reason_of
from elephant.io.locks import IS_POSIX, lock
from elephant.words import in_bytes

TEMPORARY_SUFFIX = ".tmp"
DOWNLOAD_SUFFIX = ".download"
_TEMPORARY_NAME = re.compile(r"\.[a-z0-9_]{8}\.(tmp|download)")  # as `tempfile` makes them
_MOST_AT_ONCE = 16
_FULL = frozenset({errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC), errno.EFBIG})
_O_DIRECTORY = getattr(os, "O_DIRECTORY", 0)
_TO_SYNC = os.O_RDONLY if IS_POSIX else os.O_RDWR
_O_SAFE = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)

T = TypeVar("T")

logger = logging.getLogger(__name__)


@contextmanager
def replacing(path: Path, mode: int | None = None) -> Iterator[BinaryIO]:
    """Open a file that replaces another one when the block ends without an error.

    A reader of `path` sees either the old or the new content, even after a power cut.

    Parameters
    ----------
    path
        The path; its folder is created if it does not exist.
    mode
        Its permissions; by default those of a new file.

    Raises
    ------
    OSError
        It cannot be written. The previous file is unchanged, and nothing else remains.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # The name does not contain the file's own, which may be as long as a name can be.
    handle, temporary = temporary_file(path.parent, TEMPORARY_SUFFIX)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(handle)
            if IS_POSIX:
                os.fchmod(handle, 0o666 & ~_umask() if mode is None else mode)  # mkstemp made it private
                temporary.replace(path)  # while it is still locked
        if not IS_POSIX:
            temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


@contextmanager
def new_folder(folder: Path) -> Iterator[None]:
    """Create a folder and its parents; if the block fails, remove those that are new and empty."""
    new = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield
    except BaseException:
        with suppress(OSError):  # something is in it
            for path in new:
                path.rmdir()
        raise


def temporary_file(folder: Path, suffix: str) -> tuple[int, Path]:
    """Create a temporary file, and return its descriptor and its path.

    It is locked until it is closed: :func:`remove_orphans` leaves it alone as long as its process lives.
    """
    while True:
        handle, name = tempfile.mkstemp(dir=folder, prefix=".", suffix=suffix)
        is_swept = False
        if IS_POSIX:  # elsewhere a file that is open cannot be removed anyway
            with suppress(OSError):  # some network file systems have no locks
                is_swept = not lock(handle) or not os.fstat(handle).st_nlink
        if not is_swept:
            return handle, Path(name)
        os.close(handle)


def remove_orphans(folder: Path) -> None:
    """Remove the temporary files, at any depth, of killed processes.

    Parameters
    ----------
    folder
        It need not exist. Nothing else in it is touched.
    """
    for parent, _, names in os.walk(folder):
        for name in filter(_TEMPORARY_NAME.fullmatch, names):
            with suppress(OSError):  # it is in use, or gone
                _remove_orphan(Path(parent, name))


def _remove_orphan(path: Path) -> None:
    if not IS_POSIX:
        path.unlink()  # fails if another process has it open
        return
    handle = os.open(path, os.O_RDWR | _O_SAFE)
    try:
        if stat.S_ISREG(os.fstat(handle).st_mode) and lock(handle):
            path.unlink()
            logger.info("Removed %s, left by a process that was killed", path)
    finally:
        os.close(handle)


def sync_files(paths: Sequence[Path]) -> None:
    """Sync the content of files to disk; many are synced together, which takes little longer than one."""
    if len(paths) == 1:
        _sync(paths[0], _TO_SYNC)
    elif paths:
        with ThreadPoolExecutor(min(len(paths), _MOST_AT_ONCE), "sync") as pool:
            list(pool.map(_sync, paths, repeat(_TO_SYNC)))


def sync_folder(folder: Path) -> None:
    """Sync the names in a folder to disk."""
    if IS_POSIX:
        _sync(folder, os.O_RDONLY | _O_DIRECTORY)


def sync_tree(folder: Path) -> None:
    """Sync a folder, and all files and folders below it, to disk."""
    for parent, _, names in os.walk(folder):
        sync_files([Path(parent, name) for name in names])
        sync_folder(Path(parent))


@contextmanager
def explained_storage(what: str, folder: Path, needed: int) -> Iterator[None]:
    """Turn errors of the file system inside the block into one that says what to do.

    Parameters
    ----------
    what
        What is written: the start of the message.
    folder
        Where.
    needed
        Most bytes that it takes.

    Raises
    ------
    StorageError
        The disk is full, or the folder cannot be written to.
    """
    try:
        yield
    except OSError as error:
        raise StorageError(_explain(error, what, folder, needed)) from error


def _explain(error: OSError, what: str, folder: Path, needed: int) -> str:
    unchanged = "the previous files are unchanged"
    reason = reason_of(error)
    if error.errno not in _FULL:
        return f"{what} cannot be written into {folder} ({reason}): check its permissions; {unchanged}"
    return (
        f"{what} needs up to {in_bytes(needed)}, but {folder} has {in_bytes(_free(folder))} left ({reason}): make "
        f"room on that disk and try again; {unchanged}"
    )


def _free(folder: Path) -> int:
    try:
        return shutil.disk_usage(folder).free
    except OSError:  # the folder itself may not exist
        return 0


def _sync(path: Path, flags: int) -> None:
    handle = os.open(path, flags)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno != errno.EINVAL:  # some network file systems cannot sync
            raise
    finally:
        os.close(handle)


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


class TemporaryFolder:
    """A folder that is removed at the end of the block, or, if it is kept for an object, together with that.

    Attributes
    ----------
    path
        Where it lies.
    """

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="elephant-"))
        self._is_kept = False

    def keep_for(self, owner: T) -> T:
        """Keep the folder as long as an object exists; return the object."""
        weakref.finalize(owner, _remove, self.path, os.getpid())
        self._is_kept = True
        return owner

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Remove the folder unless it is kept for an object."""
        if not self._is_kept:
            shutil.rmtree(self.path, ignore_errors=True)


def _remove(folder: Path, owner: int) -> None:
    if os.getpid() == owner:  # a forked process has the object, too
        shutil.rmtree(folder, ignore_errors=True)
