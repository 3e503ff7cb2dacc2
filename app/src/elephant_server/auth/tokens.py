"""The currently valid tokens."""

import hmac
import logging
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
