"""The credentials of a server: the generated token and passwords, and the certificate."""

import os
import secrets
import ssl
import tempfile
from pathlib import Path

from elephant.errors import reason_of
from elephant_server.auth.tokens import password_of, read_tokens, trust_only
from elephant_server.errors import StackError
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
    # With several machines, each password is generated where its service runs; the others find it.
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
        who = f" by user {os.geteuid()}" if hasattr(os, "geteuid") else ""  # Windows has no user numbers
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


def check_certificate(settings: Settings) -> None:
    """Refuse a certificate or a key that cannot be read, do not belong together, or are out of date.

    Raises
    ------
    StackError
        With the variable to change.
    """
    if settings.tls_cert is None or settings.tls_key is None:
        return
    _check_readable(variable("tls_cert"), settings.tls_cert)
    _check_readable(variable("tls_key"), settings.tls_key)
    server = _load(settings.tls_cert, settings.tls_key)
    try:
        _shake_hands(server, trust_only(settings.tls_cert))
    except ssl.SSLCertVerificationError as error:
        raise StackError(
            f"{variable('tls_cert')}: {settings.tls_cert} is not valid ({error.verify_message}). Renew it."
        ) from None


def _check_readable(name: str, path: Path) -> None:
    try:
        path.open("rb").close()
    except OSError as error:
        raise StackError(f"{name}: {path} cannot be read ({reason_of(error)}) by user {os.geteuid()}.") from None


def _load(certificate: Path, key: Path) -> ssl.SSLContext:
    def no_passphrase() -> str:
        raise StackError(f"{variable('tls_key')}: {key} has a passphrase. Remove it: openssl pkey -in KEY -out NEW.")

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(certificate, key, password=no_passphrase)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise StackError(f"{variable('tls_key')}: {key} is not the key of {certificate}.") from None
        raise StackError(
            f"{variable('tls_cert')}, {variable('tls_key')}: expected PEM files; {certificate} and {key} cannot be "
            f"used ({error.reason})."
        ) from None
    return context


def _shake_hands(server: ssl.SSLContext, client: ssl.SSLContext) -> None:
    """Perform a TLS handshake between a server and a client, in memory."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        client.wrap_bio(to_client, to_server, server_side=False),
        server.wrap_bio(to_server, to_client, server_side=True),
    ]
    while ends:
        for end in list(ends):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
            ends.remove(end)
