"""Handing work to the workers: which tasks there are, what travels, and keeping it alive until a worker takes it."""

import logging
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict
from redis.exceptions import RedisError

from elephant_server.errors import AlreadyRunningError, UnavailableError, WorkerLostError
from elephant_server.jobs.records import Access, JobKind, Outcome, claim
from elephant_server.jobs.store import JobStore
from elephant_server.schemas.common import CHECKED, Body
from elephant_server.schemas.dataset import DatasetGenerateBody
from elephant_server.schemas.detection import SegPredictBody, SegResetBody, SegTrainBody, SegUpdateBody
from elephant_server.schemas.download import CtcBody
from elephant_server.schemas.flow import FlowPredictBody, FlowResetBody, FlowTrainBody, FlowUpdateBody

logger = logging.getLogger(__name__)

RENEW_INTERVAL_S = 2.0
# So many looks in a row at an empty queue: the message is lost, not on its way.
LOOKS_UNTIL_LOST = 2
# A worker that was ended is there again within seconds; to load PyTorch from a slow disk takes a minute.
UNSERVED_S = 120.0

TRAINING_QUEUE, ANSWERING_QUEUE = "training", "answering"

B = TypeVar("B", bound=Body)


class Message(BaseModel, Generic[B]):
    """What travels to a worker: the body of a request, and the name of the file that comes with it or is to be made."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    body: B
    file: str | None = None


@dataclass(frozen=True, slots=True)
class Task(Generic[B]):
    """A kind of work.

    Attributes
    ----------
    name
        What the workers know it by.
    body
        The body of its requests.
    kind
        Whether it is a training, or one of those for which trainings are held.
    access
        What an interactive one needs of the dataset that its body names.
    """

    name: str
    body: type[B]
    kind: JobKind = JobKind.INTERACTIVE
    access: Access = Access.READ

    @property
    def queue(self) -> str:
        """The queue that it waits in."""
        return TRAINING_QUEUE if self.kind is JobKind.TRAINING else ANSWERING_QUEUE

    def claim(self, body: B) -> str:
        """Return what a job needs of its dataset. A training reads and writes labels while no interactive job works."""
        name = getattr(body, "dataset_name", None)
        return claim(self.access, name) if name is not None and self.kind is JobKind.INTERACTIVE else ""

    def write(self, body: B, file: str | None) -> str:
        """Return the message that a worker is sent, as text."""
        # As it is: it has been validated.
        return Message[self.body].model_construct(body=body, file=file).model_dump_json()  # type: ignore[name-defined]

    def read(self, text: str) -> Message[B]:
        """Return the message that was sent.

        Raises
        ------
        pydantic.ValidationError
            It cannot be read, or says something that this worker does not know.
        """
        found: Message[B] = Message[self.body].model_validate_json(  # type: ignore[name-defined]
            text, extra="forbid", context=CHECKED
        )
        return found


SEG_PREDICT = Task("elephant.seg_predict", SegPredictBody)
SEG_TRAIN = Task("elephant.seg_train", SegTrainBody, JobKind.TRAINING)
SEG_UPDATE = Task("elephant.seg_update", SegUpdateBody, access=Access.LABELS)
SEG_RESET = Task("elephant.seg_reset", SegResetBody, JobKind.TRAINING)
FLOW_PREDICT = Task("elephant.flow_predict", FlowPredictBody)
FLOW_TRAIN = Task("elephant.flow_train", FlowTrainBody, JobKind.TRAINING)
FLOW_UPDATE = Task("elephant.flow_update", FlowUpdateBody, access=Access.LABELS)
FLOW_RESET = Task("elephant.flow_reset", FlowResetBody, JobKind.TRAINING)
DATASET_GENERATE = Task("elephant.dataset_generate", DatasetGenerateBody, access=Access.ALL)
CTC_EXPORT = Task("elephant.ctc_export", CtcBody)


@dataclass(frozen=True, slots=True)
class Job:
    """A piece of work that was handed over."""

    id: str
    kind: JobKind
    task: str


class Sender(Protocol):
    """Puts a task before the workers of a queue."""

    def __call__(self, task: str, job_id: str, message: str, queue: str) -> None:
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

    def submit(self, task: Task[B], body: B, file: str | None = None) -> Job:
        """Enter a job and hand it over, with the name of a file where it has one.

        Raises
        ------
        AlreadyRunningError
            It is a training or reset, and another one is there.
        UnavailableError
            It could not be handed over.
        """
        job = Job(uuid.uuid4().hex, task.kind, task.name)
        if not self._job_store.open(job.id, job.kind, job.task, task.claim(body)):
            raise AlreadyRunningError(
                "a process is running: expected no other training or model reset, but one is under way; "
                "wait for its end or abort it, then try again"
            )
        text = task.write(body, file)
        try:
            self._send(job.task, job.id, text, task.queue)
        except Exception as error:
            self._take_back(job)
            raise UnavailableError(f"the work could not be handed to a worker ({error}): try again") from error
        self._keeper.add(QueuedJob(job.id, task.queue, lambda: self._send(job.task, job.id, text, task.queue)))
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
