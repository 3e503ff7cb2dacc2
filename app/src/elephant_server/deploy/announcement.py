"""Messages about a running server: its address, and what a client needs to know."""

import socket

from elephant_server.auth.local_access import url_with_token
from elephant_server.deploy.users import ROOT_WARNING, runs_as_root_unasked
from elephant_server.settings import Settings, in_url, is_loopback
from elephant_server.settings.hosts import is_unspecified

OPEN_WARNING = (
    "Warning: it listens on {address} without a token, since ELEPHANT_LISTEN_ADDRESS says that this is a container "
    "whose ports are published only on {published}."
)


def announcement(settings: Settings, device: str, *, with_secrets: bool) -> list[str]:
    """Return the lines to print after the start; without secrets they say where those are."""
    # What a container prints is kept by its engine.
    with_secrets = with_secrets and settings.listen_address is None
    url = url_with_token(settings.http_url, settings) if with_secrets else settings.http_url
    if not settings.starts_web:
        return [*_warnings(settings), *_part(settings, device)]
    return [
        *_warnings(settings),
        f"Serving on {url} - press Ctrl-C to stop",
        *_access(settings, with_secrets),
        f"    device     {device}",
        f"    workspace  {settings.workspace}",
        f"    logs       {settings.service_logs_dir}",
    ]


def _part(settings: Settings, device: str) -> list[str]:
    """Return the lines about a machine that is part of a server, without its address."""
    roles = ", ".join(settings.roles.split(",")) if settings.roles else ""
    return [
        f"Running {roles} as {settings.machine} - press Ctrl-C to stop",
        *([f"    device     {device}"] if device else []),
        f"    workspace  {settings.workspace}",
        f"    logs       {settings.service_logs_dir}",
    ]


def _warnings(settings: Settings) -> list[str]:
    address = settings.listens_at
    is_open_without = not is_loopback(address) and not settings.requires_token
    return [
        *([ROOT_WARNING] if runs_as_root_unasked(settings) else []),
        *([OPEN_WARNING.format(address=address, published=settings.bind_address)] if is_open_without else []),
    ]


def access(settings: Settings) -> list[str]:
    """Return what a person enters into the client, secrets and all."""
    scheme = "amqps" if settings.uses_tls and settings.starts_rabbitmq else "amqp"
    host = _name(settings) if settings.starts_rabbitmq else settings.rabbitmq_host
    return [
        f"ELEPHANT server URL     {url_with_token(network_url(settings), settings)}",
        f"RabbitMQ                {scheme}, host {host}, port {settings.rabbitmq_node_port}",
        f"RabbitMQ user           {settings.rabbitmq_user}",
        f"RabbitMQ password       {settings.rabbitmq_password}",
        f"RabbitMQ virtual host   {settings.rabbitmq_virtual_host}",
    ]


def network_url(settings: Settings) -> str:
    """Return the address for other machines, if the server listens beyond this one."""
    if not is_unspecified(settings.bind_address):
        return settings.http_url
    scheme = "https" if settings.uses_tls else "http"
    return f"{scheme}://{in_url(_name(settings))}:{settings.http_port}/"


def _access(settings: Settings, with_secrets: bool) -> list[str]:
    if not settings.requires_token:
        return []
    if with_secrets:
        return ["    For the client:", *(f"        {line}" for line in access(settings))] if settings.is_open else []
    # In a container there is no `make`, but its shell is one command away.
    command = "make access" if settings.listen_address is None else "python -m elephant_server.deploy --access inside"
    where = settings.token_path or "ELEPHANT_TOKEN"
    return [f"    token      required, but not shown here since output may be logged: {command} ({where})"]


def _name(settings: Settings) -> str:
    """Return the name or address by which other machines know this one."""
    if not settings.is_open:
        return "localhost"
    if not is_unspecified(settings.bind_address):
        return settings.bind_address
    if settings.listen_address is not None:
        return "NAME-OF-THE-MACHINE"  # a container does not know it
    name = socket.getfqdn()
    return socket.gethostname() if name.startswith("localhost") else name
