"""Who drops the dead, by clocks that the tests turn."""

import os
import subprocess
import uuid
from pathlib import Path

import pytest
import redis

from elephant_server.jobs.leftovers import Leftovers
from elephant_server.jobs.sweeping import LEASE_S, Sweeper
from elephant_server.state import Kind, RedisBoard
from elephant_server.state.owners import is_gone, this_process


class Clock:
    """A monotonic clock that goes when it is told to."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def board(redis_url: str) -> RedisBoard:
    return RedisBoard(redis_url, prefix=f"test-{uuid.uuid4().hex}:")


def ended_process() -> str:
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as process:
        pid = process.pid
    return this_process().replace(f"/{os.getpid()}-", f"/{pid}-")


def test_a_job_whose_worker_has_ended_is_dropped_at_the_first_look(board: RedisBoard) -> None:
    board.open("dead", Kind.TRAINING, "elephant.seg_train")
    board.take("dead", ended_process())
    board.open("alive", Kind.GUEST)
    board.take("alive", this_process())
    Sweeper(board).sweep()
    assert [entry.id for entry in board.entries()] == ["alive"]
    outcome = board.wait_for_outcome("dead", 1)
    assert outcome is not None
    assert outcome.error == "WorkerLostError"
    assert "seg_train" in outcome.message


def test_a_job_that_nobody_renews_is_dropped_and_one_that_is_renewed_stays(board: RedisBoard, clock: Clock) -> None:
    sweeper = Sweeper(board, clock=clock)
    for name in ("queued", "stuck", "renewed"):
        board.open(name, Kind.GUEST)
    board.take("stuck", this_process())
    lease = board.take("renewed", this_process())
    assert lease is not None
    for _ in range(4):
        sweeper.sweep()
        clock.now += LEASE_S / 3 + 0.1
        board.renew(lease)
    sweeper.sweep()
    assert [entry.id for entry in board.entries()] == ["renewed"]


def test_a_lease_does_not_run_out_while_the_board_cannot_be_read(board: RedisBoard, clock: Clock) -> None:
    sweeper = Sweeper(board, clock=clock)
    board.open("a", Kind.GUEST)
    sweeper.sweep()
    away = RedisBoard("redis://127.0.0.1:1/0")
    sweeper._board = away
    clock.now += LEASE_S + 1
    with pytest.raises(redis.RedisError):
        sweeper.sweep()
    sweeper._board = board
    sweeper.sweep()
    assert board.is_alive("a")


def test_processes_are_told_apart() -> None:
    assert not is_gone(this_process())
    assert is_gone(ended_process())
    # The number may have been given again.
    assert is_gone(f"{this_process()}1")
    # Of another machine nothing is known.
    assert not is_gone(f"elsewhere/{os.getpid()}-1")
    assert not is_gone("")


def test_files_that_nothing_needs_are_removed_once_they_stay_as_they_are(tmp_path: Path, clock: Clock) -> None:
    leftovers = Leftovers(tmp_path, ("reset",), left_after_s=5, clock=clock)
    left, growing = tmp_path / "left", tmp_path / "growing"
    left.touch()
    for size in range(4):
        growing.write_bytes(bytes(size))
        leftovers.sweep(["train"])
        clock.now += 2
    assert [path.name for path in tmp_path.iterdir()] == ["growing"]


def test_files_stay_while_what_needs_them_is_there(tmp_path: Path, clock: Clock) -> None:
    leftovers = Leftovers(tmp_path, ("reset",), left_after_s=5, clock=clock)
    (tmp_path / "needed").touch()
    for _ in range(3):
        leftovers.sweep(["reset"])
        clock.now += 6
    assert (tmp_path / "needed").exists()
    leftovers.sweep([])
    assert not (tmp_path / "needed").exists()
    Leftovers(tmp_path / "absent", ()).sweep([])
