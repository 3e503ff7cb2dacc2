"""The generated token and passwords of a server."""

import os
import secrets
import tempfile
from pathlib import Path

from elephant.errors import reason_of
from elephant_server.auth.local_access import password_of
from elephant_server.auth.tokens import read_tokens
from elephant_server.deploy.errors import StackError
from elephant_server.settings import Settings, variable

_BYTES = 32


def with_secrets(settings: Settings, *, with_broker: bool = True) -> Settings:
    """Return the settings with the token and passwords; generate missing ones, in files that are kept.

    Parameters
    ----------
    with_broker
        Whether RabbitMQ and Redis are started with the server; otherwise their owners set the passwords.

    Raises
    ------
    StackError
        The token's file cannot be used, or RabbitMQ would listen beyond this machine with a well-known
        password.
    """
    if settings.token_path is not None and settings.starts_web:
        if settings.token_file is None:
            _make(settings.token_path)
        _check_tokens(settings.token_path)
    # Of a server with several machines, each password is made where its service runs; the others find it.
    is_made_here = with_broker and (settings.starts_rabbitmq or not settings.is_cluster)
    if settings.password_path is not None and is_made_here:
        _make(settings.password_path)
    if settings.redis_password_path is not None and settings.starts_redis and with_broker:
        _make(settings.redis_password_path)
    given = with_passwords(settings)
    if with_broker:
        _check_password(given)
    return given


def with_passwords(settings: Settings) -> Settings:
    """Return the settings with the passwords that are known on this machine; those that are set stay."""
    known = {}
    path = settings.password_path
    if path is None or path.exists():
        known["rabbitmq_password"] = password_of(settings)
    path = settings.redis_password_path
    if path is not None and path.exists():
        known["redis_password"] = path.read_text(encoding="utf-8").strip()
    return settings.model_copy(update=known)


def _make(path: Path) -> None:
    """Write a new secret, readable only by this user, unless one exists from an earlier run."""
    if path.exists():
        path.chmod(0o600)
        return
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")  # for this user alone
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(secrets.token_urlsafe(_BYTES) + "\n")
    Path(name).replace(path)


def _check_tokens(path: Path) -> None:
    name = variable("token_file")
    try:
        read_tokens(path)
    except OSError as error:
        who = f" by user {os.geteuid()}" if hasattr(os, "geteuid") else ""  # Windows has no numbers of users
        raise StackError(f"{name}: {path} cannot be read ({reason_of(error)}){who}.") from None
    except ValueError as error:
        raise StackError(f"{name}: {error}. Correct it, or delete it to have one generated.") from None


def _check_password(settings: Settings) -> None:
    is_known = settings.rabbitmq_password in ("user", "guest", settings.rabbitmq_user)
    address = settings.cluster_address if settings.is_reached_by_cluster else settings.bind_address
    if is_known and (settings.is_open or settings.is_reached_by_cluster) and settings.starts_rabbitmq:
        raise StackError(
            f"{variable('rabbitmq_password')}: expected a password that nobody can guess, since RabbitMQ listens on "
            f"{address}; got a well-known one. Set another, or leave it out to have one generated."
        )
