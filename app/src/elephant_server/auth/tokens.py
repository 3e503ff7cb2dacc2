"""Which tokens are good, at this moment."""

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
    """What knows the tokens."""

    def current(self) -> tuple[str, ...]:
        """Return the tokens that are good now; with none of them nobody gets in."""
        ...


class FixedToken:
    """The token of a variable, which stays as long as the process."""

    def __init__(self, token: str) -> None:
        self._token = token

    def current(self) -> tuple[str, ...]:
        """Return the token."""
        return (self._token,)


class TokenFile:
    """The tokens of a file, one a line, read again when the file has changed.

    While it cannot be read, or has a line that is none, nobody gets in: a token that was taken away stays so.
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
    """Return what knows the tokens of these settings; None where no token is required."""
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
        It has no token, or a line that is none; the message does not repeat it.
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
    """Say whether what was given is one of the tokens, in a time that tells nothing about them."""
    return any(hmac.compare_digest(given.encode(), token.encode()) for token in tokens)
