"""Connections to other machines over http(s), of one event loop that runs beside the rest of a process.

The rules of :mod:`elephant.io.download` hold: the address to which a name leads is judged in the moment of connecting
to it. Nothing of the environment is used, neither proxies nor credentials.
"""

import asyncio
import atexit
import ipaddress
import os
import socket
import threading
from collections.abc import Coroutine
from concurrent.futures import Future, wait
from contextlib import suppress
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, TypeVar

from elephant.errors import InvalidInputError
from elephant.io.download import is_public
from elephant.progress import CancelToken

if TYPE_CHECKING:
    import aiohttp

INSTALL = 'pip install "elephant-core[remote]"'
_MOST_CONNECTIONS = 16
_POLL_S = 0.1

T = TypeVar("T")

# The addresses that were refused during a request; they get lost among what its tries raise.
refused_addresses: ContextVar[list[str] | None] = ContextVar("refused addresses", default=None)


def _public_socket(info: tuple[Any, ...]) -> socket.socket:
    """Make a socket for an address, which is judged."""
    family, kind, protocol, _, place = info
    text = str(place[0]).split("%")[0]
    if not is_public(ipaddress.ip_address(text)):
        refused = refused_addresses.get()
        if refused is not None:
            refused.append(text)
        raise OSError(f"{text} is not public")
    return socket.socket(family, kind, protocol)


class Connections:
    """The event loop in which all requests of a process run, and its connections."""

    def __init__(self) -> None:
        self.process = os.getpid()
        self.loop = asyncio.new_event_loop()
        self._sessions: dict[bool, aiohttp.ClientSession] = {}
        threading.Thread(target=self.loop.run_forever, name="remote", daemon=True).start()

    def session(self, *, is_free: bool) -> "aiohttp.ClientSession":
        """Return the connections to all addresses, or to public ones."""
        import aiohttp  # noqa: PLC0415

        if is_free not in self._sessions:
            connector = aiohttp.TCPConnector(
                limit=2 * _MOST_CONNECTIONS,
                limit_per_host=_MOST_CONNECTIONS,
                socket_factory=None if is_free else _public_socket,
            )
            self._sessions[is_free] = aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                trust_env=False,
                headers={"User-Agent": "elephant", "Accept": "*/*"},
                read_bufsize=1 << 20,
            )
        return self._sessions[is_free]

    def close(self) -> None:
        """Close the connections, so that none is reported as left open at the end of the process."""

        async def close() -> None:
            for session in self._sessions.values():
                await session.close()

        if self.process == os.getpid():
            with suppress(Exception):
                asyncio.run_coroutine_threadsafe(close(), self.loop).result(timeout=1)


_lock = threading.Lock()
_connections: Connections | None = None


def connections() -> Connections:
    """Return the loop of this process; a process that was forked makes its own."""
    global _connections  # noqa: PLW0603 - as long as the process
    with _lock:
        if _connections is None or _connections.process != os.getpid():
            _connections = Connections()
            atexit.register(_connections.close)
        return _connections


def check_installed() -> None:
    """Check that the packages for other machines are there.

    Raises
    ------
    InvalidInputError
        They are not.
    """
    try:
        import aiohttp  # noqa: F401, PLC0415
    except ImportError as error:
        raise InvalidInputError(
            f"movies on other machines need the package aiohttp, which is not installed: run {INSTALL}"
        ) from error


def waited_for(work: Coroutine[Any, Any, T], cancel: CancelToken) -> T:
    """Run a coroutine in the loop of this process, and return its result.

    Parameters
    ----------
    work
        What to run.
    cancel
        Asked several times a second; what is under way is then dropped.
    """
    future: Future[T] = asyncio.run_coroutine_threadsafe(work, connections().loop)
    try:
        while not wait([future], _POLL_S).done:
            cancel.check()
    except BaseException:
        future.cancel()
        raise
    return future.result()
