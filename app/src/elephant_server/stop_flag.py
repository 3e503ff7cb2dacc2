"""A flag that says that something is to stop, and that a signal handler may set."""

from contextlib import suppress
from queue import Empty, SimpleQueue


class StopFlag:
    """Like :class:`threading.Event`, but safe to set from a signal handler.

    An event's lock is not reentrant: a second signal in the middle of the first one's handler, such as Ctrl-C pressed
    twice, would wait for it forever. ``SimpleQueue.put`` is reentrant.
    """

    def __init__(self) -> None:
        self._is_set = False
        self._wakings: SimpleQueue[None] = SimpleQueue()

    def is_set(self) -> bool:
        """Return whether it was set."""
        return self._is_set

    def set(self) -> None:
        """Set it, and wake all that wait."""
        self._is_set = True
        self._wakings.put(None)

    def wait(self, seconds: float) -> bool:
        """Wait until it is set, but no longer than this; return whether it is."""
        if not self._is_set:
            with suppress(Empty):
                self._wakings.get(timeout=max(0.0, seconds))
                self._wakings.put(None)  # for the next one that waits
        return self._is_set
