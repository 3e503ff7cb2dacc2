"""What the environment says: one frozen object, made once per process.

Every setting is a variable with the prefix ``ELEPHANT_``, or a line of a ``.env`` file in the current folder
or in the checkout. The environment wins over the files, the current folder's file over the checkout's.
"""

import functools
import ipaddress
import json
import os
import re
import socket
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import quote

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from elephant.errors import InvalidInputError

PREFIX = "ELEPHANT_"
# Values for which an empty variable says something; elsewhere it means that the default counts.
_MAY_BE_EMPTY = frozenset({"gpu", "pretrained_url"})
_GPU_LIST = re.compile(r"^(\d+|(GPU|MIG)-[0-9a-fA-F-]+)(,(\d+|(GPU|MIG)-[0-9a-fA-F-]+))*$")

_CHECKSUM = re.compile(r"^[^=,/]+=[0-9a-fA-F]{64}$")

Port = Annotated[int, Field(ge=1, le=65535)]
LogLevel = Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"]


class SettingsError(InvalidInputError):
    """A variable has a value that cannot be used; the message names it, what was expected and what came."""


def checkout_root() -> Path:
    """Return the checkout, which holds ``supervisord.conf`` and ``nginx.conf``; else the current folder."""
    for folder in Path(__file__).resolve().parents:
        if (folder / "supervisord.conf").is_file() and (folder / "nginx.conf").is_file():
            return folder
    return Path.cwd()


def is_this_machine(host: str) -> bool:
    """Say whether a service at ``host`` is one that the launcher itself has to start."""
    name = host.strip("[]").lower()
    if name in ("localhost", socket.gethostname().lower()):
        return True
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


class Settings(BaseSettings):
    """The settings of a server: from variables and, through :func:`load_settings`, from ``.env`` files.

    Raises
    ------
    pydantic.ValidationError
        If a value cannot be used. :func:`load_settings` turns it into a :class:`SettingsError`.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, frozen=True, extra="ignore", validate_default=True, env_file_encoding="utf-8"
    )

    http_port: Port = Field(8080, description="Port of the address that the client is given.")
    bind_address: str = Field(
        "127.0.0.1",
        description="IP address on which HTTP and RabbitMQ listen; 0.0.0.0 opens them to the whole network.",
    )
    http_processes: int = Field(2, ge=1, le=64, description="Processes that answer HTTP requests.")
    http_threads: int = Field(
        48, ge=2, le=1024, description="Requests that one of those processes can hold open at a time."
    )
    redis_host: str = Field(
        "127.0.0.1", description="Machine on which Redis runs; none is started when it is another machine."
    )
    redis_port: Port = Field(6379, description="Port of Redis, which keeps the jobs and the state.")
    rabbitmq_host: str = Field(
        "localhost", description="Machine on which RabbitMQ runs; none is started when it is another machine."
    )
    rabbitmq_node_port: Port = Field(5672, description="Port of RabbitMQ, from which the client gets its messages.")
    rabbitmq_management_port: Port | None = Field(
        None, description="Port of RabbitMQ's management page; without it the page is not started."
    )
    rabbitmq_virtual_host: str = Field("/", min_length=1, description="Virtual host of RabbitMQ.")
    rabbitmq_user: str = Field("user", min_length=1, description="User of RabbitMQ.")
    rabbitmq_password: str = Field("user", min_length=1, repr=False, description="Password of RabbitMQ.")
    workspace: Path = Field(
        Path("workspace"), description="Folder that holds the datasets, the models and the logs of trainings."
    )
    run_dir: Path | None = Field(
        None,
        description="Folder for sockets and logs of the services; `.run` in the workspace by default.",
    )
    home: Path = Field(
        default_factory=checkout_root,
        description="Folder that holds `supervisord.conf` and `nginx.conf`; the checkout by default.",
    )
    gpu: str = Field("all", description="GPUs to use: `all`, an index, a list of them (`0,1`), or empty for none.")
    pretrained_url: str = Field(
        "https://github.com/elephant-track/elephant-server/releases/download/data/",
        description="Address below which pretrained models are that are not in `models/pretrained`; empty for none.",
    )
    pretrained_checksums: str = Field(
        "",
        description="SHA-256 of pretrained models that are fetched, as `name=checksum`, separated by commas.",
    )
    log_level: LogLevel = Field(
        "INFO", description="Least level that is logged: DEBUG, INFO, WARNING, ERROR or CRITICAL."
    )

    @model_validator(mode="before")
    @classmethod
    def _drop_empty(cls, values: dict[str, object]) -> dict[str, object]:
        """Let ``NAME=`` in a ``.env`` mean the default, except where empty says something of its own."""
        return {name: value for name, value in values.items() if value != "" or name in _MAY_BE_EMPTY}

    @field_validator("workspace", "run_dir", "home")
    @classmethod
    def _make_absolute(cls, path: Path | None) -> Path | None:
        """Fix a relative folder to where the server was started, whatever folder a worker is in later."""
        return None if path is None else Path(os.path.abspath(path.expanduser()))  # noqa: PTH100 - keeps links

    @field_validator("bind_address")
    @classmethod
    def _check_address(cls, address: str) -> str:
        if address.lower() == "localhost":
            return "127.0.0.1"
        try:
            return str(ipaddress.ip_address(address.strip("[]")))
        except ValueError:
            raise ValueError("expected an IP address such as 127.0.0.1 or 0.0.0.0") from None

    @field_validator("gpu")
    @classmethod
    def _check_gpu(cls, gpu: str) -> str:
        wanted = gpu.replace(" ", "")
        if wanted.lower() in ("all", "none", ""):
            return "all" if wanted.lower() == "all" else ""
        if not _GPU_LIST.match(wanted):
            raise ValueError("expected `all`, an index (0), a list (0,1), or nothing for no GPU")
        return wanted

    @field_validator("pretrained_url")
    @classmethod
    def _check_pretrained_url(cls, url: str) -> str:
        if url and not url.startswith(("http://", "https://")):
            raise ValueError("expected an address that starts with http:// or https://, or nothing")
        return url if not url or url.endswith("/") else url + "/"

    @field_validator("pretrained_checksums")
    @classmethod
    def _check_checksums(cls, text: str) -> str:
        for entry in filter(None, (part.strip() for part in text.split(","))):
            if not _CHECKSUM.match(entry):
                raise ValueError("expected entries like versatile3d.pth=<64 hexadecimal digits>, separated by commas")
        return text

    @field_validator("log_level", mode="before")
    @classmethod
    def _raise_case(cls, level: object) -> object:
        return level.upper() if isinstance(level, str) else level

    @model_validator(mode="after")
    def _fill_run_dir(self) -> Self:
        if self.run_dir is None:
            object.__setattr__(self, "run_dir", self.workspace / ".run")
        return self

    @property
    def datasets_dir(self) -> Path:
        """Folder of the datasets."""
        return self.workspace / "datasets"

    @property
    def models_dir(self) -> Path:
        """Folder of the models."""
        return self.workspace / "models"

    @property
    def exports_dir(self) -> Path:
        """Folder of what is made for a download, for as long as that takes."""
        return self.workspace / ".exports"

    @property
    def logs_dir(self) -> Path:
        """Folder of the logs of trainings (not of the services, which log in :attr:`service_logs_dir`)."""
        return self.workspace / "logs"

    @property
    def pretrained_checksums_by_name(self) -> dict[str, str]:
        """SHA-256 of pretrained models by their names."""
        entries = filter(None, (part.strip() for part in self.pretrained_checksums.split(",")))
        return dict(entry.split("=", 1) for entry in entries)

    @property
    def runtime_dir(self) -> Path:
        """Folder of sockets and rendered configuration: ``run_dir``, known to be there."""
        return self.run_dir or self.workspace / ".run"

    @property
    def service_logs_dir(self) -> Path:
        """Folder of the logs of Redis, RabbitMQ, uWSGI, NGINX and the workers."""
        return self.runtime_dir / "logs"

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
        """Address of RabbitMQ, with user, password and virtual host."""
        user, password = quote(self.rabbitmq_user, safe=""), quote(self.rabbitmq_password, safe="")
        virtual_host = quote(self.rabbitmq_virtual_host, safe="")
        return f"amqp://{user}:{password}@{_in_url(self.rabbitmq_host)}:{self.rabbitmq_node_port}/{virtual_host}"

    @property
    def http_url(self) -> str:
        """Address to give to a client on this machine."""
        address = ipaddress.ip_address(self.bind_address)
        local = self.bind_address == "127.0.0.1" or address.is_unspecified
        return f"http://{'localhost' if local else _in_url(self.bind_address)}:{self.http_port}/"

    @property
    def starts_redis(self) -> bool:
        """Whether Redis runs on this machine, so that the launcher starts it."""
        return is_this_machine(self.redis_host)

    @property
    def starts_rabbitmq(self) -> bool:
        """Whether RabbitMQ runs on this machine, so that the launcher starts it."""
        return is_this_machine(self.rabbitmq_host)

    @property
    def cuda_visible_devices(self) -> str | None:
        """Value of ``CUDA_VISIBLE_DEVICES`` for the workers; None leaves it as it is (all GPUs)."""
        return None if self.gpu == "all" else self.gpu

    def as_environment(self) -> dict[str, str]:
        """Return variables from which another process reads the same settings, wherever it was started."""
        values = ((variable(name), getattr(self, name)) for name in type(self).model_fields)
        return {name: "" if value is None else str(value) for name, value in values}

    def _redis_database(self, number: int) -> str:
        return f"redis://{_in_url(self.redis_host)}:{self.redis_port}/{number}"


def variable(field: str) -> str:
    """Return the name of the variable that sets ``field``."""
    return PREFIX + field.upper()


def load_settings() -> Settings:
    """Read the settings anew from the environment and the ``.env`` files.

    Raises
    ------
    SettingsError
        If a value cannot be used, or a ``.env`` file cannot be read.
    """
    home = Path(os.environ.get(variable("home")) or checkout_root())
    try:
        return Settings(_env_file=(home / ".env", Path(".env")))
    except ValidationError as error:
        raise SettingsError(_explain(error)) from None
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"A .env file cannot be read: {error}.") from None


@functools.cache
def get_settings() -> Settings:
    """Return the settings of this process, read once."""
    return load_settings()


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host and not host.startswith("[") else host


def _explain(error: ValidationError) -> str:
    lines = []
    for problem in error.errors(include_url=False):
        name = variable(str(problem["loc"][0])) if problem["loc"] else PREFIX
        expected = problem["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
        expected = expected.removeprefix("expected ")
        lines.append(f"{name}: expected {expected}; got {json.dumps(problem['input'], default=str)}.")
    return "\n".join(lines)
