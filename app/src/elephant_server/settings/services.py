"""Where HTTP, Redis and RabbitMQ are."""

import ipaddress
from pathlib import Path
from typing import Self
from urllib.parse import quote

from pydantic import Field, field_validator, model_validator

from elephant_server.settings.base import Port
from elephant_server.settings.cluster import ClusterSettings
from elephant_server.settings.folders import absolute
from elephant_server.settings.hosts import in_url, is_loopback, is_this_machine, is_unspecified


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
        """Whether HTTP and RabbitMQ are there for other machines."""
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
    def redis_result_url(self) -> str:
        """Database of the answers of the workers."""
        return self._redis_database(2)

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
