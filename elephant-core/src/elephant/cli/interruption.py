"""Ctrl-C, and the signal with which a cluster ends a job, as a cancel token."""

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType

from elephant.errors import Cancelled

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_WORDS = b"\nstopping at the next safe moment; Ctrl-C again stops at once\n"


class Interruption:
    """A :class:`elephant.progress.CancelToken` that a signal sets off; a second signal ends at once."""

    def __init__(self) -> None:
        self._is_asked = False

    def check(self) -> None:
        """Raise :class:`elephant.errors.Cancelled` once a signal has come."""
        if self._is_asked:
            raise Cancelled

    def ask(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 - the shape of a handler
        """Take a signal."""
        if self._is_asked:
            raise KeyboardInterrupt
        self._is_asked = True
        if number == signal.SIGINT:
            os.write(2, _WORDS)  # a handler may come in the middle of any print


@contextlib.contextmanager
def interruptible(promise: Callable[[], str]) -> Iterator[Interruption]:
    """Give a token for work that a person may end.

    Parameters
    ----------
    promise
        Says what the work leaves behind when it is ended.

    Raises
    ------
    elephant.errors.Cancelled
        The work was ended; the message is the promise.
    """
    interruption = Interruption()
    # Only the main thread may take signals.
    numbers = _SIGNALS if threading.current_thread() is threading.main_thread() else ()
    before = {number: signal.signal(number, interruption.ask) for number in numbers}
    try:
        yield interruption
    except (Cancelled, KeyboardInterrupt):
        raise Cancelled(promise()) from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
