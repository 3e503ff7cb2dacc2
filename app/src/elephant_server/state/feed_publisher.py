"""Publishing a process's news in the activity feed, from a thread in the background.

A caller leaves its news here and goes on: nothing waits for Redis. News of a short while are published together, and of
a job's progress only the newest, so that a training of a thousand steps a second costs no more than a slow one. While
Redis is away the oldest lines are dropped.
"""

import os
import threading
import time
from collections import deque

from redis.exceptions import RedisError

from elephant_server.state.feed import ActivityFeed, Fields, Line, News
from elephant_server.state.results import MOST_RESULTS, Result

INTERVAL_S = 0.3
AWAY_S = 2.0
MOST_LINES = 500


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
