"""A shared lock that keeps a dataset from being replaced while it is read.

It is held on ``.in-use.lock`` in the dataset's folder. The file is never removed, since processes that share it would
then lock different files. Windows has no such locks, but does not allow open files to be moved. If a folder cannot be
written, or its file system has no locks, work continues without one.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from elephant.errors import InUseError
from elephant.io.locks import IS_POSIX, give_back, take

LOCK = ".in-use.lock"


@contextmanager
def reading(folder: Path) -> Iterator[None]:
    """Keep a dataset's arrays from being replaced inside the block; many processes and threads may do so at once.

    Raises
    ------
    InUseError
        They are being replaced.
    """
    refusal = f"the dataset {folder.name} is being generated again: wait until that ends, and try again"
    with _locked(folder, refusal, is_shared=True):
        yield


@contextmanager
def replacing_arrays(folder: Path) -> Iterator[None]:
    """Keep all other work from using a dataset inside the block.

    Raises
    ------
    InUseError
        It is in use.
    """
    refusal = (
        f"the dataset {folder.name} is in use by a training, a prediction or another conversion, here or in "
        "another program: wait until it ends, or stop it, and convert again; nothing was changed"
    )
    with _locked(folder, refusal, is_shared=False):
        yield


@contextmanager
def _locked(folder: Path, refusal: str, *, is_shared: bool) -> Iterator[None]:
    with ExitStack() as stack:
        if IS_POSIX:
            with suppress(OSError):
                handle = take(folder / LOCK, is_shared=is_shared)
                if handle is None:
                    raise InUseError(refusal)
                stack.callback(give_back, handle)
        yield
