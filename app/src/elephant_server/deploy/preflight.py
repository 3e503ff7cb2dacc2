"""Preflight checks of the machine: the programs that a server needs, and free ports."""

import errno
import os
import random
import shutil
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from elephant.errors import reason_of
from elephant_server.errors import StackError
from elephant_server.settings import Settings, variable
from elephant_server.settings.base import is_unspecified

# Debian has NGINX and RabbitMQ in folders that are not in an ordinary user's PATH.
_MORE_FOLDERS = ("/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/lib/rabbitmq/bin")
# Debian's wrapper `rabbitmq-server` changes to its own user when root starts it; this one does not.
_PLAIN_RABBITMQ = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
_PACKAGES = {
    "redis-server": "redis-server",
    "rabbitmq-server": "rabbitmq-server",
    "epmd": "rabbitmq-server",
    "nginx": "nginx-light",
}
# Below the range from which the kernel takes ports for outgoing connections.
_OWN_PORTS = range(20000, 32000)
# The user of the distribution's own service, and its name, to stop it.
_SERVICES_OF_THE_DISTRIBUTION = {
    "redis_port": ("redis", "redis-server"),
    "rabbitmq_node_port": ("rabbitmq", "rabbitmq-server"),
    "rabbitmq_management_port": ("rabbitmq", "rabbitmq-server"),
}


@dataclass(frozen=True)
class Programs:
    """Paths of the programs; empty for one that these settings do not need."""

    nginx: str
    redis_server: str
    rabbitmq_server: str
    epmd: str


def find_programs(settings: Settings) -> Programs:
    """Find the programs that these settings need.

    Raises
    ------
    StackError
        If some are missing; the message is the command that installs them.
    """
    names = ["nginx"] if settings.starts_web else []
    names += ["redis-server"] if settings.starts_redis else []
    names += ["rabbitmq-server", "epmd"] if settings.starts_rabbitmq else []
    found = {name: _find(name) for name in names}
    missing = [name for name, path in found.items() if not path]
    if missing:
        packages = " ".join(sorted({_PACKAGES[name] for name in missing}))
        raise StackError(
            f"Not installed: {', '.join(missing)}. Install what is missing, then start again:\n"
            f"    sudo apt-get install --no-install-recommends {packages}"
        )
    return Programs(
        nginx=found.get("nginx", ""),
        redis_server=found.get("redis-server", ""),
        rabbitmq_server=found.get("rabbitmq-server", ""),
        epmd=found.get("epmd", ""),
    )


def _find(name: str) -> str:
    if name == "rabbitmq-server" and os.access(_PLAIN_RABBITMQ, os.X_OK):
        return str(_PLAIN_RABBITMQ)
    folders = os.pathsep.join([os.environ.get("PATH", os.defpath), *_MORE_FOLDERS])
    return shutil.which(name, path=folders) or ""


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


def wanted_ports(settings: Settings) -> list[Listener]:
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


def redis_address(settings: Settings) -> str:
    """Return the address at which programs of this machine reach its Redis."""
    return "::1" if settings.redis_host.strip("[]") == "::1" else "127.0.0.1"


def redis_addresses(settings: Settings) -> list[str]:
    """Return all addresses on which Redis listens: beyond this machine only at the cluster address."""
    own, cluster = redis_address(settings), settings.cluster_address
    if cluster is None or cluster == own:
        return [own]
    if not is_unspecified(cluster):
        return [own, cluster]
    return [cluster] if cluster == "0.0.0.0" else ["0.0.0.0", cluster]  # noqa: S104 - compared; a password is checked


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
