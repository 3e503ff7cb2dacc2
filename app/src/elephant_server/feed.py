"""The activity feed: what the server shows to whoever looks at it, its last log lines and how far each job is.

Nothing is decided by it. It may be lost at any time, and nobody who works waits for it: a caller leaves its news with a
publisher and goes on. News of a short while are published together, and of a job's progress only the newest, so that a
training of a thousand steps a second costs no more than a slow one.
"""

import json
import os
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from redis.exceptions import RedisError

from elephant_server.jobs.records import MOST_BYTES, MOST_RESULTS, Result
from elephant_server.jobs.store_memory import Document, Effects, LogEntry, Store

Fields = dict[str, Any]

# Of so many jobs, and of so many datasets, it is known what was said of them; none of longer ago matters.
MOST_KEPT = 50
MOST_LINES = 500
LONGEST_TEXT = 4000
# Between two publications, and where Redis is away.
INTERVAL_S, AWAY_S = 0.3, 2.0
LOG, JOBS, DATASETS, RESULTS = "feed:log", "feed:jobs", "feed:datasets", "feed:results"


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the log.

    Attributes
    ----------
    at
        When it was written, seconds since 1970.
    level
        ``INFO``, ``WARNING`` and so on.
    text
        What it says.
    id
        Its place among all lines; empty where it has none yet.
    """

    at: float
    level: str
    text: str
    id: str = ""


@dataclass(frozen=True, slots=True)
class News:
    """What is added to the feed at once.

    Attributes
    ----------
    lines
        New lines, the oldest first.
    jobs
        By the id of a job what is known of it; fields that were put there before and are not named stay.
    datasets
        By the name of a dataset what requests said of it; as for jobs.
    results
        What predictions found, the oldest first.
    """

    lines: Sequence[Line] = ()
    jobs: Mapping[str, Fields] | None = None
    datasets: Mapping[str, Fields] | None = None
    results: Sequence[Result] = ()


class ActivityFeed:
    """The last lines of the log, what is known of jobs and datasets, and what the last predictions found.

    Over Redis every method may raise :class:`redis.exceptions.RedisError`.

    Parameters
    ----------
    store
        Where it is kept.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def put(self, news: News) -> None:
        """Add to it; the oldest lines, jobs and results are let go."""
        if news.jobs:
            self._add(JOBS, news.jobs)
        if news.datasets:
            self._add(DATASETS, news.datasets)
        if news.results:
            self._store.update(RESULTS, lambda document, effects: _keep(document, effects, news.results))
        # Last: all else may be added again where Redis goes away in between, and is the same then.
        if news.lines:
            texts = [json.dumps([line.at, line.level, line.text[:LONGEST_TEXT]]) for line in news.lines]
            self._store.append(LOG, texts, MOST_LINES)

    def lines(self, after: str = "") -> list[Line]:
        """Return the lines that it still has, or those after the one with this id, the oldest first."""
        return _lines(self._store.entries(LOG, after))

    def wait_for_lines(self, after: str, timeout_s: float) -> list[Line]:
        """Return the lines after an id, as soon as there are any; none after so many seconds."""
        return _lines(self._store.entries(LOG, after, timeout_s))

    def last_id(self) -> str:
        """Return the id of the newest line; one that comes before all where there is none."""
        return self._store.last_id(LOG)

    def jobs(self, ids: Sequence[str]) -> list[Fields]:
        """Return what is known of jobs, in their order."""
        known = self._store.read(JOBS).get("known", {})
        return [known.get(job_id, {}) for job_id in ids]

    def latest_job(self) -> str:
        """Return the id of the job that began last, empty where there was none: it may have come and gone unseen."""
        return str(self._store.read(JOBS).get("latest", ""))

    def dataset(self, name: str) -> Fields:
        """Return what requests said of a dataset."""
        fields: Fields = self._store.read(DATASETS).get("known", {}).get(name, {})
        return fields

    def results(self) -> list[Result]:
        """Return what the last predictions found, without the nuclei, the newest first."""
        kept = self._store.read(RESULTS).get("kept", {})
        return [Result(**entry["told"]) for entry in reversed(kept.values())]

    def result(self, result_id: str) -> Result | None:
        """Return what a prediction found; none where that was let go."""
        found = self._store.read(_whole(result_id))
        return Result(**found) if found else None

    def _add(self, name: str, news: Mapping[str, Fields]) -> None:
        """Add to what is known of jobs or datasets."""

        def change(document: Document, _: Effects) -> None:
            known: dict[str, Fields] = document.setdefault("known", {})
            for thing, fields in news.items():
                known[thing] = {**known.pop(thing, {}), **fields}
                if "started" in fields:
                    document["latest"] = thing
            while len(known) > MOST_KEPT:
                del known[next(iter(known))]

        self._store.update(name, change)


def _keep(document: Document, effects: Effects, results: Sequence[Result]) -> None:
    """Keep results: no more than so many, and so many bytes of nuclei, which are documents of their own."""
    kept: dict[str, Any] = document.setdefault("kept", {})
    for result in results:
        kept.pop(result.id, None)
        kept[result.id] = {"told": asdict(replace(result, nuclei="")), "size": len(result.nuclei)}
        effects.writes[_whole(result.id)] = asdict(result)
    while len(kept) > 1 and (len(kept) > MOST_RESULTS or sum(entry["size"] for entry in kept.values()) > MOST_BYTES):
        oldest = next(iter(kept))
        del kept[oldest]
        effects.writes[_whole(oldest)] = None


def _whole(result_id: str) -> str:
    return f"feed:result:{result_id}"


def _lines(entries: Sequence[LogEntry]) -> list[Line]:
    parts = [(entry.id, *json.loads(entry.text)) for entry in entries]
    return [Line(at, level, text, line_id) for line_id, at, level, text in parts]


class FeedPublisher:
    """Publishes what it is given, in order, from a thread of its own, which starts with the first news.

    Making one connects to nothing. It survives a fork: the child gets a thread of its own.

    Parameters
    ----------
    feed
        Where news are published.
    """

    def __init__(self, feed: ActivityFeed) -> None:
        self._feed = feed
        self._start_afresh()

    def line(self, level: str, text: str) -> None:
        """Publish a line of the log; returns at once."""
        self._check_process()
        with self._changed:
            self._lines.append(Line(time.time(), level, text))
            self._wake()

    def job(self, job_id: str, **fields: object) -> None:
        """Publish what is known of a job; fields that are not named stay as they were. Returns at once."""
        self._check_process()
        with self._changed:
            self._jobs.setdefault(job_id, {}).update(fields)
            self._wake()

    def dataset(self, name: str, **fields: object) -> None:
        """Publish what a request said of a dataset; returns at once."""
        self._check_process()
        with self._changed:
            self._datasets.setdefault(name, {}).update(fields)
            self._wake()

    def result(self, result: Result) -> None:
        """Publish what a prediction found; returns at once."""
        self._check_process()
        with self._changed:
            self._results.append(result)
            self._wake()

    def flush(self, timeout_s: float) -> bool:
        """Wait until everything is published; False after so many seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: self._is_published, timeout_s)

    def _check_process(self) -> None:
        if self._pid != os.getpid():  # a fork has copied the lock and what was left, but not the thread
            self._start_afresh()

    def _start_afresh(self) -> None:
        self._pid = os.getpid()
        self._changed = threading.Condition()
        self._lines: deque[Line] = deque(maxlen=MOST_LINES)
        self._jobs: dict[str, Fields] = {}
        self._datasets: dict[str, Fields] = {}
        self._results: deque[Result] = deque(maxlen=MOST_RESULTS)
        self._is_published = True
        self._thread: threading.Thread | None = None

    def _wake(self) -> None:
        self._is_published = False
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="feed publisher", daemon=True)
            self._thread.start()
        self._changed.notify_all()

    def _run(self) -> None:
        while True:
            news = self._take()
            try:
                self._feed.put(news)
            except RedisError:
                # It is said elsewhere, by those who need Redis; here it would only become one more line.
                self._put_back(news)
                time.sleep(AWAY_S)
                continue
            except Exception:  # noqa: BLE001, S110 - what comes after it may be publishable
                # No line about it: that would come here as well.
                pass
            with self._changed:
                self._is_published = not self._has_news()
                self._changed.notify_all()
            time.sleep(INTERVAL_S)

    def _has_news(self) -> bool:
        return bool(self._lines or self._jobs or self._datasets or self._results)

    def _take(self) -> News:
        with self._changed:
            self._changed.wait_for(self._has_news)
            news = News(list(self._lines), self._jobs, self._datasets, list(self._results))
            self._lines.clear()
            self._results.clear()
            self._jobs, self._datasets = {}, {}
            return news

    def _put_back(self, news: News) -> None:
        """Keep what could not be published: what was left meanwhile is newer and wins."""
        with self._changed:
            newer = list(self._lines)
            self._lines.clear()
            self._lines.extend((*news.lines, *newer))
            self._results = deque((*news.results, *self._results), maxlen=MOST_RESULTS)
            self._jobs = _merged(dict(news.jobs or {}), self._jobs)
            self._datasets = _merged(dict(news.datasets or {}), self._datasets)


def _merged(older: dict[str, Fields], newer: dict[str, Fields]) -> dict[str, Fields]:
    return {name: {**older.get(name, {}), **newer.get(name, {})} for name in {**older, **newer}}
