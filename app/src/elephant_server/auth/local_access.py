"""How a program on this machine asks the server: the address with its token, and whom to trust."""

import ssl
from pathlib import Path

from elephant_server.auth.tokens import tokens_of
from elephant_server.settings import Settings


def token_of(settings: Settings) -> str:
    """Return a token that is good now; ``""`` where none is required, or none is to be had."""
    tokens = tokens_of(settings)
    return next(iter(tokens.current() if tokens else ()), "")


def url_with_token(url: str, settings: Settings) -> str:
    """Return an address as the client needs it: with the token, where one is required."""
    token = token_of(settings)
    return f"{url}t/{token}/" if token else url


def password_of(settings: Settings) -> str:
    """Return RabbitMQ's password: the one that was made for a server that listens beyond this machine, else the set."""
    path = settings.password_path
    try:
        return path.read_text(encoding="utf-8").strip() if path else settings.rabbitmq_password
    except FileNotFoundError:
        return settings.rabbitmq_password


def trust_of(settings: Settings) -> ssl.SSLContext | None:
    """Return what trusts the server's own certificate, whatever name it has, and no other; None without one."""
    return None if settings.tls_cert is None else trust_only(settings.tls_cert)


def trust_only(certificate: Path) -> ssl.SSLContext:
    """Return what trusts a certificate itself, whoever signed it.

    Raises
    ------
    OSError
        It cannot be read, or is none (``ssl.SSLError``).
    """
    context = ssl.create_default_context(cafile=str(certificate))
    context.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN
    context.check_hostname = False
    return context
