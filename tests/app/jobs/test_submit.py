"""Jobs on their way to a worker, and those that are lost on it."""

import uuid
from typing import Any

import pytest
import redis

from elephant_server.errors import AlreadyRunningError, UnavailableError
from elephant_server.jobs import submit
from elephant_server.jobs.records import JobKind, NotYet
from elephant_server.jobs.store import JobStore
from elephant_server.jobs.store_redis import RedisStore
from elephant_server.jobs.submit import LOOKS_UNTIL_LOST, UNSERVED_S, Dispatcher, QueuedJob, QueuedJobsKeeper, Task
from elephant_server.schemas.common import Body
from elephant_server.schemas.detection import SegUpdateBody

TRAIN = Task("train", Body, JobKind.TRAINING)


class Queue:
    """A queue that keeps what it is given."""

    has_worker = True

    def __init__(self, error: Exception | None = None) -> None:
        self.sent: list[str] = []
        self._error = error

    def __call__(self, task: str, job_id: str, message: str, queue: str) -> None:
        if self._error is not None:
            raise self._error
        self.sent.append(job_id)

    def is_empty(self, queue: str) -> bool:
        return not self.sent

    def is_served(self, queue: str) -> bool:
        return self.has_worker


@pytest.fixture
def job_store(redis_url: str) -> JobStore:
    return JobStore(RedisStore(redis_url, prefix=f"test-{uuid.uuid4().hex}:"))


def test_a_second_training_is_refused_and_an_interactive_job_is_not(job_store: JobStore) -> None:
    queue = Queue()
    dispatcher = Dispatcher(job_store, queue)
    first = dispatcher.submit(TRAIN, Body())
    with pytest.raises(AlreadyRunningError):
        dispatcher.submit(TRAIN, Body())
    second = dispatcher.submit(Task("predict", Body), Body())
    assert queue.sent == [first.id, second.id]


def test_a_job_says_what_it_needs_of_its_dataset(job_store: JobStore) -> None:
    claims = {
        submit.SEG_PREDICT: "r:a",
        submit.FLOW_PREDICT: "r:a",
        submit.CTC_EXPORT: "r:a",
        submit.SEG_UPDATE: "l:a",
        submit.FLOW_UPDATE: "l:a",
        submit.DATASET_GENERATE: "a:a",
        submit.SEG_TRAIN: "",
        submit.SEG_RESET: "",
        submit.FLOW_RESET: "",
    }
    for task, expected in claims.items():
        body: Any = task.body.model_construct(dataset_name="a")
        assert task.claim(body) == expected
    dispatcher, reset = Dispatcher(job_store, Queue()), SegUpdateBody(dataset_name="a", reset=True)
    first, second = (dispatcher.submit(submit.SEG_UPDATE, reset) for _ in range(2))
    training = dispatcher.submit(Task("t", SegUpdateBody, JobKind.TRAINING), reset)
    with pytest.raises(NotYet):
        job_store.take(second.id)
    assert job_store.take(first.id)
    assert job_store.take(training.id), "a training waits for interactive jobs in another way"


def test_what_cannot_be_sent_is_taken_back(job_store: JobStore) -> None:
    dispatcher = Dispatcher(job_store, Queue(redis.ConnectionError("refused")))
    with pytest.raises(UnavailableError, match="refused"):
        dispatcher.submit(TRAIN, Body())
    assert not job_store.entries()


def test_a_message_that_was_lost_is_sent_again(job_store: JobStore) -> None:
    queue, sent_again = Queue(), []
    keeper = QueuedJobsKeeper(job_store, queue)
    job_store.open("a", JobKind.INTERACTIVE)
    keeper._jobs.add(QueuedJob("a", "answering", lambda: sent_again.append("a")))
    job_store.open("b", JobKind.INTERACTIVE)
    job_store.take("b")  # another worker is busy, which says nothing of this job
    queue.sent.append("a")
    for _ in range(2 * LOOKS_UNTIL_LOST):
        keeper.look()
    assert not sent_again, "it is in the queue"
    queue.sent.clear()
    for _ in range(LOOKS_UNTIL_LOST):
        keeper.look()
    assert sent_again == ["a"]


def test_a_job_that_is_queued_no_more_is_let_go_of(job_store: JobStore) -> None:
    keeper = QueuedJobsKeeper(job_store, Queue())
    job_store.open("a", JobKind.INTERACTIVE)
    keeper._jobs.add(QueuedJob("a", "answering", lambda: None))
    keeper.look()
    assert job_store.entries()[0].beat == 1
    job_store.take("a")
    keeper.look()
    assert not keeper._jobs


def test_a_job_for_which_there_is_no_worker_becomes_an_error(job_store: JobStore) -> None:
    now = [0.0]
    queue = Queue()
    keeper = QueuedJobsKeeper(job_store, queue, lambda: now[0])
    queue.sent.append("a")
    job_store.open("a", JobKind.TRAINING, "elephant.seg_train")
    keeper._jobs.add(QueuedJob("a", "training", lambda: None))
    for _ in range(3):  # however long it waits: a worker is there, and busy
        keeper.look()
        now[0] += UNSERVED_S
    queue.has_worker = False
    keeper.look()
    now[0] += UNSERVED_S
    keeper.look()
    assert job_store.is_alive("a")
    queue.has_worker = True  # it was only being started
    keeper.look()
    queue.has_worker = False
    for _ in range(2):
        keeper.look()
        now[0] += UNSERVED_S + 1
    keeper.look()
    outcome = job_store.wait_for_outcome("a", 1)
    assert outcome is not None
    assert outcome.error == "WorkerLostError"
    assert "seg_train could not begin" in outcome.message
    assert "no worker" in outcome.message
    assert not job_store.entries()
    keeper.look()
    assert not keeper._jobs
