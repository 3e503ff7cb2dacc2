"""Settings from the environment: one frozen object, made once per process.

Every setting is a variable with the prefix ``ELEPHANT_``, or a line of a ``.env`` file in the current folder
or in the checkout. The environment takes precedence over the files, the current folder's file over the checkout's.
"""

import functools
import json
import os
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import Literal

from dotenv import dotenv_values
from pydantic import Field, ValidationError, field_validator

from elephant.errors import InvalidInputError
from elephant.io.addresses import CACHE, RemoteRules
from elephant_server.settings.access import AccessSettings
from elephant_server.settings.base import PREFIX, in_url, is_loopback, is_this_machine, variable
from elephant_server.settings.services import ServiceSettings
from elephant_server.settings.workspace import ModelSettings, MovieSettings, checkout_root

__all__ = [
    "PREFIX",
    "Settings",
    "SettingsError",
    "checkout_root",
    "get_settings",
    "in_url",
    "is_loopback",
    "is_this_machine",
    "load_settings",
    "unknown_settings",
    "variable",
]

LogLevel = Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"]
_LIKE = 0.7
# What the scripts for containers, and the tests, read.
_OF_SCRIPTS = frozenset(
    PREFIX + name
    for name in (
        *("APPTAINER", "BASE", "CHECKOUT", "DOCKER", "IMAGE_NAME", "INSTANCE", "LOGIN_NODE", "SIF", "TORCH"),
        *("TEST_AGAIN", "TEST_ALL", "TEST_CLIENT", "TEST_CORRECTIONS", "TEST_IMAGE", "TEST_STACK"),
    )
)


class SettingsError(InvalidInputError):
    """A variable has an invalid value; the message names it, and says what was expected and what was found."""


class Settings(ServiceSettings, AccessSettings, MovieSettings, ModelSettings):
    """The settings of a server: from variables and, through :func:`load_settings`, from ``.env`` files.

    Raises
    ------
    pydantic.ValidationError
        If a value cannot be used. :func:`load_settings` turns it into a :class:`SettingsError`.
    """

    log_level: LogLevel = Field(
        "INFO", description="Lowest level that is logged: DEBUG, INFO, WARNING, ERROR or CRITICAL."
    )

    @field_validator("log_level", mode="before")
    @classmethod
    def _raise_case(cls, level: object) -> object:
        return level.upper() if isinstance(level, str) else level

    @property
    def requires_token(self) -> bool:
        """Whether the server requires a token."""
        return self.is_open or self.token is not None or self.token_file is not None

    @property
    def token_path(self) -> Path | None:
        """File that holds the token; None if it is a variable, or none is required."""
        if self.token_file is None and self.token is None and self.is_open:
            return self.secrets_dir / "token"
        return self.token_file

    @property
    def password_path(self) -> Path | None:
        """File that holds RabbitMQ's password; None if it is a variable."""
        is_needed = (self.is_open or self.is_cluster) and "rabbitmq_password" not in self.model_fields_set
        return self.secrets_dir / "rabbitmq.password" if is_needed else None

    @property
    def redis_password_path(self) -> Path | None:
        """File that holds Redis' password; None where it is a variable, or Redis is not one of this server's own."""
        is_own = self.is_cluster or self.starts_redis
        return self.secrets_dir / "redis.password" if is_own and self.redis_password is None else None

    @property
    def remote_rules(self) -> RemoteRules:
        """Whether and how movies on other machines are read, which users of the server choose."""
        return RemoteRules(
            is_allowed=self.allow_remote_sources,
            allow_private=self.allow_private_addresses,
            trusts_named_hosts=False,
            cache=self.workspace / CACHE,
            cache_bytes=int(self.remote_cache_gib * 2**30),
            s3_endpoint=self.s3_endpoint,
        )

    def as_environment(self) -> dict[str, str]:
        """Return variables from which another process reads the same settings, wherever it was started."""
        values = ((variable(name), getattr(self, name)) for name in type(self).model_fields)
        return {name: "" if value is None else str(value) for name, value in values}


def load_settings(**given: object) -> Settings:
    """Read the settings from the environment and the ``.env`` files; those `given` by name take precedence.

    Raises
    ------
    SettingsError
        If a value cannot be used, or a ``.env`` file cannot be read.
    """
    try:
        return Settings(_env_file=env_files(), **given)  # type: ignore[arg-type]
    except ValidationError as error:
        raise SettingsError(_explain(error)) from None
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"A .env file cannot be read: {error}.") from None


def env_files() -> tuple[Path, ...]:
    """Return the ``.env`` files to read if they exist; the later one takes precedence."""
    home = Path(os.environ.get(variable("home")) or checkout_root())
    files = (home / ".env", Path(".env"))
    return files if files[0].resolve() != files[1].resolve() else files[:1]


@functools.cache
def get_settings() -> Settings:
    """Return the settings of this process, read once."""
    return load_settings()


def _explain(error: ValidationError) -> str:
    lines = []
    for problem in error.errors(include_url=False):
        expected = problem["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
        expected = expected.removeprefix("expected ")
        if not problem["loc"]:
            lines.append(f"{PREFIX}...: expected {expected}.")
            continue
        field = str(problem["loc"][0])
        found = json.dumps(problem["input"], default=str)
        # What is not shown in `repr` is a secret, and this may end in a log.
        shown = found if Settings.model_fields[field].repr else "something else"
        lines.append(f"{variable(field)}: expected {expected}; got {shown}.")
    return "\n".join(lines)


def unknown_settings() -> list[str]:
    """Return a sentence for each variable, or line of a ``.env`` file, that looks like a setting but is not."""
    found = [_describe(name, "") for name in _unknown(os.environ)]
    for file in env_files():
        found += [_describe(name, f" in {file}") for name in _unknown(_names_in(file))]
    return found


def known_names() -> frozenset[str]:
    """Return all names that the server or its scripts know."""
    return frozenset(variable(field) for field in Settings.model_fields) | _OF_SCRIPTS


def _unknown(names: Iterable[str]) -> Iterator[str]:
    known = known_names()
    return (name for name in sorted(names) if name.upper().startswith(PREFIX) and name.upper() not in known)


def _names_in(file: Path) -> list[str]:
    try:
        return list(dotenv_values(file, encoding="utf-8")) if file.is_file() else []
    except (OSError, UnicodeDecodeError):  # refused where the settings are read
        return []


def _describe(name: str, place: str) -> str:
    plain = {known.removeprefix(PREFIX): known for known in sorted(known_names())}
    near = get_close_matches(name.upper().removeprefix(PREFIX), plain, n=1, cutoff=_LIKE)
    remedy = f"did you mean {plain[near[0]]}?" if near else "`docs/reference/settings.md` lists them."
    return f"{name}{place} is not a setting and has no effect: {remedy}"
