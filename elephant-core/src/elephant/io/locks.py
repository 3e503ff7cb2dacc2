"""Locks on files that other threads and processes respect, and machines where the file system carries locks.

They are locks of the kernel, which end with the process that holds them, however that ends: a file that is left behind
means nothing. Where a process only has to wait until another one is done, :class:`filelock.FileLock` serves. These are
for what it lacks: holders that share a lock, a note that says who holds it, another user's file that may only be read,
and an error instead of a stand-in where a file system has no locks.
"""

import errno
import os
from contextlib import suppress
from pathlib import Path

from filelock import lock_descriptor, unlock_descriptor

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

# Windows lets nobody open a folder, nor rename or remove what is open, and has no lock that readers share.
IS_POSIX = fcntl is not None
# What a file system without locks says.
WITHOUT_LOCKS = frozenset({errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP})
_O_NOFOLLOW = getattr(os, "O_NOFOLLOW", 0)
_LARGEST_NOTE = 1000


def take(path: Path, *, is_shared: bool = False, mode: int = 0o666) -> int | None:
    """Lock a file without waiting for others.

    Parameters
    ----------
    path
        The file, which is created if it does not exist; its folder exists.
    is_shared
        Whether others may hold it in the same way. Windows has no such locks here.
    mode
        Permissions of a new file, less those that the umask takes away.

    Returns
    -------
    int or None
        The descriptor, for :func:`give_back`; None if the lock of another one excludes this one.

    Raises
    ------
    OSError
        The file can be neither created nor opened, or its file system has no locks.
    """
    handle = _open(path, mode)
    is_taken = False
    try:
        is_taken = lock(handle, is_shared=is_shared)
    finally:
        if not is_taken:
            os.close(handle)
    return handle if is_taken else None


def lock(handle: int, *, is_shared: bool = False) -> bool:
    """Lock an open file without waiting; False if the lock of another one excludes this one.

    Raises
    ------
    OSError
        The file system has no locks.
    """
    if not is_shared:
        return lock_descriptor(handle, blocking=False)
    if IS_POSIX:
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            return False
    return True


def give_back(handle: int) -> None:
    """End a lock and close its file."""
    with suppress(OSError):  # closing ends it, too, though Windows does not say when
        unlock_descriptor(handle)
    os.close(handle)


def write_note(handle: int, text: str) -> None:
    """Write a line about the holder into a locked file, behind the byte that nobody else can read on Windows.

    Raises
    ------
    OSError
        The disk is full, or the file is another user's.
    """
    os.lseek(handle, 0, os.SEEK_SET)
    os.write(handle, f"\n{text}\n".encode())


def read_note(path: Path) -> str:
    """Return what the holder of a lock has written about itself; ``""`` if nothing can be read."""
    try:
        with path.open("rb") as file:
            file.seek(1)
            return file.read(_LARGEST_NOTE).decode(errors="replace").partition("\n")[0]
    except OSError:
        return ""


def _open(path: Path, mode: int) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | _O_NOFOLLOW, mode)
    except PermissionError:  # another user's: it can be locked all the same
        return os.open(path, os.O_RDONLY | _O_NOFOLLOW)
