"""Handing work to the workers."""

import logging
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from redis.exceptions import RedisError

from elephant_server.errors import AlreadyRunningError, UnavailableError, WorkerLostError
from elephant_server.jobs.payloads import Payload
from elephant_server.state import JobKind, JobStore, Outcome

logger = logging.getLogger(__name__)

RENEW_INTERVAL_S = 2.0
# So many looks in a row at an empty queue: the message is lost, not on its way.
LOOKS_UNTIL_LOST = 2
# A worker that was ended is there again within seconds; to load PyTorch from a slow disk takes a minute.
UNSERVED_S = 120.0


@dataclass(frozen=True, slots=True)
class Job:
    """A piece of work that was handed over."""

    id: str
    kind: JobKind
    task: str


class Sender(Protocol):
    """Puts a task before the workers of a queue."""

    def __call__(self, task: str, job_id: str, payload: str, queue: str) -> None:
        """Send it; raises where that cannot be done."""

    def is_empty(self, queue: str) -> bool:
        """Tell whether nothing waits in a queue; raises where that cannot be known."""

    def is_served(self, queue: str) -> bool:
        """Tell whether there is a worker for a queue, however busy it is; raises where that cannot be known."""


class Dispatcher:
    """Enters jobs in the job store and hands them to the workers.

    Parameters
    ----------
    job_store
        Where jobs are entered.
    send
        Puts a task before the workers.
    """

    def __init__(self, job_store: JobStore, send: Sender) -> None:
        self._job_store = job_store
        self._send = send
        self._keeper = QueuedJobsKeeper(job_store, send)

    def submit(self, task: str, payload: Payload, kind: JobKind, queue: str) -> Job:
        """Enter a job and hand it over.

        Raises
        ------
        AlreadyRunningError
            It is a training or reset, and another one is there.
        UnavailableError
            It could not be handed over.
        """
        job = Job(uuid.uuid4().hex, kind, task)
        # A training reads and writes labels while no interactive job runs.
        if not self._job_store.open(job.id, kind, task, payload.claim() if kind is JobKind.INTERACTIVE else ""):
            raise AlreadyRunningError(
                "a process is running: expected no other training or model reset, but one is under way; "
                "wait for its end or abort it, then try again"
            )
        text = payload.model_dump_json()
        try:
            self._send(task, job.id, text, queue)
        except Exception as error:
            self._take_back(job)
            raise UnavailableError(f"the work could not be handed to a worker ({error}): try again") from error
        self._keeper.add(QueuedJob(job.id, queue, lambda: self._send(task, job.id, text, queue)))
        return job

    def _take_back(self, job: Job) -> None:
        try:
            self._job_store.cancel(job.id)
        except RedisError as error:
            # Nobody renews it.
            logger.warning("The state cannot be reached (%s)", error)


@dataclass(eq=False)
class QueuedJob:
    """A job that waits for a worker.

    Attributes
    ----------
    id, queue
        The job, and where it waits.
    send_again
        Puts it before the workers once more; the job store lets it begin only once.
    n_lost
        How often in a row nothing was found that will begin it.
    """

    id: str
    queue: str
    send_again: Callable[[], None]
    n_lost: int = 0


class QueuedJobsKeeper:
    """Renews the leases of the jobs that this process accepted, until a worker takes them.

    It does so whether or not the client still waits: a label update goes on without it. A worker that is killed in the
    moment in which it takes a message loses it; then it is sent again.

    Parameters
    ----------
    job_store
        Where the jobs are.
    queues
        Where they wait.
    clock
        Seconds that pass, whatever the time of the day.
    """

    def __init__(self, job_store: JobStore, queues: Sender, clock: Callable[[], float] = time.monotonic) -> None:
        self._job_store = job_store
        self._queues = queues
        self._clock = clock
        self._unserved_since: dict[str, float] = {}
        self._jobs: set[QueuedJob] = set()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def add(self, job: QueuedJob) -> None:
        """Keep a job's lease alive while it is queued."""
        with self._changed:
            self._jobs.add(job)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="queued-jobs", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def look(self) -> None:
        """Renew all leases once, and let go of the jobs that are queued no more."""
        with self._changed:
            jobs = list(self._jobs)
        queued = [job for job in jobs if self._job_store.renew_queued(job.id)]
        with self._changed:
            self._jobs.difference_update(set(jobs).difference(queued))
        self._refuse_unserved(queued)
        if queued:
            self._send_lost(queued)

    def _refuse_unserved(self, queued: Sequence[QueuedJob]) -> None:
        """End the jobs for which there has been no worker for long: they would wait for ever."""
        now = self._clock()
        unserved = {queue for queue in {job.queue for job in queued} if not self._queues.is_served(queue)}
        self._unserved_since = {queue: self._unserved_since.get(queue, now) for queue in unserved}
        late = {queue for queue, since in self._unserved_since.items() if now - since > UNSERVED_S}
        ids = {job.id: job.queue for job in queued if job.queue in late}
        for entry in self._job_store.entries() if ids else ():
            if entry.id in ids and entry.phase == "queued" and self._job_store.drop(entry, _unserved(entry.task)):
                logger.error("%s was given up: there is no worker for the queue %s", entry.task, ids[entry.id])

    def _send_lost(self, queued: Sequence[QueuedJob]) -> None:
        """Send those again that will not begin: nothing waits in their queue any more, and still nobody has begun them.

        What other workers are at says nothing: each takes a message off the queue only when it can begin at once.
        """
        for job in queued:
            job.n_lost = job.n_lost + 1 if self._queues.is_empty(job.queue) else 0
            if job.n_lost >= LOOKS_UNTIL_LOST:
                logger.warning("A job was lost on its way to the worker, and is sent again")
                job.n_lost = 0
                job.send_again()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: bool(self._jobs))
            try:
                self.look()
            except Exception as error:  # noqa: BLE001 - what carries the jobs has errors of many kinds; none may end this
                logger.warning("The queued jobs cannot be looked at (%s)", error)
            threading.Event().wait(RENEW_INTERVAL_S)


def _unserved(task: str) -> Outcome:
    message = (
        f"{task.removeprefix('elephant.')} could not begin: for {UNSERVED_S:.0f} s there has been no worker that could "
        "do it. It was given up; see in the server's log why its workers do not start, then try again"
    )
    return Outcome(error=WorkerLostError.__name__, message=message)
