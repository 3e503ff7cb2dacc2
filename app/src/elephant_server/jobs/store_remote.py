"""The store of a server's process as its workers, which are other processes, use it.

A worker asks for each step by name, with values that are JSON. A document is changed where the function is, in the
worker, and refused where another one has changed it since it was read, as in Redis.
"""

import json
from collections.abc import Callable, Sequence
from typing import Any

from elephant_server.jobs.store_memory import Change, Document, Effects, LogEntry, MemoryStore, T, as_texts

Ask = Callable[..., Any]


class RemoteStore:
    """A :class:`~elephant_server.jobs.store_memory.Store` in another process.

    Parameters
    ----------
    ask
        Asks that process: takes the name of a step, then its values, and returns what :class:`StoreSteps` answers.
    """

    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    def read(self, name: str) -> Document:
        """Return a document; an empty one where there is none."""
        document: Document = json.loads(self._ask("read", name))
        return document

    def update(self, name: str, change: Change[T]) -> T:
        """Change a document and return what the function returns."""
        while True:  # where it is refused, another change was made: all of them together get on
            before = self._ask("read", name)
            document, effects = json.loads(before), Effects()
            value = change(document, effects)
            texts = as_texts({name: document, **effects.writes})
            if self._ask("commit", name, before, texts, effects.pushes, sorted(effects.notices)):
                return value

    def pop(self, queues: Sequence[str], timeout_s: float, most: int = 1) -> tuple[str, list[str]] | None:
        """Take from the first of the queues that holds something; None after `timeout_s` seconds."""
        found = self._ask("pop", list(queues), timeout_s, most)
        return None if found is None else (found[0], found[1])

    def append(self, log: str, texts: Sequence[str], keep: int) -> None:
        """Append to a log, of which the last `keep` entries stay."""
        self._ask("append", log, list(texts), keep)

    def entries(self, log: str, after: str = "", timeout_s: float = 0) -> list[LogEntry]:
        """Return the entries after an id, or all; blocks until there are some, for `timeout_s` seconds at most."""
        return [LogEntry(*entry) for entry in self._ask("entries", log, after, timeout_s)]

    def last_id(self, log: str) -> str:
        """Return the id of a log's newest entry; one that comes before all where there is none."""
        return str(self._ask("last_id", log))


class StoreSteps:
    """The steps that a :class:`RemoteStore` asks for.

    Parameters
    ----------
    store
        Where they are done.
    """

    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    def steps(self) -> dict[str, Callable[..., Any]]:
        """Return the steps by name."""
        store = self._store
        return {
            "read": store.text,
            "commit": self._commit,
            "pop": store.pop,
            "append": store.append,
            "entries": store.entries,
            "last_id": store.last_id,
        }

    def _commit(
        self, name: str, before: str, texts: dict[str, str | None], pushes: list[list[str]], notices: list[str]
    ) -> bool:
        effects = Effects([(queue, text) for queue, text in pushes], set(notices))
        return self._store.commit(name, before, texts, effects)
