"""Jobs on their way to a worker, and those that are lost on it."""

import uuid

import pytest
import redis

from elephant_server.errors import AlreadyRunningError, UnavailableError
from elephant_server.jobs.flow_payloads import FlowPredict, FlowReset, FlowUpdate
from elephant_server.jobs.payloads import CtcExport, DatasetGenerate, Payload, SegPredict, SegUpdate
from elephant_server.jobs.submit import LOOKS_UNTIL_LOST, UNSERVED_S, Dispatcher, QueuedJob, QueuedJobsKeeper
from elephant_server.state import Kind, NotYet, RedisBoard


class Queue:
    """A queue that keeps what it is given."""

    has_worker = True

    def __init__(self, error: Exception | None = None) -> None:
        self.sent: list[str] = []
        self._error = error

    def __call__(self, task: str, job_id: str, payload: str, queue: str) -> None:
        if self._error is not None:
            raise self._error
        self.sent.append(job_id)

    def is_empty(self, queue: str) -> bool:
        return not self.sent

    def is_served(self, queue: str) -> bool:
        return self.has_worker


@pytest.fixture
def board(redis_url: str) -> RedisBoard:
    return RedisBoard(redis_url, prefix=f"test-{uuid.uuid4().hex}:")


def test_a_second_training_is_refused_and_a_guest_is_not(board: RedisBoard) -> None:
    queue = Queue()
    dispatcher = Dispatcher(board, queue)
    first = dispatcher.submit("train", Payload(), Kind.TRAINING, "training")
    with pytest.raises(AlreadyRunningError):
        dispatcher.submit("train", Payload(), Kind.TRAINING, "training")
    second = dispatcher.submit("predict", Payload(), Kind.GUEST, "answering")
    assert queue.sent == [first.id, second.id]


def test_a_job_says_what_it_needs_of_its_dataset(board: RedisBoard) -> None:
    claims = {
        SegPredict: "r:a",
        FlowPredict: "r:a",
        CtcExport: "r:a",
        SegUpdate: "l:a",
        FlowUpdate: "l:a",
        DatasetGenerate: "a:a",
        FlowReset: "",
        Payload: "",
    }
    for kind, expected in claims.items():
        fields = {"dataset_name": "a"} if "dataset_name" in kind.model_fields else {}
        assert kind.model_construct(**fields).claim() == expected  # type: ignore[arg-type]
    dispatcher = Dispatcher(board, Queue())
    first, second = (dispatcher.submit("u", SegUpdate(dataset_name="a"), Kind.GUEST, "answering") for _ in range(2))
    training = dispatcher.submit("t", SegUpdate(dataset_name="a"), Kind.TRAINING, "training")
    with pytest.raises(NotYet):
        board.take(second.id)
    assert board.take(first.id)
    assert board.take(training.id), "a training waits for guests in another way"


def test_what_cannot_be_sent_is_taken_back(board: RedisBoard) -> None:
    dispatcher = Dispatcher(board, Queue(redis.ConnectionError("refused")))
    with pytest.raises(UnavailableError, match="refused"):
        dispatcher.submit("train", Payload(), Kind.TRAINING, "training")
    assert not board.entries()


def test_a_message_that_was_lost_is_sent_again(board: RedisBoard) -> None:
    queue, sent_again = Queue(), []
    keeper = QueuedJobsKeeper(board, queue)
    board.open("a", Kind.GUEST)
    keeper._jobs.add(QueuedJob("a", "answering", lambda: sent_again.append("a")))
    board.open("b", Kind.GUEST)
    board.take("b")  # another worker is busy, which says nothing of this job
    queue.sent.append("a")
    for _ in range(2 * LOOKS_UNTIL_LOST):
        keeper.look()
    assert not sent_again, "it is in the queue"
    queue.sent.clear()
    for _ in range(LOOKS_UNTIL_LOST):
        keeper.look()
    assert sent_again == ["a"]


def test_a_job_that_is_queued_no_more_is_let_go_of(board: RedisBoard) -> None:
    keeper = QueuedJobsKeeper(board, Queue())
    board.open("a", Kind.GUEST)
    keeper._jobs.add(QueuedJob("a", "answering", lambda: None))
    keeper.look()
    assert board.entries()[0].beat == 1
    board.take("a")
    keeper.look()
    assert not keeper._jobs


def test_a_job_for_which_there_is_no_worker_becomes_an_error(board: RedisBoard) -> None:
    now = [0.0]
    queue = Queue()
    keeper = QueuedJobsKeeper(board, queue, lambda: now[0])
    queue.sent.append("a")
    board.open("a", Kind.TRAINING, "elephant.seg_train")
    keeper._jobs.add(QueuedJob("a", "training", lambda: None))
    for _ in range(3):  # however long it waits: a worker is there, and busy
        keeper.look()
        now[0] += UNSERVED_S
    queue.has_worker = False
    keeper.look()
    now[0] += UNSERVED_S
    keeper.look()
    assert board.is_alive("a")
    queue.has_worker = True  # it was only being started
    keeper.look()
    queue.has_worker = False
    for _ in range(2):
        keeper.look()
        now[0] += UNSERVED_S + 1
    keeper.look()
    outcome = board.wait_for_outcome("a", 1)
    assert outcome is not None
    assert outcome.error == "WorkerLostError"
    assert "seg_train could not begin" in outcome.message
    assert "no worker" in outcome.message
    assert not board.entries()
    keeper.look()
    assert not keeper._jobs
