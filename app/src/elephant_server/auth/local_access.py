"""Access to the server for programs on this machine: the address with its token, and the certificate to trust."""

import ssl
from pathlib import Path

from elephant_server.auth.tokens import tokens_of
from elephant_server.settings import Settings


def token_of(settings: Settings) -> str:
    """Return a currently valid token; ``""`` if none is required or available."""
    tokens = tokens_of(settings)
    return next(iter(tokens.current() if tokens else ()), "")


def url_with_token(url: str, settings: Settings) -> str:
    """Return an address as the client needs it: with the token, if one is required."""
    token = token_of(settings)
    return f"{url}t/{token}/" if token else url


def password_of(settings: Settings) -> str:
    """Return RabbitMQ's password: the generated one on an open server, otherwise the configured one."""
    path = settings.password_path
    try:
        return path.read_text(encoding="utf-8").strip() if path else settings.rabbitmq_password
    except FileNotFoundError:
        return settings.rabbitmq_password


def trust_of(settings: Settings) -> ssl.SSLContext | None:
    """Return a context that trusts only the server's own certificate, whatever its name; None without one."""
    return None if settings.tls_cert is None else trust_only(settings.tls_cert)


def trust_only(certificate: Path) -> ssl.SSLContext:
    """Return a context that trusts a certificate itself, whoever signed it.

    Raises
    ------
    OSError
        It cannot be read, or is not a certificate (``ssl.SSLError``).
    """
    context = ssl.create_default_context(cafile=str(certificate))
    context.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN
    context.check_hostname = False
    return context
