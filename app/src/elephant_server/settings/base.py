"""What the groups of settings share: their base class, and names and addresses of machines."""

import ipaddress
import os
import socket
from pathlib import Path
from typing import Annotated

from pydantic import Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

PREFIX = "ELEPHANT_"
# Settings for which an empty value has a meaning; for all others it means the default.
_MAY_BE_EMPTY = frozenset({"gpu", "pretrained_url"})

Port = Annotated[int, Field(ge=1, le=65535)]


class SettingsGroup(BaseSettings):
    """A part of the settings; :class:`elephant_server.settings.Settings` is all of them."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, frozen=True, extra="ignore", validate_default=True, env_file_encoding="utf-8"
    )

    @model_validator(mode="before")
    @classmethod
    def _drop_empty(cls, values: dict[str, object]) -> dict[str, object]:
        """Let ``NAME=`` in a ``.env`` mean the default, except where an empty value has its own meaning."""
        return {name: value for name, value in values.items() if value != "" or name in _MAY_BE_EMPTY}


def variable(field: str) -> str:
    """Return the name of the variable that sets ``field``."""
    return PREFIX + field.upper()


def is_this_machine(host: str) -> bool:
    """Return whether the launcher itself has to start a service at ``host``."""
    name = host.strip("[]").lower()
    if name in ("localhost", socket.gethostname().lower()):
        return True
    return is_loopback(name) or is_unspecified(name)


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach an address."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def is_unspecified(host: str) -> bool:
    """Return whether an address stands for all addresses of a machine."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_unspecified
    except ValueError:
        return False


def in_url(host: str) -> str:
    """Return a host as it stands in a URL: addresses of IPv6 in brackets."""
    return f"[{host}]" if ":" in host and not host.startswith("[") else host


def absolute(path: Path | None) -> Path | None:
    """Fix a relative path to where the server was started, whatever folder a worker is in later."""
    return None if path is None else Path(os.path.abspath(path.expanduser()))  # noqa: PTH100 - keeps links
