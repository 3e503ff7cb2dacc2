"""Predictions of many timepoints: a job for each, so many at a time, whose answers are given in the order of time.

Each timepoint is a job of its own, so that they spread over all workers, anything else that is asked for goes before
those that wait, and what was found stays known, however the rest ends.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any

from redis.exceptions import RedisError

from elephant.errors import ElephantError
from elephant_server.jobs.lines import as_line
from elephant_server.jobs.responses import FIRST_BYTE_AFTER_S, NEXT_BYTE_AFTER_S, RedisRetry, give_up, raise_failure
from elephant_server.jobs.store import JobStore
from elephant_server.jobs.submit import MOVIE_PREDICT, Dispatcher, Job
from elephant_server.schemas.detection import MoviePredictBody

logger = logging.getLogger(__name__)

# Timepoints of one request that are queued or run; a few more than there are workers.
AT_ONCE = 8
_LOOK_S = 2.0

Line = dict[str, Any]


class MoviePrediction:
    """The jobs of one request for a movie, which go on as long as steps are made.

    Parameters
    ----------
    dispatcher, job_store
        Hands a job over, and where its outcome will be.
    body
        What is asked for.
    timepoints
        Which ones, in order.
    person
        Who asks; empty where nobody knows.

    Attributes
    ----------
    n_answered
        How many timepoints were answered.
    is_aborted
        Whether somebody has ended it.
    """

    def __init__(
        self,
        dispatcher: Dispatcher,
        job_store: JobStore,
        body: MoviePredictBody,
        timepoints: Sequence[int],
        person: str = "",
    ) -> None:
        self._dispatcher = dispatcher
        self._job_store = job_store
        self._body = body
        self._left = deque(timepoints)
        self._person = person
        self._jobs: deque[tuple[int, Job, RedisRetry]] = deque()
        self.n_answered = 0
        self.is_aborted = False

    @property
    def is_done(self) -> bool:
        """Whether nothing is left to be done."""
        return not self._left and not self._jobs

    def step(self) -> Line | None:
        """Return what the next timepoint was answered with; None where that is not there within two seconds.

        Raises
        ------
        ElephantError
            Its job failed.
        redis.exceptions.RedisError
            No job could be entered.
        """
        while self._left and len(self._jobs) < AT_ONCE:
            t = self._left.popleft()
            job = self._dispatcher.submit(MOVIE_PREDICT, self._body.at(t), person=self._person)
            self._jobs.append((t, job, RedisRetry(self._job_store, job)))
        t, _, retry = self._jobs[0]
        outcome = retry.look(self._job_store.wait_for_outcome, _LOOK_S)
        if outcome is None:
            return None
        self._jobs.popleft()
        if raise_failure(outcome).cancelled:
            self.is_aborted = True
            self.end()
            return None
        self.n_answered += 1
        return {"t": t, **(outcome.result or {})}

    def end(self) -> None:
        """End the jobs that are left."""
        self._left.clear()
        for _, job, _ in self._jobs:
            give_up(self._job_store, job)
        self._jobs.clear()

    def finish(self) -> None:
        """Do what is left, though nobody hears of it."""
        try:
            while not self.is_done:
                self.step()
        except (ElephantError, RedisError) as error:
            logger.warning("A movie of %s was not predicted to its end: %s", self._body.dataset_name, error)
            self.end()


def first_line(movie: MoviePrediction) -> Line | None:
    """Return the answer for the first timepoint, so that an error still has its status; None where that takes long.

    Raises
    ------
    ElephantError, redis.exceptions.RedisError
        As for :meth:`MoviePrediction.step`; nothing is left.
    """
    end = time.monotonic() + FIRST_BYTE_AFTER_S
    try:
        while not movie.is_done and time.monotonic() < end:
            line = movie.step()
            if line is not None:
                return line
    except BaseException:
        movie.end()
        raise
    return None


def stream(movie: MoviePrediction, first: Line | None, *, in_background: bool) -> Iterator[bytes]:
    """Yield lines of JSON: one for each timepoint, then one that says how it ended; empty ones where that takes long.

    Parameters
    ----------
    first
        The line that is there already.
    in_background
        Whether it goes on where its reader goes away.
    """
    try:
        yield b"\n" if first is None else as_line(first)
        said_at = time.monotonic()
        while not movie.is_done:
            line = movie.step()
            if line is not None or time.monotonic() - said_at > NEXT_BYTE_AFTER_S:
                said_at = time.monotonic()
                yield b"\n" if line is None else as_line(line)
        yield as_line({"completed": not movie.is_aborted, "n_timepoints": movie.n_answered})
    except (ElephantError, RedisError) as error:
        logger.error("%s", error)  # noqa: TRY400 - the message is for the person, the traceback is the worker's
        movie.end()
        yield as_line({"completed": False, "error": str(error), "n_timepoints": movie.n_answered})
    except GeneratorExit:
        logger.info("The client of a movie's prediction went away%s", ": it goes on" if in_background else "")
        if in_background:
            threading.Thread(target=movie.finish, name="movie", daemon=True).start()
        else:
            movie.end()
        raise
