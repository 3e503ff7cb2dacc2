"""The valid tokens; and how programs on this machine get in: the address with its token, the certificate to trust."""

import hmac
import logging
import ssl
import threading
from pathlib import Path
from typing import Protocol

from elephant_server.settings import Settings
from elephant_server.settings.access import TOKEN

logger = logging.getLogger(__name__)

_LARGEST_BYTES = 1 << 16  # hundreds of tokens
_Stamp = tuple[int, int, int]


class Tokens(Protocol):
    """A source of tokens."""

    def current(self) -> tuple[str, ...]:
        """Return the currently valid tokens; without any, nobody gets in."""
        ...


class FixedToken:
    """The token of a variable, fixed for the life of the process."""

    def __init__(self, token: str) -> None:
        self._token = token

    def current(self) -> tuple[str, ...]:
        """Return the token."""
        return (self._token,)


class TokenFile:
    """The tokens of a file, one per line, read again when the file has changed.

    While it cannot be read, or has an invalid line, nobody gets in: a removed token never works again by accident.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._stamp: _Stamp | None = None
        self._tokens: tuple[str, ...] = ()
        self._problem = ""

    def current(self) -> tuple[str, ...]:
        """Return the tokens of the file as it is now."""
        with self._lock:
            try:
                status = self._path.stat()
                stamp = (status.st_mtime_ns, status.st_ino, status.st_size)
                if stamp != self._stamp:
                    self._tokens, self._stamp = read_tokens(self._path), stamp
                    self._problem = ""
            except (OSError, ValueError) as error:
                self._close(str(error))
            return self._tokens

    def _close(self, problem: str) -> None:
        self._tokens, self._stamp = (), None
        if problem != self._problem:
            logger.error("ELEPHANT_TOKEN_FILE cannot be used, so nobody gets in: %s", problem)
        self._problem = problem


def tokens_of(settings: Settings) -> Tokens | None:
    """Return the source of the tokens of these settings; None if no token is required."""
    if settings.token_path is not None:
        return TokenFile(settings.token_path)
    return None if settings.token is None else FixedToken(settings.token)


def read_tokens(path: Path) -> tuple[str, ...]:
    """Return the tokens of a file.

    Raises
    ------
    OSError
        It cannot be read.
    ValueError
        It has no token, or an invalid line; the message does not repeat it.
    """
    with path.open("rb") as file:
        content = file.read(_LARGEST_BYTES + 1)
    if len(content) > _LARGEST_BYTES:
        raise ValueError(f"{path}: expected a file of at most {_LARGEST_BYTES // 1024} KiB, one token per line")
    lines = [line.strip() for line in content.decode().splitlines()]
    tokens = tuple(line for line in lines if line)
    if not tokens or not all(TOKEN.fullmatch(token) for token in tokens):
        raise ValueError(f"{path}: expected one token per line, of 16 to 256 letters, digits or any of . _ ~ -")
    return tokens


def is_good(given: str, tokens: tuple[str, ...]) -> bool:
    """Compare a given token with the valid ones, in constant time."""
    return any(hmac.compare_digest(given.encode(), token.encode()) for token in tokens)


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
    """Return a context that trusts this certificate, no matter who signed it.

    Raises
    ------
    OSError
        It cannot be read, or is not a certificate (``ssl.SSLError``).
    """
    context = ssl.create_default_context(cafile=str(certificate))
    context.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN
    context.check_hostname = False
    return context
