"""The valid tokens, and who holds them; and how programs on this machine get in.

They need the address with its token, and the certificate to trust.
"""

import hmac
import logging
import re
import ssl
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from elephant_server.settings import Settings
from elephant_server.settings.access import EXPECTED_TOKEN, TOKEN

logger = logging.getLogger(__name__)

LARGEST_BYTES = 1 << 16  # hundreds of tokens
# One line of what a person can read: any letters, but nothing that would break a line of a log.
NAME = re.compile(r"[^\W_](?:[\w .'@+-]{0,62}[\w.'@+-])?")
EXPECTED_NAME = (
    "expected a name of 1 to 64 letters, digits, spaces or any of . _ ' @ + -, beginning with a letter or digit"
)
_Stamp = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Holder:
    """A valid token.

    Attributes
    ----------
    token
        The secret.
    name
        Whose it is; empty where it has no name.
    """

    token: str = field(repr=False)
    name: str = ""


class Tokens(Protocol):
    """A source of tokens."""

    def current(self) -> tuple[Holder, ...]:
        """Return the currently valid tokens; without any, nobody gets in."""
        ...


class FixedToken:
    """The token of a variable, fixed for the life of the process."""

    def __init__(self, token: str) -> None:
        self._holder = Holder(token)

    def current(self) -> tuple[Holder, ...]:
        """Return the token."""
        return (self._holder,)


class TokenFile:
    """The tokens of a file, one per line and each with its holder's name, read again when the file has changed.

    While it cannot be read, or has an invalid line, nobody gets in: a removed token never works again by accident.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._stamp: _Stamp | None = None
        self._tokens: tuple[Holder, ...] = ()
        self._problem = ""

    def current(self) -> tuple[Holder, ...]:
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


def read_tokens(path: Path) -> tuple[Holder, ...]:
    """Return the tokens of a file: on each line a token and, after a space, the name of its holder.

    Empty lines, and those that begin with ``#``, are left out.

    Raises
    ------
    OSError
        It cannot be read.
    ValueError
        It has no token, or an invalid line; the message does not repeat it.
    """
    with path.open("rb") as file:
        content = file.read(LARGEST_BYTES + 1)
    if len(content) > LARGEST_BYTES:
        raise ValueError(f"{path}: expected a file of at most {LARGEST_BYTES // 1024} KiB, one token per line")
    found = []
    for number, line in enumerate(content.decode().splitlines(), start=1):
        try:
            holder = read_line(line)
        except ValueError as error:
            raise ValueError(f"{path}, line {number}: {error}") from None
        if holder is not None:
            found.append(holder)
    if not found:
        raise ValueError(f"{path}: expected one token per line, got none")
    return tuple(found)


def read_line(line: str) -> Holder | None:
    """Return the token of a line of a file, and the name of its holder; None of an empty line or a comment.

    Raises
    ------
    ValueError
        It is no such line; the message does not repeat it.
    """
    token, *name = line.strip().split(maxsplit=1) or [""]
    if not token or token.startswith("#"):
        return None
    if not TOKEN.fullmatch(token):
        raise ValueError(f"{EXPECTED_TOKEN}, then a name where it has one")
    if name and not NAME.fullmatch(name[0]):
        raise ValueError(f"{EXPECTED_NAME}, after the token")
    return Holder(token, *name)


def holder_of(given: str, valid: Sequence[Holder]) -> Holder | None:
    """Return whose token is given; None if it is none of the valid ones. Takes the same time for each."""
    matches = [hmac.compare_digest(given.encode(), holder.token.encode()) for holder in valid]
    return next((holder for holder, is_match in zip(valid, matches, strict=True) if is_match), None)


def token_of(settings: Settings) -> str:
    """Return a currently valid token; ``""`` if none is required or available."""
    tokens = tokens_of(settings)
    return next((holder.token for holder in (tokens.current() if tokens else ())), "")


def url_with_token(url: str, settings: Settings, token: str = "") -> str:
    """Return an address as the client needs it: with a token, by default any valid one, if one is required."""
    token = token or token_of(settings)
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
