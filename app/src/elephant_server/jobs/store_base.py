"""Where the job store and the activity feed are kept: documents, queues and logs that all processes share.

A *document* is a small JSON object that a function changes. A *queue* hands each text to one reader, in order. A *log*
keeps its last entries for any number of readers.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
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
