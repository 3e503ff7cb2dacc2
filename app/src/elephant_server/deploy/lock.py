"""One server per workspace: a kernel lock, which ends with its holder, however that ends."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from elephant.errors import reason_of
from elephant_server.deploy.errors import StackError

LOCK_NAME = ".server.lock"


@contextmanager
def hold(folder: Path, variable: str) -> Iterator[None]:
    """Lock ``folder`` for this process.

    Parameters
    ----------
    folder
        The workspace, or the folder for sockets and logs; it exists.
    variable
        The variable that sets it, for the message.

    Raises
    ------
    StackError
        If another server holds it, or it cannot be written to.
    """
    try:
        descriptor = os.open(folder / LOCK_NAME, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise StackError(
            f"{variable}: {folder} cannot be written to ({reason_of(error)}). Choose another folder."
        ) from None
    try:
        _lock(descriptor, folder, variable)
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int, folder: Path, variable: str) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(descriptor, 32, 0).decode(errors="replace").strip() or "unknown"
        raise StackError(
            f"Another server (process {holder}) already runs in {folder}. "
            f"Stop it, or set {variable} to another folder for a second one."
        ) from None
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
