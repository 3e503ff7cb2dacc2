"""Answers of lines of JSON to one job: each of its announcements is a line, and the last one says how it ended."""

import json
import logging
import time
from collections.abc import Callable, Iterator
from typing import Any

from redis.exceptions import RedisError

from elephant.errors import ElephantError
from elephant_server.jobs.records import Announcement, Outcome
from elephant_server.jobs.responses import (
    FIRST_BYTE_AFTER_S,
    LOOK_INTERVAL_S,
    NEXT_BYTE_AFTER_S,
    RedisRetry,
    give_up,
    raise_failure,
)
from elephant_server.jobs.store import JobStore
from elephant_server.jobs.submit import Job

logger = logging.getLogger(__name__)

News = Announcement | Outcome
Line = dict[str, Any]


class JobLines:
    """The lines of the answer to a job.

    Parameters
    ----------
    job_store
        Where the job announces.
    job
        The job.
    end
        Returns what is said in the end, besides whether it is completed, from the job's result; by default that itself.
    """

    def __init__(self, job_store: JobStore, job: Job, end: Callable[[Line], Line] = dict) -> None:
        self._job_store = job_store
        self._job = job
        self._end = end
        self._retry = RedisRetry(job_store, job)

    def first(self) -> News | None:
        """Return what the job says first, so that an error still has its status; None where that takes long.

        Raises
        ------
        ElephantError
            It failed.
        """
        try:
            return self._next(FIRST_BYTE_AFTER_S)
        except BaseException:
            give_up(self._job_store, self._job)
            raise

    def stream(self, first: News | None) -> Iterator[bytes]:
        """Yield lines; empty ones where nothing is said for long. A reader that goes away ends the job.

        Parameters
        ----------
        first
            What :meth:`first` returned.
        """
        news = first
        try:
            while not isinstance(news, Outcome):
                yield b"\n" if news is None else as_line(news)
                news = self._next(NEXT_BYTE_AFTER_S)
            yield as_line({"completed": not news.cancelled, **({} if news.cancelled else self._end(news.result or {}))})
        except (ElephantError, RedisError) as error:
            logger.error("%s", error)  # noqa: TRY400 - the message is for the person, the traceback is the worker's
            give_up(self._job_store, self._job)
            yield as_line({"completed": False, "error": str(error)})
        except GeneratorExit:
            logger.info("The client of %s went away", self._job.task)
            give_up(self._job_store, self._job)
            raise

    def _next(self, timeout_s: float) -> News | None:
        """Return what the job says next, or how it ended; None where nothing is said for so long."""
        end = time.monotonic() + timeout_s
        while (left := end - time.monotonic()) > 0:
            news = self._retry.look(self._job_store.wait_for_news, min(left, LOOK_INTERVAL_S))
            if news is not None:
                return raise_failure(news) if isinstance(news, Outcome) else news
        return None


def as_line(line: Line) -> bytes:
    """Return a JSON object as a line of its own."""
    return json.dumps(line, allow_nan=False).encode() + b"\n"
