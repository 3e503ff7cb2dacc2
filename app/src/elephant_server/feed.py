"""The activity feed, which the dashboard shows: the last log lines, and how far each job is.

Nothing is decided by it. It may be lost at any time, and nobody who works waits for it: a caller leaves its news with a
publisher and goes on. News of a short while are published together, and of a job's progress only the newest, so that a
training of a thousand steps a second costs no more than a slow one.
"""

import json
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from redis.exceptions import RedisError

from elephant_server.jobs.records import MOST_BYTES, MOST_RESULTS, Result
from elephant_server.jobs.store_memory import Document, Effects, LogEntry, Store
from elephant_server.publishing import BackgroundPublisher

Fields = dict[str, Any]

# Of so many jobs, and of so many datasets, it is known what was said of them; none of longer ago matters.
MOST_KEPT = 50
MOST_LINES = 500
LONGEST_TEXT = 4000
# Between two publications, and where Redis is away.
INTERVAL_S, AWAY_S = 0.3, 2.0
LOG, JOBS, DATASETS, RESULTS = "feed:log", "feed:jobs", "feed:datasets", "feed:results"
COUNTS = "feed:counts"


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


@dataclass(slots=True)
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
    counts
        How often something happened, by name.
    """

    lines: list[Line] = field(default_factory=list)
    jobs: dict[str, Fields] = field(default_factory=dict)
    datasets: dict[str, Fields] = field(default_factory=dict)
    results: list[Result] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    def __bool__(self) -> bool:
        return bool(self.lines or self.jobs or self.datasets or self.results or self.counts)

    def add(self, newer: "News") -> None:
        """Add what is newer; the oldest lines and results are let go."""
        self.lines += newer.lines
        self.results += newer.results
        self.counts.update(newer.counts)
        del self.lines[:-MOST_LINES], self.results[:-MOST_RESULTS]
        for known, more in ((self.jobs, newer.jobs), (self.datasets, newer.datasets)):
            for name, fields in more.items():
                known[name] = {**known.get(name, {}), **fields}


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
        if news.counts:
            self._store.update(COUNTS, lambda document, _: document.update(Counter(document) + news.counts))
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

    def count(self, what: str) -> int:
        """Return how often something happened, as far as it is known."""
        return int(self._store.read(COUNTS).get(what, 0))

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


class FeedPublisher(BackgroundPublisher):
    """Publishes what it is given, in order.

    Parameters
    ----------
    feed
        Where news are published.
    """

    def __init__(self, feed: ActivityFeed) -> None:
        self._feed = feed
        super().__init__("feed publisher")

    def line(self, level: str, text: str) -> None:
        """Publish a line of the log; returns at once."""
        self._add(News(lines=[Line(time.time(), level, text)]))

    def job(self, job_id: str, **fields: object) -> None:
        """Publish what is known of a job; fields that are not named stay as they were. Returns at once."""
        self._add(News(jobs={job_id: fields}))

    def dataset(self, name: str, **fields: object) -> None:
        """Publish what a request said of a dataset; returns at once."""
        self._add(News(datasets={name: fields}))

    def result(self, result: Result) -> None:
        """Publish what a prediction found; returns at once."""
        self._add(News(results=[result]))

    def count(self, what: str) -> None:
        """Count something that happened; returns at once."""
        self._add(News(counts=Counter({what: 1})))

    def flush(self, timeout_s: float) -> bool:
        """Wait until everything is published; False after so many seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: self._is_published, timeout_s)

    def _add(self, news: News) -> None:
        with self._adding():
            self._news.add(news)
            self._is_published = False

    def _empty(self) -> None:
        self._news = News()
        self._is_published = True

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: bool(self._news))
                news, self._news = self._news, News()
            try:
                self._feed.put(news)
            except RedisError:
                # It is said elsewhere, by those who need Redis; here it would only become one more line.
                with self._changed:
                    news.add(self._news)
                    self._news = news
                time.sleep(AWAY_S)
                continue
            except Exception:  # noqa: BLE001, S110 - what comes after it may be publishable
                # No line about it: that would come here as well.
                pass
            with self._changed:
                self._is_published = not self._news
                self._changed.notify_all()
            time.sleep(INTERVAL_S)
