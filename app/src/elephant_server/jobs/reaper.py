"""Dropping jobs whose worker has ended or does not answer, and ending the workers that do not.

A worker that does not answer would keep its queue from being served: it is ended, and whoever started it starts it
again. Workers on other machines, or in other containers, are ended there by the launcher.

Every HTTP process watches the job store. It measures by its own monotonic clock how long a job's beats stand still, and
only while it can read the job store, so that neither a clock that is set nor an absence of Redis makes a job look dead.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence

from redis.exceptions import RedisError

from elephant_server.errors import WorkerLostError
from elephant_server.jobs.orphans import OrphanFiles
from elephant_server.jobs.owners import end_worker, is_gone
from elephant_server.jobs.records import JobEntry, Outcome
from elephant_server.jobs.store import JobStore

logger = logging.getLogger(__name__)

LEASE_S = 10.0
# What was aborted ends within seconds; on a slow machine one layer of a network may take a minute.
ABORT_S = 120.0
SWEEP_INTERVAL_S = 1.0


class Reaper:
    """Watches the job store.

    Parameters
    ----------
    job_store
        Where the jobs are.
    orphans
        Files that are looked at in passing.
    lease_s
        Seconds after which a job that nobody renews is dropped.
    clock
        Seconds that pass, whatever the time of the day.
    """

    def __init__(
        self,
        job_store: JobStore,
        orphans: Sequence[OrphanFiles] = (),
        lease_s: float = LEASE_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._job_store = job_store
        self._orphans = orphans
        self._lease_s = lease_s
        self._clock = clock
        self._since: dict[JobEntry, float] = {}
        self._aborted: dict[str, float] = {}

    def start(self) -> None:
        """Sweep from a thread of its own until the process ends."""
        threading.Thread(target=self._run, name="reaper", daemon=True).start()

    def sweep(self) -> None:
        """Look at all jobs once, and drop those that are dead.

        Raises
        ------
        redis.exceptions.RedisError
            The job store cannot be reached; the next look begins anew.
        """
        try:
            entries = self._job_store.entries()
        except RedisError:
            self._since, self._aborted = {}, {}
            raise
        now = self._clock()
        self._since = {entry: self._since.get(entry, now) for entry in entries}
        self._aborted = {e.id: self._aborted.get(e.id, now) for e in entries if e.is_cancelled and e.phase == "running"}
        for entry in entries:
            self._judge(entry, now)
        end_silent(self._job_store)
        for orphans in self._orphans:
            orphans.sweep(entry.task for entry in entries)

    def _judge(self, entry: JobEntry, now: float) -> None:
        """Drop a job that will not end by itself."""
        if entry.phase == "running" and is_gone(entry.owner):
            reason, outcome = "its worker died", died(entry.task)
        elif now - self._since[entry] > self._lease_s:
            is_running = entry.phase == "running"
            reason = "its worker does not answer" if is_running else "nobody keeps it in its queue"
            outcome = silent(entry.task, self._lease_s) if is_running else left(entry.task)
        elif now - self._aborted.get(entry.id, now) > ABORT_S:
            reason, outcome = f"it did not end within {ABORT_S:.0f} s after it was aborted", Outcome(cancelled=True)
        else:
            return
        if self._job_store.drop(entry, outcome):
            logger.error("%s was given up: %s", entry.task, reason)

    def _run(self) -> None:
        pause = threading.Event()
        while not pause.wait(SWEEP_INTERVAL_S):
            try:
                self.sweep()
            except RedisError as error:
                logger.debug("The state cannot be reached (%s)", error)
            except Exception:
                # Nobody else would drop the dead: whatever it was, the next look may succeed.
                logger.exception("The jobs could not be looked at")


def end_silent(job_store: JobStore) -> None:
    """End the workers of this machine whose jobs were dropped though they have not ended.

    Raises
    ------
    redis.exceptions.RedisError
        The job store cannot be reached.
    """
    for owner in job_store.silent_owners():
        if end_worker(owner):
            logger.error("A worker that does not answer was ended")
        if is_gone(owner):
            job_store.forget_owner(owner)


def died(task: str) -> Outcome:
    """Return the outcome of a job that died with its worker."""
    return _lost(
        f"the worker that did {_short(task)} died before it was done, and is started again: try once more; if it "
        "happens again, look into the server's log"
    )


def silent(task: str, seconds: float) -> Outcome:
    """Return the outcome of a job whose worker does not answer."""
    return _lost(
        f"the worker that did {_short(task)} does not answer: there was no sign of it for {seconds:.0f} s, so the work "
        "was given up and the worker is ended and started again. Try once more; if it happens again, look into the "
        "server's log, and see whether the machine or its GPU hangs"
    )


def left(task: str) -> Outcome:
    """Return the outcome of a job that waited for a worker when the process that had accepted it ended."""
    return _lost(f"{_short(task)} was lost while it waited for a worker, since the server was started again: try again")


def _short(task: str) -> str:
    return task.removeprefix("elephant.")


def _lost(message: str) -> Outcome:
    return Outcome(error=WorkerLostError.__name__, message=message)
