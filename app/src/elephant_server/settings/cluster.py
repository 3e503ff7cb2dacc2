"""Which parts of a server run on this machine, and how they reach the others."""

import ipaddress
import re
import socket

from pydantic import Field, field_validator

from elephant_server.settings.base import Port, SettingsGroup
from elephant_server.settings.hosts import is_loopback

ROLES = ("redis", "broker", "web", "workers")
_MACHINE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_SHORTEST_PASSWORD = 16


class ClusterSettings(SettingsGroup):
    """Roles, worker pairs, and what machines of one server share."""

    roles: str | None = Field(
        None,
        description="What runs on this machine, separated by commas: `redis`, `broker` (RabbitMQ), `web`, `workers`; "
        "by default all of them, except Redis and RabbitMQ if they are on another machine.",
    )
    machine: str = Field(
        default_factory=lambda: _as_name(socket.gethostname()),
        description="Name of this machine among those of one server; by default the host name.",
    )
    cluster_address: str | None = Field(
        None,
        description="IP address of this machine on which Redis and RabbitMQ listen for the other machines of this "
        "server, with passwords; by default for none.",
    )
    rabbitmq_cluster_port: Port = Field(
        5673, description="Port of RabbitMQ for the other machines of this server, at the cluster address."
    )
    redis_password: str | None = Field(
        None,
        repr=False,
        min_length=_SHORTEST_PASSWORD,
        description="Password of Redis; by default one is generated in the workspace, for the Redis that the server "
        "starts.",
    )
    worker_pairs: int | None = Field(
        None,
        ge=1,
        le=64,
        description="Pairs of a training and an answering worker on this machine; by default one for each GPU.",
    )

    @field_validator("roles")
    @classmethod
    def _check_roles(cls, text: str | None) -> str | None:
        if text is None:
            return None
        wanted = {part.strip().lower() for part in text.split(",") if part.strip()}
        if not wanted or not wanted <= set(ROLES):
            raise ValueError(f"expected some of {', '.join(ROLES)}, separated by commas, or nothing for all")
        return ",".join(role for role in ROLES if role in wanted)

    @field_validator("machine")
    @classmethod
    def _check_machine(cls, name: str) -> str:
        if not _MACHINE.fullmatch(name):
            raise ValueError("expected a name of at most 63 letters, digits or any of . _ -, such as gpu7")
        return name

    @field_validator("cluster_address")
    @classmethod
    def _check_cluster_address(cls, address: str | None) -> str | None:
        if address is None or address.lower() == "localhost":
            return address and "127.0.0.1"
        try:
            return str(ipaddress.ip_address(address.strip("[]")))
        except ValueError:
            raise ValueError("expected an IP address of this machine, such as 10.0.0.1") from None

    @property
    def role_names(self) -> frozenset[str]:
        """What runs on this machine."""
        return frozenset(ROLES if self.roles is None else self.roles.split(","))

    @property
    def is_cluster(self) -> bool:
        """Whether this is one of several machines, or sets of programs, that are one server."""
        return self.cluster_address is not None or len(self.role_names) < len(ROLES)

    @property
    def is_reached_by_cluster(self) -> bool:
        """Whether Redis and RabbitMQ are there for other machines."""
        return self.cluster_address is not None and not is_loopback(self.cluster_address)

    @property
    def starts_web(self) -> bool:
        """Whether NGINX and uWSGI run on this machine."""
        return "web" in self.role_names

    @property
    def starts_workers(self) -> bool:
        """Whether workers run on this machine."""
        return "workers" in self.role_names


def _as_name(host: str) -> str:
    """Return a host's name as a machine may be called."""
    return re.sub(r"[^A-Za-z0-9._-]", "-", host).strip("-._")[:63] or "machine"
