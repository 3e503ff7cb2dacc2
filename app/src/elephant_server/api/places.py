"""How many long requests a process holds at a time, so that the quick ones always find a thread.

A request that waits for its job holds a thread. Were all of them held, nobody could abort any more. So some threads are
for requests that hold none: what would take the last places is refused at once.
"""

import threading

from flask import Flask, Response, g, request

from elephant_server.errors import UnavailableError
from elephant_server.settings import variable

KEPT_FREE = 8
LONG = frozenset({"seg", "flow", "download", "upload"})
LONG_ENDPOINTS = frozenset({"dataset.generate", "dashboard_events.events"})


class Places:
    """The places for requests that may take long.

    Parameters
    ----------
    n_threads
        Requests of all kinds that this process can hold.
    """

    def __init__(self, n_threads: int) -> None:
        self.n_places = max(n_threads - KEPT_FREE, n_threads // 2)
        self._free = threading.Semaphore(self.n_places)

    def guard(self, app: Flask) -> None:
        """Have every long request of an application take a place until it is answered."""
        app.before_request(self._take)
        app.after_request(self._give_back)

    def _take(self) -> None:
        if request.blueprint not in LONG and request.endpoint not in LONG_ENDPOINTS:
            return
        if not self._free.acquire(blocking=False):
            raise UnavailableError(
                f"too many requests at once: {self.n_places} are waiting for their answers already; try again when "
                f"some have ended, or set {variable('http_threads')} to more"
            )
        g.has_place = True

    def _give_back(self, response: Response) -> Response:
        if g.pop("has_place", False):
            # An answer may go on for hours after it has begun.
            response.call_on_close(self._free.release)
        return response
