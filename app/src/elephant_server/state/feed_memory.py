"""The bulletin of a server that is one process."""

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Mapping, Sequence
from dataclasses import replace

from elephant_server.state.feed import MOST_KEPT, Fields, Line, News
from elephant_server.state.results import MOST_BYTES, MOST_RESULTS, Result

MOST_LINES = 500


class MemoryFeed:
    """A :class:`~elephant_server.state.feed.ActivityFeed` in this process' memory."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        # As in Redis: a page that knows lines of a server that ran before sees that these are newer.
        self._born_ms = int(time.time() * 1000)
        self._n_lines = 0
        self._lines: deque[Line] = deque(maxlen=MOST_LINES)
        self._jobs: OrderedDict[str, Fields] = OrderedDict()
        self._datasets: OrderedDict[str, Fields] = OrderedDict()
        self._latest_job = ""
        self._results: OrderedDict[str, Result] = OrderedDict()

    def put(self, news: News) -> None:
        """See :meth:`ActivityFeed.put`."""
        with self._changed:
            for line in news.lines:
                self._n_lines += 1
                self._lines.append(replace(line, id=self._id(self._n_lines)))
            for job_id, fields in (news.jobs or {}).items():
                self._latest_job = job_id if "started" in fields else self._latest_job
            _add(self._jobs, news.jobs)
            _add(self._datasets, news.datasets)
            for result in news.results:
                self._keep(result)
            self._changed.notify_all()

    def lines(self, after: str = "") -> list[Line]:
        """See :meth:`ActivityFeed.lines`."""
        with self._changed:
            return self._after(after)

    def wait_for_lines(self, after: str, timeout_s: float) -> list[Line]:
        """See :meth:`ActivityFeed.wait_for_lines`."""
        with self._changed:
            self._changed.wait_for(lambda: bool(self._after(after)), timeout_s)
            return self._after(after)

    def last_id(self) -> str:
        """See :meth:`ActivityFeed.last_id`."""
        with self._changed:
            return self._id(self._n_lines)

    def jobs(self, ids: Sequence[str]) -> list[Fields]:
        """See :meth:`ActivityFeed.jobs`."""
        with self._changed:
            return [dict(self._jobs.get(job_id, {})) for job_id in ids]

    def latest_job(self) -> str:
        """See :meth:`ActivityFeed.latest_job`."""
        with self._changed:
            return self._latest_job

    def dataset(self, name: str) -> Fields:
        """See :meth:`ActivityFeed.dataset`."""
        with self._changed:
            return dict(self._datasets.get(name, {}))

    def results(self) -> list[Result]:
        """See :meth:`ActivityFeed.results`."""
        with self._changed:
            return [replace(result, nuclei="") for result in reversed(self._results.values())]

    def result(self, result_id: str) -> Result | None:
        """See :meth:`ActivityFeed.result`."""
        with self._changed:
            return self._results.get(result_id)

    def _keep(self, result: Result) -> None:
        self._results[result.id] = result
        self._results.move_to_end(result.id)
        sizes = [len(kept.nuclei) for kept in self._results.values()]
        while len(sizes) > 1 and (len(sizes) > MOST_RESULTS or sum(sizes) > MOST_BYTES):
            self._results.popitem(last=False)
            del sizes[0]

    def _after(self, line_id: str) -> list[Line]:
        born, _, number = line_id.partition("-")
        first = self._n_lines - len(self._lines) + 1
        # A page may still know lines of a server that ran before: then it gets all.
        n_known = int(number) if born == str(self._born_ms) and number.isdecimal() else 0
        return [line for n, line in enumerate(self._lines, first) if n > n_known]

    def _id(self, number: int) -> str:
        return f"{self._born_ms}-{number}"


def _add(kept: "OrderedDict[str, Fields]", news: Mapping[str, Fields] | None) -> None:
    for name, fields in (news or {}).items():
        kept[name] = {**kept.get(name, {}), **fields}
        kept.move_to_end(name)
        while len(kept) > MOST_KEPT:
            kept.popitem(last=False)
