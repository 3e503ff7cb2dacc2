"""The ports that the server listens on, whether they are free, and finding free ones."""

import errno
import random
import socket
from dataclasses import dataclass
from typing import Any

import psutil

from elephant.errors import reason_of
from elephant_server.deploy.errors import StackError
from elephant_server.deploy.redis_server import redis_addresses
from elephant_server.settings import Settings, variable

# Below the range from which the kernel takes ports for outgoing connections.
_OWN_PORTS = range(20000, 32000)
# The user as whom the distribution runs its own copy, and the name under which it can be stopped.
_SERVICES_OF_THE_DISTRIBUTION = {
    "redis_port": ("redis", "redis-server"),
    "rabbitmq_node_port": ("rabbitmq", "rabbitmq-server"),
    "rabbitmq_management_port": ("rabbitmq", "rabbitmq-server"),
}


@dataclass(frozen=True)
class Listener:
    """A port that one of the services will listen on, and the setting that says so."""

    field: str
    address: str
    port: int


@dataclass(frozen=True)
class OwnPorts:
    """Ports of this machine that the services use among themselves."""

    epmd: int
    distribution: int
    amqp: int

    @classmethod
    def chosen(cls) -> "OwnPorts":
        """Return ports that nothing listens on."""
        return cls(*free_ports(3))


def wanted(settings: Settings) -> list[Listener]:
    """Return the ports that the services of these settings use on this machine."""
    listeners = [Listener("http_port", settings.listens_at, settings.http_port)] if settings.starts_web else []
    if settings.starts_redis:
        listeners += [Listener("redis_port", address, settings.redis_port) for address in redis_addresses(settings)]
    if settings.starts_rabbitmq:
        address = settings.listens_at
        listeners.append(Listener("rabbitmq_node_port", address, settings.rabbitmq_node_port))
        if settings.cluster_address is not None:
            cluster = settings.cluster_address
            listeners.append(Listener("rabbitmq_cluster_port", cluster, settings.rabbitmq_cluster_port))
        if settings.rabbitmq_management_port is not None:
            listeners.append(Listener("rabbitmq_management_port", address, settings.rabbitmq_management_port))
    return listeners


def reachable(address: str) -> str:
    """Return the address at which this machine reaches a service that listens on ``address``."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address, address)  # noqa: S104 - compared, not bound


def require_free(listeners: list[Listener]) -> None:
    """Refuse ports that two services share, that are taken, or that may not be used.

    Raises
    ------
    StackError
        With a line for every port that cannot be used, each of which names the variable to change.
    """
    problems = _shared(listeners) or [problem for problem in map(_problem, listeners) if problem]
    if problems:
        raise StackError("\n".join(problems))


def free_ports(count: int) -> list[int]:
    """Return ``count`` ports of this machine that nothing listens on, for use among the services."""
    found: list[int] = []
    for port in random.sample(_OWN_PORTS, len(_OWN_PORTS)):
        if _bind_error("127.0.0.1", port) is None:
            found.append(port)
        if len(found) == count:
            return found
    raise StackError(f"Could not find {count} free ports from {_OWN_PORTS.start} to {_OWN_PORTS.stop - 1}.")


def _shared(listeners: list[Listener]) -> list[str]:
    owners: dict[int, str] = {}
    problems = []
    for listener in listeners:
        name = variable(listener.field)
        other = owners.setdefault(listener.port, name)
        if other != name:
            problems.append(f"{name} and {other} are both {listener.port}: set one of them to another port.")
    return problems


def _problem(listener: Listener) -> str | None:
    name = variable(listener.field)
    error = _bind_error(listener.address, listener.port)
    if error is None:
        return None
    if error.errno == errno.EADDRINUSE:
        holder, other = _holder(listener), _next(listener)
        return f"Port {listener.port} is taken{holder}. Set {name} to another one, such as {other}."
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"Port {listener.port} may only be used by root. Set {name} to one above 1023."
    if error.errno == errno.EADDRNOTAVAIL:
        address = variable("bind_address")
        return f"{listener.address} is not an address of this machine. Set {address} to one that is."
    return f"Port {listener.port} cannot be used: {reason_of(error)}. Set {name} to another one."


def _bind_error(address: str, port: int) -> OSError | None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # Connections of a server that has just ended do not count as taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
            probe.listen(1)
        except OSError as error:
            return error
    return None


def _next(listener: Listener) -> int:
    candidates = range(listener.port + 1, 65536)
    return next((port for port in candidates if _bind_error(listener.address, port) is None), 0)


def _holder(listener: Listener) -> str:
    """Return which program listens there, as far as this user can see, and how to stop a well-known one."""
    holder = _listening_process(listener.port)
    text = f" by {holder['name']}, process {holder['pid']}" if holder else ""
    user, service = _SERVICES_OF_THE_DISTRIBUTION.get(listener.field, ("", ""))
    if service and (not holder or holder["username"] == user):
        text += f" (if that is the service of your distribution: sudo systemctl disable --now {service})"
    return text


def _listening_process(port: int) -> dict[str, Any]:
    """Return its name, pid and username; empty if the process of another user is hidden from this one."""
    try:
        for connection in psutil.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port and connection.pid:
                return dict(psutil.Process(connection.pid).as_dict(["name", "pid", "username"]))
    except psutil.Error:
        pass
    return {}
