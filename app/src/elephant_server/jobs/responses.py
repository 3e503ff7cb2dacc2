"""Long-poll responses: wait for a job, through a short absence of Redis, while the connection stays alive."""

import json
import logging
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from flask import Response, jsonify
from redis.exceptions import RedisError

from elephant import errors as core_errors
from elephant.errors import ElephantError
from elephant_server import errors as app_errors
from elephant_server.errors import UnavailableError, UnexpectedError, WorkerLostError
from elephant_server.jobs.records import Outcome
from elephant_server.jobs.store import JobStore
from elephant_server.jobs.submit import Job

LOOK_INTERVAL_S = 2.0
AWAY_S = 12.0
MISSING_S = 8.0
PAUSE_S = 0.5

T = TypeVar("T")


class RedisRetry:
    """Looks for one job, and says when there is nothing to wait for any more.

    Parameters
    ----------
    job_store
        Where the job is.
    job
        The job.
    away_s, missing_s
        For how many seconds Redis may be away, and the job may be missing.
    """

    def __init__(self, job_store: JobStore, job: Job, away_s: float = AWAY_S, missing_s: float = MISSING_S) -> None:
        self._job_store = job_store
        self._job = job
        self._limits = {"away": away_s, "missing": missing_s}
        self._since: dict[str, float] = {}

    def look(self, wait: Callable[[str, float], T], timeout_s: float) -> T | None:
        """Return what `wait` finds for the job within some seconds; None where that is nothing yet.

        Raises
        ------
        WorkerLostError
            The job is gone, and left no outcome.
        UnavailableError
            Redis stays away.
        """
        try:
            found = wait(self._job.id, min(timeout_s, LOOK_INTERVAL_S))
            if found is not None or self._job_store.is_alive(self._job.id):
                self._since.clear()
            elif self._lasts("missing"):
                raise WorkerLostError(
                    f"{self._job.task.removeprefix('elephant.')} was lost, because Redis was started again or its "
                    "worker died: try once more; if it happens again, look into the server's log"
                )
        except RedisError as error:
            if self._lasts("away"):
                raise UnavailableError(
                    f"the state cannot be reached any more ({error}): Redis is down or starting, try again. A training "
                    "or a label update that has begun goes on"
                ) from error
            time.sleep(min(PAUSE_S, timeout_s))
            return None
        return found

    def _lasts(self, trouble: str) -> bool:
        """Take note of a trouble, and tell whether it lasts for too long."""
        begin = self._since.setdefault(trouble, time.monotonic())
        return time.monotonic() - begin > self._limits[trouble]


logger = logging.getLogger(__name__)

FIRST_BYTE_AFTER_S = 30.0
NEXT_BYTE_AFTER_S = 15.0

Answer = Callable[[Outcome], dict[str, Any]]


class LongPollResponder:
    """Turn a job into a response.

    Parameters
    ----------
    job_store
        Where the outcome will be.
    next_byte_after_s
        Seconds between two bytes of white space.
    """

    def __init__(self, job_store: JobStore, next_byte_after_s: float = NEXT_BYTE_AFTER_S) -> None:
        self._job_store = job_store
        self._next_byte_after_s = next_byte_after_s

    def respond(
        self, job: Job, answer: Answer, first_byte_after_s: float = FIRST_BYTE_AFTER_S, drop_if_alone: bool = False
    ) -> Response:
        """Wait for the job and answer; a long one answers piece by piece.

        Parameters
        ----------
        answer
            Makes the body from the outcome of a job that completed or was cancelled.
        first_byte_after_s
            When the answer begins where the job is not done by then.
        drop_if_alone
            Whether the job is of no use once its client has gone.

        Raises
        ------
        ElephantError
            The job failed before the answer began.
        """
        retry = RedisRetry(self._job_store, job)
        outcome = self._wait(retry, first_byte_after_s)
        if outcome is not None:
            return jsonify(answer(raise_failure(outcome)))
        stream = self._stream(job, retry, answer, drop_if_alone)
        return Response(stream, mimetype="application/json", headers={"X-Accel-Buffering": "no"})

    def _stream(self, job: Job, retry: RedisRetry, answer: Answer, drop_if_alone: bool) -> Iterator[bytes]:
        try:
            yield b" "
            while (outcome := self._wait_or_fail(retry)) is None:
                yield b" "
        except GeneratorExit:
            logger.info("The client of %s went away", job.task)
            if drop_if_alone:
                give_up(self._job_store, job)
            raise
        try:
            body = answer(raise_failure(outcome))
        except ElephantError as error:
            logger.error("%s", error)  # noqa: TRY400 - the message is for the person, the traceback is the worker's
            body = {"completed": False, "error": str(error)}
        yield json.dumps(body).encode()

    def _wait_or_fail(self, retry: RedisRetry) -> Outcome | None:
        try:
            return self._wait(retry, self._next_byte_after_s)
        except ElephantError as error:
            return Outcome(error=type(error).__name__, message=str(error))

    def _wait(self, retry: RedisRetry, timeout_s: float) -> Outcome | None:
        """Block until the outcome is there, for `timeout_s` seconds at most.

        Raises
        ------
        WorkerLostError, UnavailableError
            There is nothing to wait for any more.
        """
        end = time.monotonic() + timeout_s
        while (left := end - time.monotonic()) > 0:
            outcome = retry.look(self._job_store.wait_for_outcome, left)
            if outcome is not None:
                return outcome
        return None


def give_up(job_store: JobStore, job: Job) -> None:
    """End a job that nobody waits for any more; where Redis is away it goes on."""
    try:
        job_store.cancel(job.id)
    except RedisError as error:
        logger.warning("%s goes on, though nobody waits for it: the state cannot be reached (%s)", job.task, error)


def raise_failure(outcome: Outcome) -> Outcome:
    """Return the outcome of a job that completed or was cancelled.

    Raises
    ------
    ElephantError
        The error with which the job failed.
    """
    if outcome.error is None:
        return outcome
    kind = getattr(core_errors, outcome.error, None) or getattr(app_errors, outcome.error, None)
    if not (isinstance(kind, type) and issubclass(kind, ElephantError)):
        kind = UnexpectedError
    raise kind(outcome.message)
