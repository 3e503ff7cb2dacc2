"""The folders of a server, and the lock that keeps a second server out of them."""

import contextlib
import logging
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

from elephant.errors import reason_of
from elephant.io.locks import WITHOUT_LOCKS, give_back, read_note, take, write_note
from elephant_server.errors import StackError
from elephant_server.settings import Settings, SettingsError, variable

logger = logging.getLogger(__name__)

LOCK_NAME = ".server.lock"  # the same for both kinds of server
# They would end a quoted path in supervisord.conf or nginx.conf.
_NOT_IN_PATHS = frozenset("\"'\\$\n")


@contextlib.contextmanager
def hold(folder: Path, variable: str) -> Iterator[None]:
    """Keep other servers out of a folder inside the block.

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
    with contextlib.ExitStack() as stack:
        if (handle := _locked(folder, variable)) is not None:
            stack.callback(give_back, handle)
            with contextlib.suppress(OSError):  # it is for messages only
                write_note(handle, str(os.getpid()))
        yield


def _locked(folder: Path, variable: str) -> int | None:
    """Return the descriptor of the locked file; None if locks do not work there."""
    try:
        handle = take(folder / LOCK_NAME)
    except OSError as error:
        if error.errno in WITHOUT_LOCKS:
            logger.warning("Cannot lock files in %s: make sure that no other server runs there", folder)
            return None
        raise StackError(
            f"{variable}: {folder} cannot be written to ({reason_of(error)}). Choose another folder."
        ) from None
    if handle is None:
        holder = read_note(folder / LOCK_NAME) or "unknown"
        raise StackError(
            f"Another server (process {holder}) already runs in {folder}. "
            f"Stop it, or set {variable} to another folder for a second one."
        )
    return handle


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
        make_folder(folder, variable("run_dir" if folder in inside else "workspace"))


def make_folder(folder: Path, variable: str) -> None:
    """Create a folder, if it does not exist.

    Parameters
    ----------
    variable
        The variable that sets it, for the message.

    Raises
    ------
    StackError
        It cannot be created.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = reason_of(error)
        raise StackError(f"{variable}: {folder} cannot be created ({reason}). Choose another folder.") from None


@contextlib.contextmanager
def socket_folder(settings: Settings) -> Iterator[Path]:
    """Yield a folder for Unix sockets: the run folder, or a temporary one if that cannot hold them.

    The path of a socket has at most 108 bytes, and some shared folders cannot hold sockets at all.
    """
    if _holds_sockets(settings.runtime_dir):
        yield settings.runtime_dir
        return
    folder = Path(tempfile.mkdtemp(prefix="elephant-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


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
