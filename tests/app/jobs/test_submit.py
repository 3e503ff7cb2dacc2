"""Jobs on their way to a worker, and those that are lost on it."""

import uuid
from typing import Any

import pytest
import redis

from app.jobs.called import Called
from elephant_server.errors import AlreadyRunningError, UnavailableError
from elephant_server.jobs import submit
from elephant_server.jobs.records import JobKind
from elephant_server.jobs.store import JobStore
from elephant_server.jobs.store_memory import Change, T
from elephant_server.jobs.store_redis import RedisStore
from elephant_server.jobs.submit import Dispatcher, QueuedJobsKeeper, Task
from elephant_server.schemas.common import Body
from elephant_server.schemas.detection import SegUpdateBody
from stack.running import wait_until

TRAIN = Task("train", Body, JobKind.TRAINING)


@pytest.fixture
def job_store(redis_url: str) -> JobStore:
    return JobStore(RedisStore(redis_url, prefix=f"test-{uuid.uuid4().hex}:"))


def test_a_second_training_is_refused_and_an_interactive_job_is_not(job_store: JobStore) -> None:
    workers = Called()
    dispatcher = Dispatcher(job_store, workers)
    first = dispatcher.submit(TRAIN, Body())
    with pytest.raises(AlreadyRunningError):
        dispatcher.submit(TRAIN, Body())
    second = dispatcher.submit(Task("predict", Body), Body())
    assert [entry.id for entry in job_store.entries()] == [first.id, second.id]
    assert workers.calls == ["training", "answering"]


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
    dispatcher, reset = Dispatcher(job_store, Called()), SegUpdateBody(dataset_name="a", reset=True)
    first, second = (dispatcher.submit(submit.SEG_UPDATE, reset) for _ in range(2))
    training = dispatcher.submit(Task("t", SegUpdateBody, JobKind.TRAINING), reset)
    lease = job_store.take("answering")
    assert lease is not None
    assert lease.id == first.id
    assert job_store.take("answering") is None, f"{second.id} clashes with the first"
    lease = job_store.take("training")
    assert lease is not None
    assert lease.id == training.id, "a training waits for interactive jobs in another way"


def test_what_no_worker_can_be_called_for_is_cancelled(job_store: JobStore) -> None:
    with pytest.raises(UnavailableError, match="refused"):
        Dispatcher(job_store, Called(redis.ConnectionError("refused"))).submit(TRAIN, Body())
    wait_until(lambda: not job_store.entries(), 60, "the job to be cancelled")


def test_what_was_refused_does_not_begin_later_where_the_answer_of_redis_was_lost(redis_url: str) -> None:
    class Losing(RedisStore):
        """Does what it is asked to, and loses the first answer."""

        has_lost = False

        def update(self, name: str, change: Change[T]) -> T:
            value = super().update(name, change)
            if not self.has_lost:
                self.has_lost = True
                raise redis.TimeoutError("no answer")
            return value

    job_store = JobStore(Losing(redis_url, prefix=f"test-{uuid.uuid4().hex}:"))
    with pytest.raises(redis.TimeoutError):
        Dispatcher(job_store, Called()).submit(TRAIN, Body())
    wait_until(lambda: not job_store.entries(), 60, "the job to be cancelled")
    assert job_store.open("another", JobKind.TRAINING)


def test_a_worker_reads_what_was_submitted(job_store: JobStore) -> None:
    job = Dispatcher(job_store, Called()).submit(submit.SEG_UPDATE, SegUpdateBody(dataset_name="a", reset=True), "file")
    message = submit.SEG_UPDATE.read(job_store.message(job.id))
    assert (message.body.dataset_name, message.body.reset, message.file) == ("a", True, "file")


def test_a_job_that_is_queued_no_more_is_let_go_of(job_store: JobStore) -> None:
    keeper = QueuedJobsKeeper(job_store)
    job_store.open("a", JobKind.INTERACTIVE)
    keeper._accepted.add("a")
    keeper.look()
    assert job_store.entries()[0].beat == 1
    job_store.take("answering")
    keeper.look()
    assert not keeper._accepted
