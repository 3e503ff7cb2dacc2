"""The bulletin of a server that is one process."""

import threading
from collections import OrderedDict, deque
from collections.abc import Mapping, Sequence
from dataclasses import replace

from elephant_server.state.bulletin import Fields, Line, News

MOST_LINES = 500
MOST_KEPT = 1000


class MemoryBulletin:
    """A :class:`~elephant_server.state.bulletin.Bulletin` in this process' memory."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._n_lines = 0
        self._lines: deque[Line] = deque(maxlen=MOST_LINES)
        self._jobs: OrderedDict[str, Fields] = OrderedDict()
        self._datasets: OrderedDict[str, Fields] = OrderedDict()

    def put(self, news: News) -> None:
        """See :meth:`Bulletin.put`."""
        with self._changed:
            for line in news.lines:
                self._n_lines += 1
                self._lines.append(replace(line, id=str(self._n_lines)))
            _add(self._jobs, news.jobs)
            _add(self._datasets, news.datasets)
            self._changed.notify_all()

    def lines(self, after: str = "") -> list[Line]:
        """See :meth:`Bulletin.lines`."""
        with self._changed:
            return self._after(after)

    def wait_for_lines(self, after: str, timeout_s: float) -> list[Line]:
        """See :meth:`Bulletin.wait_for_lines`."""
        with self._changed:
            self._changed.wait_for(lambda: bool(self._after(after)), timeout_s)
            return self._after(after)

    def last_id(self) -> str:
        """See :meth:`Bulletin.last_id`."""
        return str(self._n_lines)

    def jobs(self, ids: Sequence[str]) -> list[Fields]:
        """See :meth:`Bulletin.jobs`."""
        with self._changed:
            return [dict(self._jobs.get(job_id, {})) for job_id in ids]

    def dataset(self, name: str) -> Fields:
        """See :meth:`Bulletin.dataset`."""
        with self._changed:
            return dict(self._datasets.get(name, {}))

    def _after(self, line_id: str) -> list[Line]:
        # A page may still know lines of a server that ran before: then it gets all.
        number = int(line_id) if line_id.isdecimal() and int(line_id) <= self._n_lines else 0
        return [line for line in self._lines if int(line.id) > number]


def _add(kept: "OrderedDict[str, Fields]", news: Mapping[str, Fields] | None) -> None:
    for name, fields in (news or {}).items():
        kept[name] = {**kept.get(name, {}), **fields}
        kept.move_to_end(name)
        while len(kept) > MOST_KEPT:
            kept.popitem(last=False)
