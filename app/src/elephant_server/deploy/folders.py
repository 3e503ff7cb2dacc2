"""The folders of a server, and the lock that keeps a second server out of them."""

import contextlib
import fcntl
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from elephant.errors import reason_of
from elephant_server.errors import StackError
from elephant_server.settings import Settings, SettingsError, variable

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


# They would end a quoted path in supervisord.conf or nginx.conf.
_NOT_IN_PATHS = frozenset("\"'\\$\n")


def make_folders(settings: Settings) -> None:
    """Create the workspace and the folder for sockets and logs, with everything that the services expect inside.

    Raises
    ------
    StackError
        If one cannot be created.
    SettingsError
        If a path has a character that the configuration files cannot hold.
    """
    for field in ("workspace", "run_dir", "home", "tls_cert", "tls_key"):
        path = str(getattr(settings, field))
        if _NOT_IN_PATHS.intersection(path):
            raise SettingsError(f"{variable(field)}: expected a path without quotes, \\ and $; got {path}.")
    run = settings.runtime_dir
    inside = (settings.service_logs_dir, run / "nginx", run / "rabbitmq")
    for folder in (settings.datasets_dir, settings.models_dir, settings.logs_dir, settings.secrets_dir, *inside):
        _make(folder, variable("run_dir" if folder in inside else "workspace"))


@contextlib.contextmanager
def socket_folder(settings: Settings) -> Iterator[Path]:
    """Give a folder for Unix sockets: the run folder, or a temporary one if that cannot hold them.

    Paths of sockets have at most 108 bytes, and some shared folders hold no sockets at all.
    """
    if _holds_sockets(settings.runtime_dir):
        yield settings.runtime_dir
        return
    folder = Path(tempfile.mkdtemp(prefix="elephant-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _make(folder: Path, name: str) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = reason_of(error)
        raise StackError(f"{name}: {folder} cannot be created ({reason}). Choose another folder.") from None


def _holds_sockets(folder: Path) -> bool:
    path = folder / "supervisor.sock.probe"  # as long as the longest that follow
    try:
        path.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX) as probe:
            probe.bind(str(path))
        path.unlink()
    except OSError:
        return False
    return True
