"""Publishing from a thread in the background, which nothing that works waits for, and which survives a fork."""

import os
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager

_STARTING = threading.Lock()  # of the first of a process that publish; nobody holds it while a process forks


class BackgroundPublisher(ABC):
    """Keeps what is to be published, and publishes it from a thread of its own.

    Making one connects to nothing and starts nothing: the thread starts with what is published first. After a fork the
    child begins with nothing to publish, a thread and a connection of its own; what was kept stays the parent's.

    Parameters
    ----------
    name
        Of the thread.
    """

    _pid: int
    _changed: threading.Condition
    _thread: threading.Thread | None

    def __init__(self, name: str) -> None:
        self._name = name
        self._start_afresh()

    @abstractmethod
    def _empty(self) -> None:
        """Let go of all that is kept, and of connections: they are another process'."""

    @abstractmethod
    def _run(self) -> None:
        """Publish what is kept, for ever."""

    @contextmanager
    def _adding(self) -> Iterator[None]:
        """Hold the lock while something is added to what is kept, then wake the thread."""
        if self._pid != os.getpid():  # a fork has copied the lock and what is kept, but not the thread
            with _STARTING:
                if self._pid != os.getpid():  # no other thread was first
                    self._start_afresh()
        with self._changed:
            yield
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def _start_afresh(self) -> None:
        self._changed = threading.Condition()
        self._thread = None
        self._empty()
        self._pid = os.getpid()  # last: from now on other threads use what is here
