"""The folders of a server."""

import contextlib
import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

from elephant.errors import reason_of
from elephant_server.deploy.errors import StackError
from elephant_server.settings import Settings, SettingsError, variable

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
