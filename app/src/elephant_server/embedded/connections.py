"""Connections to the single-process server: limits of size, of time and of their number.

Waitress buffers the body of a request before it calls the application, and serves nobody at its limit of connections.
So a request is checked when its header has arrived, and if there are too many connections, an idle one of the
address that has the most is closed.
"""

import functools
import io
import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from flask import Flask
from waitress.adjustments import Adjustments
from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser
from waitress.server import TcpWSGIServer
from waitress.task import ThreadedTaskDispatcher

from elephant_server.api.limits import BodyLimits
from elephant_server.auth.middleware import AUTH_ONLY, TOKEN_PATH
from elephant_server.settings import Settings

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

# Seconds: without a request; for a header; of a pause in a body; of a pause in which a client reads nothing.
IDLE_S, HEADER_S, PAUSE_S, UNREAD_S = 300.0, 15.0, 60.0, 1800.0
# A body may take a minute, and longer where it is larger: so many bytes a second are slower than any line.
SLOWEST_BYTES_PER_S = 1 << 10
MOST_OF_AN_ADDRESS = 0.5  # of all connections
# What a refused client still sends is read and thrown away, so that the answer reaches it: a reset would overtake it.
THROWN_AWAY_BYTES, THROWN_AWAY_S = 4 << 20, 5.0


class Refusal:
    """An answer of the access control, in the form of Waitress' errors."""

    def __init__(self, status: str, headers: list[tuple[str, str]], body: bytes) -> None:
        self._answer = (status, headers, body)

    def to_response(self, ident: object = None) -> tuple[str, list[tuple[str, str]], bytes]:
        """Return status, headers without the length, and body."""
        del ident
        return self._answer


class Judge:
    """Decides by the header of a request whether its body is accepted.

    Parameters
    ----------
    application
        The application, whose access control can be asked separately.
    settings
        For the limits of bodies.
    """

    def __init__(self, application: Flask, settings: Settings) -> None:
        self._application: Application = application
        self._limits = BodyLimits(application, settings)
        self.small = self._limits.small

    def limit(self, path: str) -> int:
        """Return how many bytes the body of a request to a path may have."""
        match = TOKEN_PATH.fullmatch(path)
        return self._limits.of((match["rest"] or "/") if match else path)

    def too_large(self) -> Refusal:
        """Return the answer to a body that is longer."""
        body = json.dumps({"error": self._limits.too_large()}).encode()
        return Refusal("413 Request Entity Too Large", [("Content-Type", "application/json")], body)

    def refusal(self, method: str, path: str, headers: Mapping[str, str]) -> Refusal | None:
        """Return the access control's refusal of a request; None if it is admitted."""
        environ = {
            AUTH_ONLY: "1",
            "REQUEST_METHOD": method,
            "PATH_INFO": path,
            "SCRIPT_NAME": "",
            "wsgi.input": io.BytesIO(),
            **{f"HTTP_{name}": value for name, value in headers.items() if name not in _OF_THE_BODY},
        }
        answer: list[Any] = []
        body = b"".join(self._application(environ, lambda *given: answer.extend(given)))
        status, given = answer[0], answer[1]
        if status.startswith("204"):
            return None
        return Refusal(status, [(name, value) for name, value in given if name.lower() != "content-length"], body)


_OF_THE_BODY = ("CONTENT_LENGTH", "CONTENT_TYPE", "TRANSFER_ENCODING")


class GuardedParser(HTTPRequestParser):  # type: ignore[misc]
    """Reads a request, but only its header if it is refused."""

    def __init__(self, adj: Adjustments, judge: Judge) -> None:
        super().__init__(adj)
        self._judge = judge
        self._limit = judge.small

    def received(self, data: bytes) -> int:
        """Feed received bytes; return how many of them belong to this request."""
        was_in_header = not self.headers_finished
        consumed: int = super().received(data)
        if self.error is None and self.body_rcv is not None:
            if was_in_header and self.headers_finished:
                self._look()
            elif self.body_bytes_received > self._limit:
                self._refuse(self._judge.too_large())
        return consumed

    def _look(self) -> None:
        path = "/" + self.path.lstrip("/")
        self._limit = self._judge.limit(path)
        # What is small is judged with everything else about it; of chunks nobody knows how many follow.
        refusal = self._judge.refusal(self.command, path, self.headers) if self._is_large() else None
        if refusal is None and self.content_length > self._limit:
            refusal = self._judge.too_large()
        if refusal is not None:
            self._refuse(refusal)

    def _is_large(self) -> bool:
        return bool(self.chunked) or self.content_length > self._judge.small

    def _refuse(self, refusal: Refusal) -> None:
        self.error = refusal
        self.completed = True
        self.expect_continue = False


class GuardedChannel(HTTPChannel):  # type: ignore[misc]
    """A connection with time limits."""

    def __init__(self, *arguments: Any, judge: Judge, **named: Any) -> None:
        self.parser_class = functools.partial(GuardedParser, judge=judge)
        self.waiting_since = self._begun = self._heard = time.monotonic()
        self._n_requests = 0
        self._activity, self._unread_since = 0.0, self._heard
        self._was_refused = False
        self._thrown_away: int | None = None
        super().__init__(*arguments, **named)

    @property
    def is_busy(self) -> bool:
        """Whether a request is being answered."""
        return bool(self.requests)

    def is_overdue(self, now: float) -> bool:
        """Return whether the client has kept it waiting for too long."""
        request, silent = self.request, now - self._heard
        if self._thrown_away is not None:
            return now - self._begun > THROWN_AWAY_S
        if self.total_outbufs_len:
            return self._is_unread(now)
        if self.is_busy:
            return False
        if request is None:
            return now - self.waiting_since > (IDLE_S if self._n_requests else HEADER_S)
        if not request.headers_finished:
            return now - self._begun > HEADER_S
        return silent > PAUSE_S or now - self._begun > PAUSE_S + request.body_bytes_received / SLOWEST_BYTES_PER_S

    def _is_unread(self, now: float) -> bool:
        """Return whether the client has read nothing of its answer for too long."""
        if self.last_activity != self._activity:
            self._activity, self._unread_since = self.last_activity, now
        return now - self._unread_since > UNREAD_S

    def received(self, data: bytes) -> bool:
        """Process received bytes."""
        self._heard = time.monotonic()
        if self.request is None:
            self._begun = self._heard
        taken: bool = super().received(data)
        return taken

    def service(self) -> None:
        """Answer a request."""
        self._was_refused = isinstance(self.requests[0].error, Refusal)
        self._n_requests += 1
        super().service()
        self.waiting_since = time.monotonic()

    def readable(self) -> bool:
        """Return whether to read."""
        return self._thrown_away is not None or bool(super().readable())

    def writable(self) -> bool:
        """Return whether to write, or to close the connection."""
        return (self._thrown_away is None or self.will_close) and bool(super().writable())

    def handle_read(self) -> None:
        """Read, or discard what a refused client still sends."""
        if self._thrown_away is None:
            super().handle_read()
            return
        try:
            data = self.recv(self.adj.recv_bytes)
        except OSError:
            data = b""
        self._thrown_away += len(data)
        if not data or self._thrown_away > THROWN_AWAY_BYTES:
            self.drop()

    def handle_close(self) -> None:
        """Close it; a refused client first gets its answer."""
        if self._was_refused and self._thrown_away is None and self.connected and not self.total_outbufs_len:
            try:
                self.socket.shutdown(1)  # no more is written
            except OSError:
                self.drop()
                return
            self._begun, self._thrown_away = time.monotonic(), 0
            self.will_close = self.close_when_flushed = False
        else:
            self.drop()

    def drop(self) -> None:
        """Close it at once."""
        super().handle_close()


class GuardedServer(TcpWSGIServer):  # type: ignore[misc]
    """Listens, and makes room for new connections.

    Parameters
    ----------
    application
        What answers.
    settings
        For access control and the limits of bodies.
    most_connections
        Largest number of open connections.
    adjustments
        Waitress' own settings.
    """

    def __init__(self, application: Flask, settings: Settings, most_connections: int, **adjustments: Any) -> None:
        # Waitress' own limit is out of reach: it would take no connection at all any more.
        adj = Adjustments(connection_limit=2 * most_connections + 100, cleanup_interval=1, **adjustments)
        dispatcher = ThreadedTaskDispatcher()
        dispatcher.set_thread_count(adj.threads)
        self._most = most_connections
        self._judge = Judge(application, settings)
        super().__init__(application, {}, dispatcher=dispatcher, adj=adj, sockinfo=adj.listen[0])
        self.channel_class = self._take

    def maintenance(self, now: float) -> None:
        """Close connections that have waited for too long."""
        del now
        for channel in list(self.active_channels.values()):
            if channel.is_overdue(time.monotonic()):
                channel.will_close = True

    def _take(self, server: object, connection: Any, address: Any, adj: Adjustments, map: dict[int, Any]) -> None:  # noqa: A002
        if self._has_room(address[0]):
            GuardedChannel(server, connection, address, adj, map=map, judge=self._judge)
        else:
            connection.close()

    def _has_room(self, host: str) -> bool:
        """Return whether there is room for a connection of an address; if needed, close an idle one."""
        channels = list(self.active_channels.values())
        counts = Counter(channel.addr[0] for channel in channels)
        if counts[host] >= MOST_OF_AN_ADDRESS * self._most:
            return _close_one(channel for channel in channels if channel.addr[0] == host)
        if len(channels) < self._most:
            return True
        crowds = (crowd for crowd, _ in counts.most_common())
        return any(_close_one(channel for channel in channels if channel.addr[0] == crowd) for crowd in crowds)


def _close_one(channels: Iterable[GuardedChannel]) -> bool:
    """Close the one that has been idle for longest; False if all are being answered."""
    idle = [channel for channel in channels if not channel.is_busy]
    if not idle:
        return False
    min(idle, key=lambda channel: channel.waiting_since).drop()
    return True
