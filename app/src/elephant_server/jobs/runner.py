"""Doing one job in a worker: its lease, its end, its outcome."""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from redis.exceptions import RedisError

from elephant.errors import Cancelled, ElephantError
from elephant_server.errors import UnavailableError, UnexpectedError
from elephant_server.jobs.context import JobControl
from elephant_server.jobs.reaper import this_process
from elephant_server.jobs.records import Lease, NotYet, Outcome
from elephant_server.jobs.store import JobStore

logger = logging.getLogger(__name__)

RENEW_INTERVAL_S = 2.0
FINISH_PAUSE_S = 1.0
CLASH_PAUSE_S = 0.5

Work = Callable[[JobControl], dict[str, Any]]

# The jobs of this process, whose end is asked for by a signal: one in a worker, more where workers are threads.
_current: set[JobControl] = set()


@dataclass(frozen=True, slots=True)
class Otherwise:
    """What is done where a job cannot be done now.

    Attributes
    ----------
    give_up
        Removes what came with a job that is not to be done any more.
    put_back
        Puts it back into its queue.
    """

    give_up: Callable[[], None] = lambda: None
    put_back: Callable[[], None] = lambda: None


def run_job(job_store: JobStore, job_id: str, work: Work, otherwise: Otherwise | None = None) -> None:
    """Do a job that was handed over, and leave its outcome in the job store.

    A job that is no longer in the job store, because it was aborted while it waited, is given up. One that arrives
    twice is left to the worker that has begun it. One that cannot begin yet is put back, so that this worker can do
    others.
    """
    otherwise = otherwise or Otherwise()
    try:
        lease = _take(job_store, job_id)
    except NotYet:
        _put_back(job_store, otherwise)
        return
    if lease is None:
        if _is_gone(job_store, job_id):
            logger.info("A job was given up before it began")
            otherwise.give_up()
        return
    control = JobControl(job_store, lease)
    _current.add(control)
    renewer = _Renewer(control)
    renewer.start()
    try:
        outcome = _outcome_of(work, control)
    finally:
        # Before the outcome is left: a job that has ended must not be entered again.
        renewer.stop()
    try:
        _finish(job_store, control, outcome)
    finally:
        _current.discard(control)


def _take(job_store: JobStore, job_id: str) -> Lease | None:
    try:
        return job_store.take(job_id, this_process())
    except RedisError as error:
        # Whoever waits learns that it is lost: nobody renews it.
        logger.warning("A job could not be begun: the state cannot be reached (%s)", error)
        return None


def _put_back(job_store: JobStore, otherwise: Otherwise) -> None:
    """Put a job back into its queue, then wait until something has changed, or a moment."""
    try:
        otherwise.put_back()
        with job_store.watch() as wait:
            wait(CLASH_PAUSE_S)
    except Exception as error:  # noqa: BLE001 - what carries the jobs has errors of many kinds
        # Who has accepted it finds that it waits in no queue, and sends it again.
        logger.warning("A job could not be put back into its queue (%s)", error)


def _is_gone(job_store: JobStore, job_id: str) -> bool:
    try:
        return not job_store.is_alive(job_id)
    except RedisError:
        # What came with it is swept later, when it is known that nobody needs it.
        return False


def _finish(job_store: JobStore, control: JobControl, outcome: Outcome) -> None:
    """Leave the outcome, as soon as Redis is there: without it nothing else could be done either."""
    while True:
        try:
            job_store.finish(control.job_id, outcome)
        except RedisError as error:
            logger.warning("The outcome of a job waits: the state cannot be reached (%s)", error)
            if control.is_shutting_down(FINISH_PAUSE_S):
                return
        else:
            return


def end_current_jobs() -> None:
    """Make the jobs of this process end at their next checks."""
    for control in list(_current):
        control.end()


def _outcome_of(work: Work, control: JobControl) -> Outcome:
    try:
        return Outcome(result=work(control))
    except Cancelled as reason:
        logger.info("Ended: %s", reason)
        return Outcome(cancelled=True)
    except ElephantError as error:
        return Outcome(error=type(error).__name__, message=str(error))
    except RedisError as error:
        message = f"the state cannot be reached ({error}): Redis is down or starting, try again in some seconds"
        return Outcome(error=UnavailableError.__name__, message=message)
    except Exception as error:
        logger.exception("Unexpected error")
        message = f"{type(error).__name__}: {error}; this is a fault of the server, its log has the details"
        return Outcome(error=UnexpectedError.__name__, message=message)


class _Renewer:
    """Renews a running job's lease from a thread of its own."""

    def __init__(self, control: JobControl) -> None:
        self._control = control
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lease", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopped.wait(RENEW_INTERVAL_S):
            try:
                self._control.renew()
            except RedisError as error:
                logger.warning("The lease of the running job could not be renewed: %s", error)
