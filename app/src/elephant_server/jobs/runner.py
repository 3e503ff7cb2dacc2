"""Workers: each does the jobs of a queue, one after the other, under a lease, and leaves their outcomes."""

import logging
import threading
from collections.abc import Callable
from typing import Any

from redis.exceptions import RedisError

from elephant.errors import Cancelled, ElephantError
from elephant_server.errors import UnavailableError, UnexpectedError
from elephant_server.jobs.control import JobControl
from elephant_server.jobs.records import Lease, Outcome
from elephant_server.jobs.store import JobStore
from elephant_server.jobs.submit import Workers
from elephant_server.jobs.worker_registry import this_process
from elephant_server.stop_flag import StopFlag

logger = logging.getLogger(__name__)

RENEW_INTERVAL_S = 2.0
FINISH_PAUSE_S = 1.0

Work = Callable[[JobControl], dict[str, Any]]


class Worker:
    """Does the jobs of a queue when it is called.

    Parameters
    ----------
    job_store
        Where the jobs are.
    queue
        Whose jobs it does.
    work
        Does one, and returns what it answers.
    workers
        All workers, if there are others for the queue: where several jobs may begin, the next one is called.
    idle
        Called when no job may begin, with what is set where the worker is to end; returns whether one may by then.
    """

    def __init__(
        self,
        job_store: JobStore,
        queue: str,
        work: Work,
        workers: Workers | None = None,
        idle: Callable[[StopFlag], bool] | None = None,
    ) -> None:
        self._job_store = job_store
        self._queue = queue
        self._work = work
        self._workers = workers
        self._idle = idle
        self._running: list[JobControl] = []  # the one that is worked on last
        self._is_ending = StopFlag()

    def do_queued(self) -> None:
        """Do jobs until none is left that may begin; one that waits for this one to end is begun right after it."""
        while True:
            while not self._is_ending.is_set() and (lease := self._take()) is not None:
                self._call_next()
                self._do(lease)
            if self._idle is None or self._is_ending.is_set() or not self._idle(self._is_ending):
                return

    def end(self) -> None:
        """Make the current job end at its next check, and begin no other; safe to call from a signal handler."""
        self._is_ending.set()
        for control in tuple(self._running):
            control.end()

    def _do_others(self) -> None:
        """Do the jobs that go before one that has begun, since that one was asked to let others go first."""
        while not self._is_ending.is_set() and (lease := self._take(with_behind=False)) is not None:
            self._do(lease)

    def _take(self, *, with_behind: bool = True) -> Lease | None:
        try:
            return self._job_store.take(self._queue, this_process(), with_behind=with_behind)
        except RedisError as error:
            # What is queued is called for again; nobody renews what may have begun.
            logger.warning("No job could be begun: the state cannot be reached (%s)", error)
            return None

    def _call_next(self) -> None:
        if self._workers is None:
            return
        try:
            if self._job_store.has_ready(self._queue) and not self._workers.is_called(self._queue):
                self._workers.call(self._queue)
        except Exception as error:  # noqa: BLE001 - what carries the calls has errors of many kinds
            logger.warning("No other worker could be called (%s): the reaper does it", error)

    def _do(self, lease: Lease) -> None:
        control = JobControl(self._job_store, lease, self._do_others)
        self._running.append(control)
        if self._is_ending.is_set():  # between the last look at it and now
            control.end()
        renewer = _Renewer(control)
        renewer.start()
        try:
            outcome = _outcome_of(self._work, control)
        finally:
            # Before the outcome is left: a job that has ended must not be entered again.
            renewer.stop()
        try:
            self._finish(control, outcome)
        finally:
            self._running.remove(control)

    def _finish(self, control: JobControl, outcome: Outcome) -> None:
        """Leave the outcome, as soon as Redis is there: without it nothing else could be done either."""
        while True:
            try:
                self._job_store.finish(control.job_id, outcome)
            except RedisError as error:
                logger.warning("The outcome of a job waits: the state cannot be reached (%s)", error)
                if control.is_shutting_down(FINISH_PAUSE_S):
                    return
            else:
                return


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
