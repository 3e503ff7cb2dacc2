"""Handing work to the workers: which tasks there are, what a job's message says, and its lease until it begins."""

import logging
import threading
import time
import uuid
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict
from redis.exceptions import RedisError

from elephant_server.errors import AlreadyRunningError, UnavailableError
from elephant_server.jobs.records import Access, JobKind, claim
from elephant_server.jobs.store import JobStore
from elephant_server.schemas.common import CHECKED, Body
from elephant_server.schemas.dataset import CtcBody, DatasetGenerateBody, DatasetMakeBody
from elephant_server.schemas.detection import SegPredictBody, SegResetBody, SegTrainBody, SegUpdateBody
from elephant_server.schemas.flow import FlowPredictBody, FlowResetBody, FlowTrainBody, FlowUpdateBody
from elephant_server.schemas.lineages import CorrectionBody, TrackJobBody
from elephant_server.schemas.models import ModelRestoreBody
from elephant_server.schemas.review import ReviewAnswersBody, ReviewBody
from elephant_server.schemas.tracks import TracksBody

logger = logging.getLogger(__name__)

RENEW_INTERVAL_S = 2.0
B = TypeVar("B", bound=Body)


class Message(BaseModel, Generic[B]):
    """What a worker gets: the body of a request, and the name of the file that comes with it or is to be made."""

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
    is_behind
        Whether all others of its queue begin before it.
    """

    name: str
    body: type[B]
    kind: JobKind = JobKind.INTERACTIVE
    access: Access = Access.READ
    is_behind: bool = False

    @property
    def queue(self) -> str:
        """The queue that it waits in."""
        return self.kind.queue

    def claim(self, body: B) -> str:
        """Return what a job needs of its dataset. A training reads and writes labels while no interactive job works."""
        name = getattr(body, "dataset_name", None)
        return claim(self.access, name) if name is not None and self.kind is JobKind.INTERACTIVE else ""

    def write(self, body: B, file: str | None) -> str:
        """Return a job's message as text."""
        # As it is: it has been validated.
        return Message[self.body].model_construct(body=body, file=file).model_dump_json()  # type: ignore[name-defined]

    def read(self, text: str) -> Message[B]:
        """Return a message from its text.

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
MOVIE_PREDICT = Task("elephant.movie_predict", SegPredictBody, is_behind=True)
MOVIE_TRACK = Task("elephant.movie_track", TrackJobBody, is_behind=True)
LINEAGE_CORRECT = Task("elephant.movie_lineage_corrections", CorrectionBody)
REVIEW = Task("elephant.review", ReviewBody)
REVIEW_ANSWERS = Task("elephant.review_answers", ReviewAnswersBody, access=Access.LABELS)
SEG_TRAIN = Task("elephant.seg_train", SegTrainBody, JobKind.TRAINING)
SEG_UPDATE = Task("elephant.seg_update", SegUpdateBody, access=Access.LABELS)
SEG_RESET = Task("elephant.seg_reset", SegResetBody, JobKind.TRAINING)
FLOW_PREDICT = Task("elephant.flow_predict", FlowPredictBody)
FLOW_TRAIN = Task("elephant.flow_train", FlowTrainBody, JobKind.TRAINING)
FLOW_UPDATE = Task("elephant.flow_update", FlowUpdateBody, access=Access.LABELS)
FLOW_RESET = Task("elephant.flow_reset", FlowResetBody, JobKind.TRAINING)
DATASET_GENERATE = Task("elephant.dataset_generate", DatasetGenerateBody, access=Access.ALL)
DATASET_MAKE = Task("elephant.dataset_make", DatasetMakeBody, access=Access.ALL)
MODEL_RESTORE = Task("elephant.model_restore", ModelRestoreBody)
CTC_EXPORT = Task("elephant.ctc_export", CtcBody)
TRACKS_EXPORT = Task("elephant.tracks_export", TracksBody)


@dataclass(frozen=True, slots=True)
class Job:
    """A piece of work that was handed over."""

    id: str
    kind: JobKind
    task: str


class Workers(Protocol):
    """Those who do the jobs, by their queues; each method raises where it cannot reach them."""

    def call(self, queue: str) -> None:
        """Tell the workers of a queue that there is something to do; a call may get lost, and may come twice."""

    def is_called(self, queue: str) -> bool:
        """Tell whether a call waits for a worker."""

    def is_served(self, queue: str) -> bool:
        """Tell whether there is a worker for a queue, however busy it is."""


class Dispatcher:
    """Enters jobs in the job store and calls the workers.

    Parameters
    ----------
    job_store
        Where jobs are entered.
    workers
        Who does them.
    """

    def __init__(self, job_store: JobStore, workers: Workers) -> None:
        self._job_store = job_store
        self._workers = workers
        self._keeper = QueuedJobsKeeper(job_store)

    def submit(self, task: Task[B], body: B, file: str | None = None, person: str = "") -> Job:
        """Enter a job and call a worker.

        Parameters
        ----------
        task, body
            What is asked for.
        file
            Name of the file that comes with it, or is to be made.
        person
            Who asks; empty where nobody knows.

        Raises
        ------
        AlreadyRunningError
            It is a training or reset, another one is there, and its body does not say that it waits.
        UnavailableError
            No worker could be called.
        """
        job = Job(uuid.uuid4().hex, task.kind, task.name)
        try:
            is_entered = self._job_store.open(
                *(job.id, job.kind, job.task, task.claim(body), task.write(body, file)),
                person=person,
                may_wait=getattr(body, "wait", False),
                is_behind=task.is_behind,
            )
        except RedisError:
            # It may have been entered, and must not begin after the request was refused.
            self._keeper.cancel(job.id)
            raise
        if not is_entered:
            raise AlreadyRunningError(
                "a process is running: expected no other training or model reset, but one is under way; "
                "wait for its end or abort it, then try again"
            )
        try:
            self._workers.call(task.queue)
        except Exception as error:
            self._keeper.cancel(job.id)
            raise UnavailableError(f"the work could not be handed to a worker ({error}): try again") from error
        self._keeper.add(job.id)
        return job


class QueuedJobsKeeper:
    """Renews the leases of the jobs that this process accepted, until a worker takes them.

    It does so whether or not the client still waits: a label update goes on without it. And it cancels the jobs that
    could not be accepted, as soon as the job store is there.

    Parameters
    ----------
    job_store
        Where the jobs are.
    """

    def __init__(self, job_store: JobStore) -> None:
        self._job_store = job_store
        self._accepted: set[str] = set()
        self._refused: set[str] = set()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def add(self, job_id: str) -> None:
        """Keep a job's lease alive while it is queued."""
        self._put(self._accepted, job_id)

    def cancel(self, job_id: str) -> None:
        """Cancel a job, whether or not it was entered; returns at once."""
        self._put(self._refused, job_id)

    def look(self) -> None:
        """Cancel what was refused, renew all leases once, and let go of the jobs that are queued no more.

        Raises
        ------
        redis.exceptions.RedisError
            The job store cannot be reached.
        """
        with self._changed:
            accepted, refused = list(self._accepted), list(self._refused)
        for job_id in refused:
            self._job_store.cancel(job_id)
        gone = [job_id for job_id in accepted if not self._job_store.renew_queued(job_id)]
        with self._changed:
            self._accepted.difference_update(gone)
            self._refused.difference_update(refused)

    def _put(self, jobs: set[str], job_id: str) -> None:
        with self._changed:
            jobs.add(job_id)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="queued-jobs", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: bool(self._accepted or self._refused))
            try:
                self.look()
            except RedisError as error:
                logger.warning("The queued jobs cannot be renewed: the state cannot be reached (%s)", error)
            except Exception:
                # Without their leases all that wait would be lost.
                logger.exception("The queued jobs cannot be renewed")
            time.sleep(RENEW_INTERVAL_S)
