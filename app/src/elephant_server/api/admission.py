"""How many long requests a process holds at a time, so that the quick ones always find a thread.

A request that waits for its job holds a thread. Were all of them held, nobody could abort any more. So some threads are
for requests that hold none: what would take the last places is refused at once.
"""

import threading
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from flask import Flask, request
from werkzeug.wsgi import ClosingIterator

from elephant_server.api.endpoint import asked_endpoint
from elephant_server.errors import UnavailableError
from elephant_server.settings import variable

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication

KEPT_FREE = 8
_TAKEN = "elephant.is_admitted"


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

        Not with the response's own callbacks: those of a file that is sent as it is are never called.
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
