import socket
import threading
import time
import uuid
from collections.abc import Iterator

import pytest
import redis

from elephant_server.state import (
    Board,
    Entry,
    Kind,
    LiveParams,
    MemoryBoard,
    NotYet,
    Outcome,
    ProcessState,
    RedisBoard,
)
from elephant_server.state.claims import Access, claim, clash


@pytest.fixture
def redis_board(redis_url: str) -> RedisBoard:
    return RedisBoard(redis_url, prefix=f"test-{uuid.uuid4().hex}:")


@pytest.fixture(params=["redis", "memory"])
def board(request: pytest.FixtureRequest) -> Board:
    """Give an empty board of each kind: both keep the same contract."""
    return MemoryBoard() if request.param == "memory" else request.getfixturevalue("redis_board")


def test_nothing_runs_at_first(board: Board) -> None:
    assert board.process_state() is ProcessState.IDLE
    assert board.read_params() == LiveParams(0.001, 5)


def test_one_training_at_a_time(board: Board) -> None:
    assert board.open("a", Kind.TRAINING)
    assert not board.open("b", Kind.TRAINING)
    assert not board.is_alive("b")
    assert board.process_state() is ProcessState.RUNNING
    board.finish("a", Outcome(result={}))
    assert board.process_state() is ProcessState.IDLE
    assert board.open("b", Kind.TRAINING)


def test_of_many_that_ask_at_once_one_gets_the_training(board: Board) -> None:
    granted: list[str] = []
    start = threading.Barrier(8)

    def ask(name: str) -> None:
        start.wait()
        if board.open(name, Kind.TRAINING):
            granted.append(name)

    threads = [threading.Thread(target=ask, args=(str(i),)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(granted) == 1


def test_guests_hold_a_training_and_are_all_let_in(board: Board) -> None:
    board.open("training", Kind.TRAINING)
    board.take("training")
    assert not board.look("training").must_wait
    assert board.open("one", Kind.GUEST)
    assert board.open("two", Kind.GUEST)
    assert board.process_state() is ProcessState.WAITING
    board.finish("one", Outcome(result={}))
    assert board.look("training").must_wait
    assert not board.look("two").must_wait
    board.finish("two", Outcome(result={}))
    assert not board.look("training").must_wait
    assert board.process_state() is ProcessState.RUNNING


def test_a_training_that_is_asked_for_while_guests_work_waits_for_them(board: Board) -> None:
    board.open("guest", Kind.GUEST)
    assert board.open("training", Kind.TRAINING)
    board.take("training")
    assert board.look("training").must_wait
    board.finish("guest", Outcome(result={}))
    assert not board.look("training").must_wait


def test_a_job_that_was_dropped_is_gone_for_good(board: Board) -> None:
    board.open("a", Kind.TRAINING, "task")
    lease = board.take("a", "me")
    assert lease is not None
    [entry] = board.entries()
    assert entry == Entry("a", Kind.TRAINING, "running", 0, "me", "task")
    assert board.drop(entry, Outcome(error="WorkerLostError"))
    assert board.process_state() is ProcessState.IDLE
    assert board.wait_for_outcome("a", 1) == Outcome(error="WorkerLostError")
    assert not board.renew(lease)
    board.finish("a", Outcome(result={}))
    assert board.wait_for_outcome("a", 0.1) is None
    assert board.look("a").is_missing
    assert board.open("b", Kind.TRAINING)


def test_a_job_that_was_renewed_meanwhile_is_not_dropped(board: Board) -> None:
    board.open("a", Kind.GUEST)
    [queued] = board.entries()
    assert board.renew_queued("a")
    assert not board.drop(queued, Outcome(error="WorkerLostError"))
    [renewed] = board.entries()
    lease = board.take("a")
    assert lease is not None
    assert not board.drop(renewed, Outcome(error="WorkerLostError"))
    [running] = board.entries()
    assert board.renew(lease)
    assert not board.drop(running, Outcome(error="WorkerLostError"))
    assert board.is_alive("a")


def test_a_dropped_job_can_not_be_taken(board: Board) -> None:
    board.open("a", Kind.GUEST)
    board.drop(board.entries()[0], Outcome(error="WorkerLostError"))
    assert board.take("a") is None


def test_a_running_job_is_entered_again_on_a_board_that_was_emptied(redis_board: RedisBoard, redis_url: str) -> None:
    redis_board.open("a", Kind.TRAINING, "task")
    lease = redis_board.take("a", "me")
    assert lease is not None
    redis_board.write_params(0.5, 7)
    redis.Redis.from_url(redis_url).flushdb()
    assert redis_board.look("a").is_missing
    assert not redis_board.look("a").is_cancelled
    assert redis_board.renew(lease, LiveParams(0.5, 7))
    assert redis_board.process_state() is ProcessState.RUNNING
    assert redis_board.entries() == [Entry("a", Kind.TRAINING, "running", 0, "me", "task")]
    assert redis_board.look("a").params == LiveParams(0.5, 7)
    redis_board.finish("a", Outcome(result={}))
    assert redis_board.wait_for_outcome("a", 1) == Outcome(result={})


def test_what_was_set_since_is_not_undone_by_a_job_that_comes_back(redis_board: RedisBoard, redis_url: str) -> None:
    redis_board.open("a", Kind.TRAINING)
    lease = redis_board.take("a")
    assert lease is not None
    redis.Redis.from_url(redis_url).flushdb()
    redis_board.write_params(lr=0.25)
    assert redis_board.renew(lease, LiveParams(0.5, 7))
    assert redis_board.look("a").params == LiveParams(0.25, 5)


def test_a_training_does_not_come_back_beside_another(redis_board: RedisBoard, redis_url: str) -> None:
    redis_board.open("a", Kind.TRAINING)
    lease = redis_board.take("a")
    assert lease is not None
    redis.Redis.from_url(redis_url).flushdb()
    redis_board.open("b", Kind.TRAINING)
    assert not redis_board.renew(lease)
    assert [entry.id for entry in redis_board.entries()] == ["b"]


def test_to_open_a_training_twice_is_to_open_it_once(board: Board) -> None:
    assert board.open("a", Kind.TRAINING)
    assert board.open("a", Kind.TRAINING)
    assert len(board.entries()) == 1


def test_only_the_phase_that_was_meant_is_renewed(board: Board) -> None:
    board.open("a", Kind.GUEST)
    assert board.renew_queued("a")
    lease = board.take("a")
    assert lease is not None
    assert board.take("a") is None
    assert not board.renew_queued("a")
    assert board.renew(lease)


def test_a_redis_that_does_not_answer_is_given_up_in_seconds(silent_redis: str) -> None:
    board = RedisBoard(silent_redis)
    for ask in (board.process_state, lambda: board.wait_for_outcome("a", 60)):
        begin = time.monotonic()
        with pytest.raises(redis.RedisError):
            ask()
        assert time.monotonic() - begin < 10


@pytest.fixture
def silent_redis() -> Iterator[str]:
    """Give the address of what accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"redis://127.0.0.1:{listening.getsockname()[1]}/0"


def test_an_outcome_wakes_whoever_waits_and_the_state_is_right_by_then(board: Board) -> None:
    board.open("a", Kind.GUEST)
    board.take("a")
    threading.Timer(0.1, lambda: board.finish("a", Outcome(result={"spots": [1]}))).start()
    outcome = board.wait_for_outcome("a", 5)
    assert outcome == Outcome(result={"spots": [1]})
    assert board.process_state() is ProcessState.IDLE
    assert board.wait_for_outcome("a", 0.1) is None


def test_abort_ends_queued_jobs_at_once_and_asks_running_ones(board: Board) -> None:
    board.open("queued", Kind.GUEST)
    board.open("running", Kind.TRAINING)
    board.take("running")
    board.cancel_all()
    assert board.wait_for_outcome("queued", 1) == Outcome(cancelled=True)
    assert board.take("queued") is None
    assert board.look("running").is_cancelled
    assert board.is_alive("running")


def test_one_job_can_be_cancelled_alone(board: Board) -> None:
    for name in ("a", "b"):
        board.open(name, Kind.GUEST)
        board.take(name)
    board.cancel("a")
    assert board.look("a").is_cancelled
    assert not board.look("b").is_cancelled


def test_a_person_holds_a_training_and_only_that_one(board: Board) -> None:
    board.open("a", Kind.TRAINING)
    board.hold(True)
    assert board.look("a").must_wait
    assert board.process_state() is ProcessState.WAITING
    board.hold(False)
    assert not board.look("a").must_wait
    board.hold(True)
    board.finish("a", Outcome(result={}))
    board.open("b", Kind.TRAINING)
    assert not board.look("b").must_wait
    assert board.process_state() is ProcessState.RUNNING


def test_a_change_wakes_a_watcher(board: Board) -> None:
    board.open("guest", Kind.GUEST)
    with board.watch() as wait:
        threading.Timer(0.1, lambda: board.finish("guest", Outcome(result={}))).start()
        begin = time.monotonic()
        wait(10)
        assert time.monotonic() - begin < 5
        assert not board.is_alive("guest")


def test_params_are_changed_one_by_one(board: Board) -> None:
    assert board.write_params(lr=1e-5) == LiveParams(1e-5, 5)
    assert board.write_params(n_crops=0) == LiveParams(1e-5, 0)
    board.open("a", Kind.TRAINING)
    assert board.look("a").params == LiveParams(1e-5, 0)


def test_news_come_in_order_and_before_the_outcome(board: Board) -> None:
    board.open("a", Kind.GUEST)
    board.take("a")
    board.announce("a", {"size": 1})
    board.announce("a", {"size": 2})
    board.finish("a", Outcome(result={}))
    heard = [board.wait_for_news("a", 0.1) for _ in range(4)]
    assert heard == [{"size": 1}, {"size": 2}, Outcome(result={}), None]


def test_news_wake_whoever_follows_and_those_of_a_job_that_is_gone_are_dropped(board: Board) -> None:
    board.open("a", Kind.GUEST)
    threading.Timer(0.1, lambda: board.announce("a", {"size": 1})).start()
    assert board.wait_for_news("a", 5) == {"size": 1}
    board.cancel("a")
    board.announce("a", {"size": 2})
    assert board.wait_for_news("a", 5) == Outcome(cancelled=True)
    assert board.wait_for_news("a", 0.1) is None


def test_a_live_training_is_told_of_updates_in_order_and_none_else(board: Board) -> None:
    board.open("a", Kind.TRAINING)
    board.tell_live("before it listens")
    board.open_live("a")
    board.tell_live("one")
    board.tell_live("two")
    board.take("a")
    assert board.wait_for_live("a", 1) == ["one", "two"]
    assert board.wait_for_live("a", 0.1) == []
    board.finish("a", Outcome(cancelled=True))
    board.tell_live("nobody listens")
    board.open("b", Kind.TRAINING)
    board.open_live("b")
    assert board.wait_for_live("b", 0.1) == []


def test_a_live_session_blocks_in_redis_until_there_is_an_update(
    redis_board: RedisBoard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between updates it waits without load: one command waits all the time, however long that is."""
    asked: list[float] = []
    blpop = redis_board._redis.blpop

    def counted(keys: list[str], timeout: float) -> object:
        asked.append(timeout)
        return blpop(keys, timeout=timeout)

    monkeypatch.setattr(redis_board._redis, "blpop", counted)
    redis_board.open("a", Kind.TRAINING)
    redis_board.open_live("a")
    assert redis_board.wait_for_live("a", 1.5) == []
    assert asked[0] == pytest.approx(1.5, rel=0.5)
    assert len(asked) <= 4  # the last ones wait for what is left of a millisecond


READ, LABELS, ALL = (claim(access, "a/movie") for access in Access)
CLASHES = {(LABELS, LABELS), (ALL, ALL), (READ, ALL), (ALL, READ), (LABELS, ALL), (ALL, LABELS)}


@pytest.mark.parametrize("first", [READ, LABELS, ALL, ""])
@pytest.mark.parametrize("second", [READ, LABELS, ALL, "", claim(Access.ALL, "a/other")])
def test_of_jobs_that_clash_the_first_comes_first(board: Board, first: str, second: str) -> None:
    assert clash(first, second) is ((first, second) in CLASHES)
    board.open("first", Kind.GUEST, claim=first)
    board.open("second", Kind.GUEST, claim=second)
    if (first, second) not in CLASHES:
        assert board.take("second")
        assert board.take("first")
        return
    with pytest.raises(NotYet):
        board.take("second")
    assert board.renew_queued("second")
    assert board.take("first")
    with pytest.raises(NotYet):
        board.take("second")
    board.finish("first", Outcome(result={}))
    assert board.take("second")


def test_who_waits_for_a_turn_is_let_in_by_an_abort_or_a_loss(board: Board) -> None:
    for name in ("first", "second", "third"):
        board.open(name, Kind.GUEST, claim=LABELS)
    board.cancel("first")
    [second, _] = board.entries() if board.entries()[0].id == "second" else board.entries()[::-1]
    assert board.drop(second, Outcome(error="WorkerLostError"))
    assert board.take("third")


def test_a_claim_outlives_a_redis_that_was_emptied(redis_board: RedisBoard, redis_url: str) -> None:
    redis_board.open("first", Kind.GUEST, claim=LABELS)
    lease = redis_board.take("first")
    assert lease is not None
    redis.Redis.from_url(redis_url).flushdb()
    assert redis_board.renew(lease)
    redis_board.open("second", Kind.GUEST, claim=LABELS)
    with pytest.raises(NotYet):
        redis_board.take("second")


def test_names_of_a_dataset_that_mean_the_same_claim_the_same() -> None:
    assert claim(Access.ALL, "a//movie/") == claim(Access.ALL, "a/./movie")
