"""Connections to a server of one process: who may send how much, and for how long one may be held open.

Waitress keeps the body of a request before it asks the application, and serves nobody when so many connections are open
as it allows. So who sends something is looked at when the header has come, and where there are too many connections
the one goes that waits for nothing, of the address that has the most.
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

from elephant_server.auth.addresses import TOKEN_PATH
from elephant_server.auth.limits import BodyLimits
from elephant_server.auth.middleware import GATE_ONLY
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
    """An answer of the gate, as Waitress has its errors."""

    def __init__(self, status: str, headers: list[tuple[str, str]], body: bytes) -> None:
        self._answer = (status, headers, body)

    def to_response(self, ident: object = None) -> tuple[str, list[tuple[str, str]], bytes]:
        """Return status, headers without the length, and body."""
        del ident
        return self._answer


class Judge:
    """Tells from the header of a request whether its body is taken.

    Parameters
    ----------
    application
        Which has a gate that answers alone when it is asked to.
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
        """Return what the gate says against a request; None where it lets it in."""
        environ = {
            GATE_ONLY: "1",
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
    """Reads a request, and no more of it than its header where it is refused."""

    def __init__(self, adj: Adjustments, judge: Judge) -> None:
        super().__init__(adj)
        self._judge = judge
        self._limit = judge.small

    def received(self, data: bytes) -> int:
        """Take what came; return how much of it belongs to this request."""
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
    """A connection that knows for how long it may wait for what."""

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
        """Tell whether the client has kept it waiting for too long."""
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
        """Tell whether the client has read nothing of its answer for too long."""
        if self.last_activity != self._activity:
            self._activity, self._unread_since = self.last_activity, now
        return now - self._unread_since > UNREAD_S

    def received(self, data: bytes) -> bool:
        """Take what came."""
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
        """Tell whether something shall be read."""
        return self._thrown_away is not None or bool(super().readable())

    def writable(self) -> bool:
        """Tell whether something is to be written, or the connection to be closed."""
        return (self._thrown_away is None or self.will_close) and bool(super().writable())

    def handle_read(self) -> None:
        """Read, or throw away what a refused client still sends."""
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
    """Listens, and has room for whoever comes.

    Parameters
    ----------
    application
        What answers.
    settings
        For the gate and the limits of bodies.
    most_connections
        How many may be open at a time.
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
        """Close connections that have been waiting for too long."""
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
        """Tell whether there is room for a connection of an address; close one that waits for nothing where needed."""
        channels = list(self.active_channels.values())
        counts = Counter(channel.addr[0] for channel in channels)
        if counts[host] >= MOST_OF_AN_ADDRESS * self._most:
            return _close_one(channel for channel in channels if channel.addr[0] == host)
        if len(channels) < self._most:
            return True
        crowds = (crowd for crowd, _ in counts.most_common())
        return any(_close_one(channel for channel in channels if channel.addr[0] == crowd) for crowd in crowds)


def _close_one(channels: Iterable[GuardedChannel]) -> bool:
    """Close the one that has been waiting for longest; False where all are being answered."""
    idle = [channel for channel in channels if not channel.is_busy]
    if not idle:
        return False
    min(idle, key=lambda channel: channel.waiting_since).drop()
    return True
