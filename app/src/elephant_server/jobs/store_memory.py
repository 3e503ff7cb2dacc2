"""The contract of a store, and the store of a server that is one process.

The job store and the activity feed are kept in documents, queues and logs that all processes share. A *document* is a
small JSON object that a function changes. A *queue* hands each text to one reader, in order. A *log* keeps its last
entries for any number of readers.
"""

import json
import threading
import time
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any, NamedTuple, Protocol, TypeVar

Document = dict[str, Any]
T = TypeVar("T")


class LogEntry(NamedTuple):
    """An entry of a log.

    Attributes
    ----------
    id
        Two numbers, ``a-b``, that rise within a log.
    text
        What was appended.
    """

    id: str
    text: str


@dataclass(slots=True)
class Effects:
    """What happens together with a change of a document, or not at all.

    Attributes
    ----------
    pushes
        Queues and texts to push onto them, in order.
    notices
        Logs that get an empty entry, which wakes their readers; they keep one entry.
    writes
        Other documents to write by name; None removes one.
    """

    pushes: list[tuple[str, str]] = field(default_factory=list)
    notices: set[str] = field(default_factory=set)
    writes: dict[str, Document | None] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.pushes or self.notices or self.writes)


Change = Callable[[Document, Effects], T]


class Store(Protocol):
    """Documents, queues and logs; a store that can be out of reach raises :class:`redis.exceptions.RedisError`."""

    def read(self, name: str) -> Document:
        """Return a document; an empty one where there is none."""

    def update(self, name: str, change: Change[T]) -> T:
        """Change a document and return what the function returns.

        Nothing else changes the document meanwhile. The function changes the document that it is given in place, and
        may be called several times; only the last call counts. Where it raises, nothing has changed.
        """

    def pop(self, queues: Sequence[str], timeout_s: float, most: int = 1) -> tuple[str, list[str]] | None:
        """Block until one of the queues holds something, and take it from the first that does.

        Parameters
        ----------
        queues
            Their names, the preferred one first.
        timeout_s
            None is returned after so many seconds.
        most
            How many texts are taken where the queue holds several.

        Returns
        -------
        tuple
            The queue and the texts.
        """

    def append(self, log: str, texts: Sequence[str], keep: int) -> None:
        """Append to a log, of which the last `keep` entries stay."""

    def entries(self, log: str, after: str = "", timeout_s: float = 0) -> list[LogEntry]:
        """Return the entries after an id, or all; block until there are some, for `timeout_s` seconds at most."""

    def last_id(self, log: str) -> str:
        """Return the id of a log's newest entry; one that comes before all where there is none."""


def as_texts(documents: Mapping[str, Document | None]) -> dict[str, str | None]:
    """Return documents as texts; None where one is to be removed.

    Raises
    ------
    TypeError
        One holds what is no JSON.
    """
    return {name: None if document is None else json.dumps(document) for name, document in documents.items()}


# A queue that nobody reads goes when so many others were written to since.
MOST_QUEUES = 2000


class MemoryStore:
    """A :class:`~elephant_server.jobs.store_memory.Store` in this process's memory."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        # As texts, so that nobody changes what another one has read.
        self._documents: dict[str, str] = {}
        self._queues: OrderedDict[str, deque[str]] = OrderedDict()
        self._logs: defaultdict[str, deque[LogEntry]] = defaultdict(deque)
        # In all ids: a page that knows entries of a server that ran before gets those of this one.
        self._born_ms = int(time.time() * 1000)
        self._n_entries = 0

    def read(self, name: str) -> Document:
        """Return a document; an empty one where there is none."""
        document: Document = json.loads(self.text(name))
        return document

    def text(self, name: str) -> str:
        """Return a document as its text."""
        return self._documents.get(name, "{}")

    def update(self, name: str, change: Change[T]) -> T:
        """Change a document and return what the function returns."""
        with self._changed:
            document, effects = self.read(name), Effects()
            value = change(document, effects)
            self._apply(as_texts({name: document, **effects.writes}), effects)
            return value

    def commit(self, name: str, before: str, texts: Mapping[str, str | None], effects: Effects) -> bool:
        """Write documents, and do what happens along, unless a document has changed; return whether it was done.

        Parameters
        ----------
        name, before
            The document, and its text when it was read.
        texts
            All documents to write, by name; None removes one.
        effects
            Pushes and notices; `texts` holds its writes.
        """
        with self._changed:
            if self.text(name) != before:
                return False
            self._apply(texts, effects)
            return True

    def pop(self, queues: Sequence[str], timeout_s: float, most: int = 1) -> tuple[str, list[str]] | None:
        """Take from the first of the queues that holds something; None after `timeout_s` seconds."""
        with self._changed:
            self._changed.wait_for(lambda: any(queue in self._queues for queue in queues), timeout_s)
            for name in queues:
                queue = self._queues.get(name)
                if queue is None:
                    continue
                texts = [queue.popleft() for _ in range(min(most, len(queue)))]
                if not queue:
                    del self._queues[name]
                return name, texts
            return None

    def append(self, log: str, texts: Sequence[str], keep: int) -> None:
        """Append to a log, of which the last `keep` entries stay."""
        with self._changed:
            entries = self._logs[log]
            for text in texts:
                self._n_entries += 1
                entries.append(LogEntry(f"{self._born_ms}-{self._n_entries}", text))
            while len(entries) > keep:
                entries.popleft()
            self._changed.notify_all()

    def entries(self, log: str, after: str = "", timeout_s: float = 0) -> list[LogEntry]:
        """Return the entries after an id, or all; blocks until there are some, for `timeout_s` seconds at most."""
        with self._changed:
            self._changed.wait_for(lambda: bool(self._after(log, after)), timeout_s)
            return self._after(log, after)

    def last_id(self, log: str) -> str:
        """Return the id of a log's newest entry; one that comes before all where there is none."""
        with self._changed:
            entries = self._logs[log]
            return entries[-1].id if entries else f"{self._born_ms}-0"

    def _apply(self, texts: Mapping[str, str | None], effects: Effects) -> None:
        for key, made in texts.items():
            if made is None:
                self._documents.pop(key, None)
            else:
                self._documents[key] = made
        for name, text in effects.pushes:
            self._queues.setdefault(name, deque()).append(text)
            self._queues.move_to_end(name)
        while len(self._queues) > MOST_QUEUES:
            self._queues.popitem(last=False)
        for log in effects.notices:
            self.append(log, [""], 1)
        if effects.pushes:
            self._changed.notify_all()

    def _after(self, log: str, after: str) -> list[LogEntry]:
        born, _, number = after.partition("-")
        n_known = int(number) if born == str(self._born_ms) and number.isdecimal() else 0
        newer = takewhile(lambda entry: int(entry.id.partition("-")[2]) > n_known, reversed(self._logs[log]))
        return list(newer)[::-1]
