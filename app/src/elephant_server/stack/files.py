"""The folders of a server, and the configuration files that are rendered into them."""

import contextlib
import os
import re
import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

from elephant_server.settings import Settings, SettingsError, variable
from elephant_server.stack.errors import StackError
from elephant_server.stack.ports import reachable

# They would end a quoted path in supervisord.conf or nginx.conf.
_NOT_IN_PATHS = frozenset("\"'\\$\n")


def make_folders(settings: Settings) -> None:
    """Make the workspace and the folder for sockets and logs, and all that the services expect inside.

    Raises
    ------
    StackError
        If one cannot be made.
    SettingsError
        If a path has a character that the configuration files cannot hold.
    """
    for field in ("workspace", "run_dir", "home"):
        path = str(getattr(settings, field))
        if _NOT_IN_PATHS.intersection(path):
            raise SettingsError(f"{variable(field)}: expected a path without quotes, \\ and $; got {path}.")
    run = settings.runtime_dir
    inside = (settings.service_logs_dir, run / "nginx", run / "rabbitmq")
    for folder in (settings.datasets_dir, settings.models_dir, settings.logs_dir, *inside):
        _make(folder, variable("run_dir" if folder in inside else "workspace"))


@contextlib.contextmanager
def socket_folder(settings: Settings) -> Iterator[Path]:
    """Give a folder for Unix sockets: the run folder, or a temporary one where that cannot hold them.

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


def write_configuration(settings: Settings, sockets: Path) -> None:
    """Render the configuration of NGINX and RabbitMQ into the run folder."""
    run = settings.runtime_dir
    _write(run / "nginx.conf", nginx_configuration(settings, sockets))
    if settings.starts_rabbitmq:
        plugins = "[]." if settings.rabbitmq_management_port is None else "[rabbitmq_management]."
        _write(run / "rabbitmq" / "enabled_plugins", plugins)
        _write(run / "rabbitmq" / "rabbitmq.conf", "# All is in advanced.config.\n")
        _write(run / "rabbitmq" / "advanced.config", rabbitmq_configuration(settings))


def configuration_file(settings: Settings, name: str) -> Path:
    """Return ``supervisord.conf`` or ``nginx.conf`` of the checkout.

    Raises
    ------
    StackError
        If it is not there.
    """
    path = settings.home / name
    if not path.is_file():
        raise StackError(f"{path} is not there. Start in the checkout, or set {variable('home')} to the checkout.")
    return path


def nginx_configuration(settings: Settings, sockets: Path) -> str:
    """Return ``nginx.conf`` with the names in capital letters filled in."""
    address = f"[{settings.bind_address}]" if ":" in settings.bind_address else settings.bind_address
    values = {
        # Only root can choose a user, and then has to: the default one could not read the sockets.
        "USER": "user root;" if os.geteuid() == 0 else "",
        "LISTEN": f"{address}:{settings.http_port}",
        "UWSGI_SOCKET": str(sockets / "uwsgi.sock"),
    }
    text = configuration_file(settings, "nginx.conf").read_text(encoding="utf-8")
    # NGINX's own variables have small letters.
    return re.sub(r"\$\{([A-Z_]+)\}", lambda name: values[name[1]], text)


def rabbitmq_configuration(settings: Settings) -> str:
    """Return RabbitMQ's ``advanced.config``: Erlang terms, which hold any password as it is."""
    address, everything = settings.bind_address, _binary(".*")
    rabbit = [
        f'{{tcp_listeners, [{{"{address}", {settings.rabbitmq_node_port}}}]}}',
        f"{{default_user, {_binary(settings.rabbitmq_user)}}}",
        f"{{default_pass, {_binary(settings.rabbitmq_password)}}}",
        f"{{default_vhost, {_binary(settings.rabbitmq_virtual_host)}}}",
        f"{{default_permissions, [{everything}, {everything}, {everything}]}}",
        "{default_user_tags, [administrator]}",
        # The user may be called guest, whom RabbitMQ would not let in from another machine.
        "{loopback_users, []}",
    ]
    sections = [f"{{rabbit, [{', '.join(rabbit)}]}}"]
    if settings.rabbitmq_management_port is not None:
        tcp = f'[{{ip, "{address}"}}, {{port, {settings.rabbitmq_management_port}}}]'
        sections.append(f"{{rabbitmq_management, [{{tcp_config, {tcp}}}]}}")
    return f"[{', '.join(sections)}].\n"


def rabbitmq_address(settings: Settings) -> str:
    """Return the host at which the server itself reaches RabbitMQ."""
    return reachable(settings.bind_address) if settings.starts_rabbitmq else settings.rabbitmq_host


def _binary(text: str) -> str:
    return f"<<{','.join(str(byte) for byte in text.encode())}>>"


def _make(folder: Path, name: str) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = error.strerror
        raise StackError(f"{name}: {folder} cannot be made ({reason}). Choose another folder.") from None


def _write(path: Path, text: str) -> None:
    path.touch(mode=0o600)  # the password of RabbitMQ is nobody else's business
    path.write_text(text, encoding="utf-8")


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
