"""Which services run on which machine, and where they listen."""

import ipaddress
import re
import socket
from pathlib import Path
from typing import Self
from urllib.parse import quote

from pydantic import Field, field_validator, model_validator

from elephant_server.settings.base import (
    Port,
    SettingsGroup,
    absolute,
    in_url,
    is_loopback,
    is_this_machine,
    is_unspecified,
)

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
        """Whether other machines can reach Redis and RabbitMQ."""
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
    """Turn a host name into a valid name of a machine."""
    return re.sub(r"[^A-Za-z0-9._-]", "-", host).strip("-._")[:63] or "machine"


class ServiceSettings(ClusterSettings):
    """Ports, addresses and users of the services."""

    http_port: Port = Field(8080, description="Port of the server's address.")
    bind_address: str = Field(
        "127.0.0.1",
        description="IP address on which HTTP and RabbitMQ listen; any other than this machine's own, such as 0.0.0.0 "
        "for the whole network, requires a token.",
    )
    listen_address: str | None = Field(
        None,
        description="IP address on which HTTP and RabbitMQ listen if it differs from the bind address: in a "
        "container, whose ports are published on the bind address.",
    )
    tls_cert: Path | None = Field(
        None, description="Certificate (PEM, with its chain): HTTP becomes https, and RabbitMQ amqps."
    )
    tls_key: Path | None = Field(None, description="Key of the certificate (PEM, without a passphrase).")
    http_processes: int = Field(2, ge=1, le=64, description="Processes that answer HTTP requests.")
    http_threads: int = Field(
        48, ge=2, le=1024, description="Requests that each of these processes can hold open at a time."
    )
    redis_host: str = Field(
        "127.0.0.1", description="Machine on which Redis runs; if it is another machine, none is started here."
    )
    redis_port: Port = Field(6379, description="Port of Redis, which keeps the jobs and the state.")
    rabbitmq_host: str = Field(
        "localhost", description="Machine on which RabbitMQ runs; if it is another machine, none is started here."
    )
    rabbitmq_node_port: Port = Field(5672, description="Port of RabbitMQ, which delivers the client's messages.")
    rabbitmq_management_port: Port | None = Field(
        None, description="Port of RabbitMQ's management page; without it the page is not started."
    )
    rabbitmq_virtual_host: str = Field("/", min_length=1, description="Virtual host of RabbitMQ.")
    rabbitmq_user: str = Field("user", min_length=1, description="User of RabbitMQ.")
    rabbitmq_password: str = Field("user", min_length=1, repr=False, description="Password of RabbitMQ.")

    _make_tls_absolute = field_validator("tls_cert", "tls_key")(absolute)

    @field_validator("bind_address", "listen_address")
    @classmethod
    def _check_address(cls, address: str | None) -> str | None:
        if address is None or address.lower() == "localhost":
            return address and "127.0.0.1"
        try:
            return str(ipaddress.ip_address(address.strip("[]")))
        except ValueError:
            raise ValueError("expected an IP address such as 127.0.0.1 or 0.0.0.0") from None

    @field_validator("redis_host")
    @classmethod
    def _check_redis_host(cls, host: str) -> str:
        if is_unspecified(host):
            raise ValueError("expected 127.0.0.1, since Redis never listens beyond this machine, or another machine")
        return host

    @model_validator(mode="after")
    def _check_tls(self) -> Self:
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ValueError("expected both ELEPHANT_TLS_CERT and ELEPHANT_TLS_KEY, or neither")
        return self

    @property
    def listens_at(self) -> str:
        """IP address on which HTTP and RabbitMQ listen."""
        return self.listen_address or self.bind_address

    @property
    def is_open(self) -> bool:
        """Whether other machines can reach HTTP and RabbitMQ."""
        return not is_loopback(self.bind_address)

    @property
    def uses_tls(self) -> bool:
        """Whether there is a certificate, so that HTTP and RabbitMQ are encrypted."""
        return self.tls_cert is not None

    @property
    def http_url(self) -> str:
        """Address to give to a client on this machine."""
        local = self.bind_address == "127.0.0.1" or is_unspecified(self.bind_address)
        host = "localhost" if local else in_url(self.bind_address)
        return f"{'https' if self.uses_tls else 'http'}://{host}:{self.http_port}/"

    @property
    def redis_url(self) -> str:
        """Database of the state: leases, progress, requests to stop."""
        return self._redis_database(0)

    @property
    def redis_broker_url(self) -> str:
        """Database of the jobs that wait for a worker."""
        return self._redis_database(1)

    @property
    def rabbitmq_url(self) -> str:
        """Address of RabbitMQ for the server itself, with user, password and virtual host."""
        user, password = quote(self.rabbitmq_user, safe=""), quote(self.rabbitmq_password, safe="")
        virtual_host = quote(self.rabbitmq_virtual_host, safe="")
        return f"amqp://{user}:{password}@{in_url(self.rabbitmq_host)}:{self.inner_amqp_port}/{virtual_host}"

    @property
    def inner_amqp_port(self) -> int:
        """Port at which the server itself reaches RabbitMQ."""
        is_member = self.roles is not None and not self.starts_rabbitmq
        return self.rabbitmq_cluster_port if is_member else self.rabbitmq_node_port

    @property
    def starts_redis(self) -> bool:
        """Whether Redis runs on this machine, so that the launcher starts it."""
        return is_this_machine(self.redis_host) if self.roles is None else "redis" in self.role_names

    @property
    def starts_rabbitmq(self) -> bool:
        """Whether RabbitMQ runs on this machine, so that the launcher starts it."""
        return is_this_machine(self.rabbitmq_host) if self.roles is None else "broker" in self.role_names

    def _redis_database(self, number: int) -> str:
        secret = "" if self.redis_password is None else f":{quote(self.redis_password, safe='')}@"
        return f"redis://{secret}{in_url(self.redis_host)}:{self.redis_port}/{number}"
