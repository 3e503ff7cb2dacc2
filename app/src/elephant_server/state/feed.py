"""The activity feed: what the server shows to whoever looks at it, its last log lines and how far each job is.

Nothing is decided by it. It may be lost at any time, and nobody who works waits for it.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from elephant_server.state.results import MOST_BYTES, MOST_RESULTS, Result
from elephant_server.state.store import Document, Effects, LogEntry, Store

Fields = dict[str, Any]

# Of so many jobs, and of so many datasets, it is known what was said of them; none of longer ago matters.
MOST_KEPT = 50
MOST_LINES = 500
LONGEST_TEXT = 4000
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
