"""Work that reads a dataset keeps it from being replaced: a lock of the kernel's that many readers share.

It is held on ``.in-use.lock`` in the dataset's folder and ends with the process that holds it, however it ends. The
file stays, since removing one that several processes share would give each of them a lock of its own. Windows has no
such locks, and does not let anybody move files that are open. Where a folder cannot be written, or its file system has
no locks, work goes on without one.
"""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from elephant.errors import InUseError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

LOCK = ".in-use.lock"
_TAKEN = frozenset({errno.EAGAIN, errno.EACCES})


@contextmanager
def reading(folder: Path) -> Iterator[None]:
    """Keep a dataset's arrays from being replaced inside the block; any number of processes and threads may.

    Raises
    ------
    InUseError
        They are being replaced.
    """
    with _locked(folder, is_shared=True) as is_taken:
        if is_taken:
            raise InUseError(f"the dataset {folder.name} is being made again: wait until that ends, and try again")
        yield


@contextmanager
def replacing_arrays(folder: Path) -> Iterator[None]:
    """Keep everybody from starting work with a dataset inside the block.

    Raises
    ------
    InUseError
        Somebody works with it.
    """
    with _locked(folder, is_shared=False) as is_taken:
        if is_taken:
            raise InUseError(
                f"the dataset {folder.name} is in use by a training, a prediction or another conversion, here or in "
                "another program: wait until it ends, or stop it, and convert again; nothing was changed"
            )
        yield


@contextmanager
def _locked(folder: Path, *, is_shared: bool) -> Iterator[bool]:
    """Give whether somebody else has a lock that excludes this one; otherwise hold it, where one can be had."""
    handle = _open(folder / LOCK)
    try:
        yield handle is not None and not _take(handle, is_shared=is_shared)
    finally:
        if handle is not None:
            os.close(handle)


def _open(path: Path) -> int | None:
    if fcntl is None:
        return None
    for flags in (os.O_RDWR | os.O_CREAT, os.O_RDONLY):  # what another user made can be locked all the same
        with suppress(OSError):
            return os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
    return None


def _take(handle: int, *, is_shared: bool) -> bool:
    try:
        fcntl.flock(handle, (fcntl.LOCK_SH if is_shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno not in _TAKEN
    return True
