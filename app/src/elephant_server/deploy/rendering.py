"""The configuration files of supervisord, NGINX, Redis and RabbitMQ, rendered into the run folder."""

import os
import re
from collections.abc import Mapping
from pathlib import Path

from elephant_server.deploy.preflight import OwnPorts, reachable, redis_addresses
from elephant_server.deploy.workers import Worker, workers_of
from elephant_server.errors import StackError
from elephant_server.settings import Settings, in_url, variable

# Authenticated encryption with forward secrecy: no CBC, no static RSA. Java has supported some since version 8.
_CIPHERS = tuple(
    f"ECDHE-{kind}-{cipher}"
    for cipher in ("AES128-GCM-SHA256", "AES256-GCM-SHA384", "CHACHA20-POLY1305")
    for kind in ("ECDSA", "RSA")
)
_CIPHERS_13 = ("TLS_AES_256_GCM_SHA384", "TLS_AES_128_GCM_SHA256", "TLS_CHACHA20_POLY1305_SHA256")


def write_configuration(settings: Settings, sockets: Path, own: OwnPorts) -> None:
    """Render the configuration of supervisord and of the services into the run folder."""
    run = settings.runtime_dir
    _write(run / "supervisord.conf", supervisord_configuration(settings, workers_of(settings)))
    if settings.starts_web:
        _write(run / "nginx.conf", nginx_configuration(settings, sockets))
    if settings.starts_redis:
        _write(run / "redis.conf", redis_configuration(settings))
    if settings.starts_rabbitmq:
        plugins = "[]." if settings.rabbitmq_management_port is None else "[rabbitmq_management]."
        _write(run / "rabbitmq" / "enabled_plugins", plugins)
        _write(run / "rabbitmq" / "rabbitmq.conf", "# All is in advanced.config.\n")
        _write(run / "rabbitmq" / "advanced.config", rabbitmq_configuration(settings, own.amqp))


def configuration_file(settings: Settings, name: str) -> Path:
    """Return a configuration file of the checkout.

    Raises
    ------
    StackError
        If it does not exist.
    """
    path = settings.home / name
    if not path.is_file():
        raise StackError(f"{path} does not exist. Start in the checkout, or set {variable('home')} to the checkout.")
    return path


def supervisord_configuration(settings: Settings, workers: list[Worker]) -> str:
    """Return ``supervisord.conf`` with a program for each worker."""
    worker = configuration_file(settings, "supervisord.worker.conf").read_text(encoding="utf-8")
    programs = [_filled(worker, _worker_values(each)) for each in workers]
    names = "".join(f"{each.name}," for each in workers)
    text = configuration_file(settings, "supervisord.conf").read_text(encoding="utf-8")
    return _filled(text, {"WORKERS": names, "WORKER_PROGRAMS": "".join(programs)})


def _worker_values(worker: Worker) -> dict[str, str]:
    variables = ",".join(f'{name}="{value}"' for name, value in worker.environment.items())
    return {"NAME": worker.name, "QUEUE": worker.queue, "ENVIRONMENT": variables}


def nginx_configuration(settings: Settings, sockets: Path) -> str:
    """Return ``nginx.conf`` with the names in capital letters filled in, and the paths that its locations are for."""
    values = {
        # Only root can choose a user, and then has to: the default one could not read the sockets.
        "USER": "user root;" if os.geteuid() == 0 else "",
        "LISTEN": f"{in_url(settings.listens_at)}:{settings.http_port}{' ssl' if settings.uses_tls else ''}",
        "TLS": _nginx_tls(settings),
        "REQUEST_ERRORS": "emerg" if settings.requires_token else "error",
        "UWSGI_SOCKET": str(sockets / "uwsgi.sock"),
        "HTTP_SOCKET": str(sockets / "http.sock"),
        "MAX_BODY_MIB": str(settings.max_body_mib),
        "MAX_MODEL_MIB": str(settings.max_model_mib),
        **_nginx_paths(),
    }
    return _filled(configuration_file(settings, "nginx.conf").read_text(encoding="utf-8"), values)


def _nginx_paths() -> dict[str, str]:
    """Return the paths of the endpoints whose bodies are large, by the location that they have in common."""
    from flask import Flask

    from elephant_server.api import register
    from elephant_server.api.endpoint import BodySize, endpoints

    app = Flask(__name__)
    register(app)
    found: dict[str, list[str]] = {"LARGE_PATHS": [], "STREAMED_PATHS": [], "MODEL_PATHS": []}
    for rule, facts in endpoints(app):
        if facts.size is not BodySize.SMALL:
            kind = "STREAMED" if facts.is_streamed else facts.size.name
            found[f"{kind}_PATHS"].append(rule.rule)
    return {name: "|".join(sorted(paths)) for name, paths in found.items()}


def _filled(text: str, values: Mapping[str, str]) -> str:
    """Return a template with its names filled in; NGINX's own variables have small letters."""
    return re.sub(r"\$\{([A-Z_]+)\}", lambda name: values[name[1]], text)


def redis_configuration(settings: Settings) -> str:
    """Return ``redis.conf``.

    Raises
    ------
    StackError
        Others would reach it without a password: other machines, or other users of this one, who could give the
        workers jobs.
    """
    if settings.redis_password is None:
        raise StackError("Redis would be open to others without a password: set ELEPHANT_REDIS_PASSWORD.")
    lines = [
        f"bind {' '.join(redis_addresses(settings))}",
        f"port {settings.redis_port}",
        "protected-mode yes",
        'save ""',
        "appendonly no",
        "daemonize no",
        f'dir "{settings.runtime_dir}"',
    ]
    lines.append(f"requirepass {_quoted(settings.redis_password)}")
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    """Quote a text for Redis' configuration file."""
    return '"' + "".join(f"\\x{byte:02x}" for byte in text.encode()) + '"'


def rabbitmq_configuration(settings: Settings, amqp_port: int) -> str:
    """Return RabbitMQ's ``advanced.config``: Erlang terms, which hold any password as it is.

    With a certificate, clients use TLS, and the server itself uses `amqp_port`, which only this machine reaches.
    """
    everything, has_page = _binary(".*"), settings.rabbitmq_management_port is not None
    rabbit = [
        *_listeners(settings, amqp_port),
        f"{{default_user, {_binary(settings.rabbitmq_user)}}}",
        f"{{default_pass, {_binary(settings.rabbitmq_password)}}}",
        f"{{default_vhost, {_binary(settings.rabbitmq_virtual_host)}}}",
        f"{{default_permissions, [{everything}, {everything}, {everything}]}}",
        f"{{default_user_tags, [{'administrator' if has_page else ''}]}}",
        # By default RabbitMQ refuses the user guest from other machines.
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
        f"ssl_protocols TLSv1.2 TLSv1.3; ssl_ciphers {':'.join(_CIPHERS)}; ssl_prefer_server_ciphers off;"
    )


def _listeners(settings: Settings, amqp_port: int) -> list[str]:
    public, plain = _listener(settings.listens_at, settings.rabbitmq_node_port), []
    if settings.cluster_address is not None:
        plain.append(_listener(settings.cluster_address, settings.rabbitmq_cluster_port))
    if not settings.uses_tls:
        return [f"{{tcp_listeners, [{', '.join([public, *plain])}]}}"]
    return [
        f"{{tcp_listeners, [{', '.join([_listener('127.0.0.1', amqp_port), *plain])}]}}",
        f"{{ssl_listeners, [{public}]}}",
        f"{{ssl_options, [{_tls(settings)}]}}",
    ]


def _listener(address: str, port: int) -> str:
    return f'{{"{address}", {port}}}'


def _management(settings: Settings) -> str:
    """Return the listener of the management page, encrypted if there is a certificate."""
    where = f'{{ip, "{settings.listens_at}"}}, {{port, {settings.rabbitmq_management_port}}}'
    return f"{{ssl_config, [{where}, {_tls(settings)}]}}" if settings.uses_tls else f"{{tcp_config, [{where}]}}"


def _tls(settings: Settings) -> str:
    cert, key = settings.tls_cert, settings.tls_key
    # A list in Erlang is one for all versions.
    ciphers = ", ".join(f'"{name}"' for name in (*_CIPHERS_13, *_CIPHERS))
    return (
        f"{{certfile, \"{cert}\"}}, {{keyfile, \"{key}\"}}, {{versions, ['tlsv1.3', 'tlsv1.2']}}, "
        f"{{ciphers, [{ciphers}]}}, {{client_renegotiation, false}}"
    )


def _binary(text: str) -> str:
    return f"<<{','.join(str(byte) for byte in text.encode())}>>"


def _write(path: Path, text: str) -> None:
    path.touch(mode=0o600)  # it may hold a password
    path.write_text(text, encoding="utf-8")
