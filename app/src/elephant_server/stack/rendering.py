"""The configuration files of NGINX and RabbitMQ, rendered into the run folder."""

import os
import re
from pathlib import Path

from elephant_server.settings import Settings, in_url, variable
from elephant_server.stack.errors import StackError
from elephant_server.stack.ports import OwnPorts, reachable


def write_configuration(settings: Settings, sockets: Path, own: OwnPorts) -> None:
    """Render the configuration of NGINX and RabbitMQ into the run folder."""
    run = settings.runtime_dir
    _write(run / "nginx.conf", nginx_configuration(settings, sockets))
    if settings.starts_rabbitmq:
        plugins = "[]." if settings.rabbitmq_management_port is None else "[rabbitmq_management]."
        _write(run / "rabbitmq" / "enabled_plugins", plugins)
        _write(run / "rabbitmq" / "rabbitmq.conf", "# All is in advanced.config.\n")
        _write(run / "rabbitmq" / "advanced.config", rabbitmq_configuration(settings, own.amqp))


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
    values = {
        # Only root can choose a user, and then has to: the default one could not read the sockets.
        "USER": "user root;" if os.geteuid() == 0 else "",
        "LISTEN": f"{in_url(settings.listens_at)}:{settings.http_port}{' ssl' if settings.uses_tls else ''}",
        "TLS": _nginx_tls(settings),
        "REQUEST_ERRORS": "emerg" if settings.requires_token else "error",
        "UWSGI_SOCKET": str(sockets / "uwsgi.sock"),
        "LOOK_FIRST": "auth_request /_nginx/gate;" if settings.requires_token else "",
        "MAX_BODY_MIB": str(settings.max_body_mib),
        "MAX_MODEL_MIB": str(settings.max_model_mib),
    }
    text = configuration_file(settings, "nginx.conf").read_text(encoding="utf-8")
    # NGINX's own variables have small letters.
    return re.sub(r"\$\{([A-Z_]+)\}", lambda name: values[name[1]], text)


def rabbitmq_configuration(settings: Settings, amqp_port: int) -> str:
    """Return RabbitMQ's ``advanced.config``: Erlang terms, which hold any password as it is.

    With a certificate, clients speak TLS, and the server itself uses `amqp_port`, which only this machine reaches.
    """
    everything, has_page = _binary(".*"), settings.rabbitmq_management_port is not None
    rabbit = [
        *_listeners(settings, amqp_port),
        f"{{default_user, {_binary(settings.rabbitmq_user)}}}",
        f"{{default_pass, {_binary(settings.rabbitmq_password)}}}",
        f"{{default_vhost, {_binary(settings.rabbitmq_virtual_host)}}}",
        f"{{default_permissions, [{everything}, {everything}, {everything}]}}",
        f"{{default_user_tags, [{'administrator' if has_page else ''}]}}",
        # The user may be called guest, whom RabbitMQ would not let in from another machine.
        "{loopback_users, []}",
    ]
    sections = [f"{{rabbit, [{', '.join(rabbit)}]}}"]
    if has_page:
        sections.append(f"{{rabbitmq_management, [{_management(settings)}]}}")
    return f"[{', '.join(sections)}].\n"


def rabbitmq_address(settings: Settings) -> str:
    """Return the host at which the server itself reaches RabbitMQ."""
    if not settings.starts_rabbitmq:
        return settings.rabbitmq_host
    return "127.0.0.1" if settings.uses_tls else reachable(settings.listens_at)


def _nginx_tls(settings: Settings) -> str:
    if not settings.uses_tls:
        return ""
    return (
        f'ssl_certificate "{settings.tls_cert}"; ssl_certificate_key "{settings.tls_key}"; '
        "ssl_protocols TLSv1.2 TLSv1.3;"
    )


def _listeners(settings: Settings, amqp_port: int) -> list[str]:
    public = f'[{{"{settings.listens_at}", {settings.rabbitmq_node_port}}}]'
    if not settings.uses_tls:
        return [f"{{tcp_listeners, {public}}}"]
    return [
        f'{{tcp_listeners, [{{"127.0.0.1", {amqp_port}}}]}}',
        f"{{ssl_listeners, {public}}}",
        f"{{ssl_options, [{_tls(settings)}]}}",
    ]


def _management(settings: Settings) -> str:
    """Return where the management page is; with a certificate it is encrypted too."""
    where = f'{{ip, "{settings.listens_at}"}}, {{port, {settings.rabbitmq_management_port}}}'
    return f"{{ssl_config, [{where}, {_tls(settings)}]}}" if settings.uses_tls else f"{{tcp_config, [{where}]}}"


def _tls(settings: Settings) -> str:
    cert, key = settings.tls_cert, settings.tls_key
    return f"{{certfile, \"{cert}\"}}, {{keyfile, \"{key}\"}}, {{versions, ['tlsv1.3', 'tlsv1.2']}}"


def _binary(text: str) -> str:
    return f"<<{','.join(str(byte) for byte in text.encode())}>>"


def _write(path: Path, text: str) -> None:
    path.touch(mode=0o600)  # the password of RabbitMQ is nobody else's business
    path.write_text(text, encoding="utf-8")
