"""What a process accepts: how many long requests at a time, and bodies of what size where no NGINX is in front.

A request that waits for its job holds a thread. Were all of them held, nobody could abort any more. So some threads are
for requests that hold none: what would take the last of them is refused at once.
"""

import threading
from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from flask import Flask, Response, request
from werkzeug.exceptions import ClientDisconnected
from werkzeug.wsgi import ClosingIterator, LimitedStream, get_input_stream

from elephant_server.api.endpoint import BodySize, asked_endpoint, endpoints
from elephant_server.errors import UnavailableError
from elephant_server.settings import Settings, variable

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication

KEPT_FREE = 8
_TAKEN = "elephant.is_admitted"
_BLOCK = 1 << 18


class Admission:
    """Admits a number of long requests at a time.

    Parameters
    ----------
    n_threads
        Requests of all kinds that this process can hold.
    """

    def __init__(self, n_threads: int) -> None:
        self.n_admitted = max(n_threads - KEPT_FREE, n_threads // 2)
        self._free = threading.Semaphore(self.n_admitted)

    def guard(self, app: Flask) -> None:
        """Count every long request of an application until it is answered."""
        app.before_request(self._take)
        app.wsgi_app = self._giving_back(app.wsgi_app)  # type: ignore[assignment, method-assign]

    def _take(self) -> None:
        facts = asked_endpoint()
        if facts is None or not facts.is_long:
            return
        if not self._free.acquire(blocking=False):
            raise UnavailableError(
                f"too many requests at once: {self.n_admitted} are waiting for their answers already; try again when "
                f"some have ended, or set {variable('http_threads')} to more"
            )
        request.environ[_TAKEN] = True

    def _giving_back(self, app: "WSGIApplication") -> "WSGIApplication":
        """Admit another one when the server is done with the answer, which may go on for hours after it has begun.

        The response's own callbacks would not do: those of a file that is sent unchanged are never called.
        """

        def answer(environ: dict[str, Any], start_response: "StartResponse") -> Iterable[bytes]:
            try:
                body = app(environ, start_response)
            except BaseException:
                self._give_back(environ)
                raise
            return ClosingIterator(body, lambda: self._give_back(environ)) if _TAKEN in environ else body

        return answer

    def _give_back(self, environ: dict[str, Any]) -> None:
        if environ.pop(_TAKEN, False):
            self._free.release()


class BodyLimits:
    """The largest bodies that an application accepts.

    Parameters
    ----------
    app
        The application, whose endpoints declare the limits.
    settings
        The settings of the limits.
    """

    def __init__(self, app: Flask, settings: Settings) -> None:
        self._settings = settings
        self._most: dict[str, int] = {}
        for rule, facts in endpoints(app):  # a path may have several, for other methods
            self._most[rule.rule] = max(facts.size.most_bytes(settings), self._most.get(rule.rule, 0))
        self.small = BodySize.SMALL.most_bytes(settings)

    def of(self, path: str) -> int:
        """Return the length, in bytes, of the largest body that a request to a path may have."""
        return self._most.get(path) or self._most.get(path.removesuffix("/"), self.small)

    def too_large(self) -> str:
        """Return the error message for a longer body."""
        return (
            f"the request is too large: spots and pieces of a movie may have {self._settings.max_body_mib} MiB, models "
            f"{self._settings.max_model_mib} MiB, everything else {self.small >> 10} KiB; the person who started "
            "the server can raise ELEPHANT_MAX_BODY_MIB or ELEPHANT_MAX_MODEL_MIB"
        )


def limit_bodies(app: Flask, settings: Settings) -> None:
    """Refuse longer bodies with 413 when they are read, and read every body to its end."""
    limits = BodyLimits(app, settings)

    @app.before_request
    def limit() -> None:
        request.max_content_length = limits.of(request.path)

    @app.after_request
    def drain(response: Response) -> Response:
        drain_body(request.environ)
        return response


def count_body(environ: dict[str, Any]) -> None:
    """Make a request's body know its length, so that the unread part is known."""
    environ["wsgi.input"] = get_input_stream(environ)


def drain_body(environ: dict[str, Any]) -> None:
    """Read the rest of a body: NGINX treats an answer on a connection that closes early as a failure."""
    stream = environ["wsgi.input"]
    if isinstance(stream, LimitedStream):
        with suppress(ClientDisconnected, OSError):
            while stream.read(_BLOCK):
                pass
