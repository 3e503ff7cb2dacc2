import threading
import time
import uuid

import pytest

from elephant_server.state import Kind, LiveParams, Outcome, ProcessState, RedisBoard


@pytest.fixture
def board(redis_url: str) -> RedisBoard:
    return RedisBoard(redis_url, lease_s=0.3, prefix=f"test-{uuid.uuid4().hex}:")


def test_nothing_runs_at_first(board: RedisBoard) -> None:
    assert board.process_state() is ProcessState.IDLE
    assert board.read_params() == LiveParams(0.001, 5)


def test_one_training_at_a_time(board: RedisBoard) -> None:
    assert board.open("a", Kind.TRAINING)
    assert not board.open("b", Kind.TRAINING)
    assert not board.is_alive("b")
    assert board.process_state() is ProcessState.RUNNING
    board.finish("a", Outcome(result={}))
    assert board.process_state() is ProcessState.IDLE
    assert board.open("b", Kind.TRAINING)


def test_of_many_that_ask_at_once_one_gets_the_training(board: RedisBoard) -> None:
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


def test_guests_hold_a_training_and_are_all_let_in(board: RedisBoard) -> None:
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


def test_a_training_that_is_asked_for_while_guests_work_waits_for_them(board: RedisBoard) -> None:
    board.open("guest", Kind.GUEST)
    assert board.open("training", Kind.TRAINING)
    board.take("training")
    assert board.look("training").must_wait
    board.finish("guest", Outcome(result={}))
    assert not board.look("training").must_wait


def test_a_lease_that_nobody_renews_ends(board: RedisBoard) -> None:
    board.open("a", Kind.TRAINING)
    board.take("a")
    for _ in range(5):
        time.sleep(0.1)
        assert board.renew("a", queued=False)
    assert board.is_alive("a")
    time.sleep(0.5)
    assert not board.renew("a", queued=False)
    assert board.process_state() is ProcessState.IDLE
    assert board.look("a").is_cancelled
    assert board.open("b", Kind.TRAINING)


def test_a_given_up_job_can_not_be_taken_and_leaves_no_outcome(board: RedisBoard) -> None:
    board.open("a", Kind.GUEST)
    time.sleep(0.5)
    assert not board.take("a")
    board.finish("a", Outcome(result={}))
    assert board.wait_for_outcome("a", 0.1) is None


def test_only_the_phase_that_was_meant_is_renewed(board: RedisBoard) -> None:
    board.open("a", Kind.GUEST)
    assert not board.renew("a", queued=False)
    assert board.renew("a", queued=True)
    assert board.take("a")
    assert not board.take("a")
    assert not board.renew("a", queued=True)
    assert board.renew("a", queued=False)


def test_an_outcome_wakes_whoever_waits_and_the_state_is_right_by_then(board: RedisBoard) -> None:
    board.open("a", Kind.GUEST)
    board.take("a")
    threading.Timer(0.1, lambda: board.finish("a", Outcome(result={"spots": [1]}))).start()
    outcome = board.wait_for_outcome("a", 5)
    assert outcome == Outcome(result={"spots": [1]})
    assert board.process_state() is ProcessState.IDLE
    assert board.wait_for_outcome("a", 0.1) is None


def test_abort_ends_queued_jobs_at_once_and_asks_running_ones(board: RedisBoard) -> None:
    board.open("queued", Kind.GUEST)
    board.open("running", Kind.TRAINING)
    board.take("running")
    board.cancel_all()
    assert board.wait_for_outcome("queued", 1) == Outcome(cancelled=True)
    assert not board.take("queued")
    assert board.look("running").is_cancelled
    assert board.is_alive("running")


def test_one_job_can_be_cancelled_alone(board: RedisBoard) -> None:
    for name in ("a", "b"):
        board.open(name, Kind.GUEST)
        board.take(name)
    board.cancel("a")
    assert board.look("a").is_cancelled
    assert not board.look("b").is_cancelled


def test_a_person_holds_a_training_and_only_that_one(board: RedisBoard) -> None:
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


def test_a_change_wakes_a_watcher(board: RedisBoard) -> None:
    board.open("guest", Kind.GUEST)
    with board.watch() as wait:
        threading.Timer(0.1, lambda: board.finish("guest", Outcome(result={}))).start()
        begin = time.monotonic()
        wait(10)
        assert time.monotonic() - begin < 5
        assert not board.is_alive("guest")


def test_params_are_changed_one_by_one(board: RedisBoard) -> None:
    assert board.write_params(lr=1e-5) == LiveParams(1e-5, 5)
    assert board.write_params(n_crops=0) == LiveParams(1e-5, 0)
    board.open("a", Kind.TRAINING)
    assert board.look("a").params == LiveParams(1e-5, 0)


def test_news_come_in_order_and_before_the_outcome(board: RedisBoard) -> None:
    board.open("a", Kind.GUEST)
    board.take("a")
    board.announce("a", {"size": 1})
    board.announce("a", {"size": 2})
    board.finish("a", Outcome(result={}))
    heard = [board.wait_for_news("a", 0.1) for _ in range(4)]
    assert heard == [{"size": 1}, {"size": 2}, Outcome(result={}), None]


def test_news_wake_whoever_follows_and_those_of_a_job_that_is_gone_are_dropped(board: RedisBoard) -> None:
    board.open("a", Kind.GUEST)
    threading.Timer(0.1, lambda: board.announce("a", {"size": 1})).start()
    assert board.wait_for_news("a", 5) == {"size": 1}
    board.cancel("a")
    board.announce("a", {"size": 2})
    assert board.wait_for_news("a", 5) == Outcome(cancelled=True)
    assert board.wait_for_news("a", 0.1) is None


def test_a_live_training_is_told_of_updates_in_order_and_none_else(board: RedisBoard) -> None:
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
