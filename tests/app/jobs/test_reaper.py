"""Who drops the dead, by clocks that the tests turn."""

import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis

from app.jobs.called import Called
from elephant_server.jobs.reaper import ABORT_S, LEASE_S, UNSERVED_S, OrphanFiles, Reaper
from elephant_server.jobs.records import JobKind
from elephant_server.jobs.store import JobStore
from elephant_server.jobs.store_redis import RedisStore
from elephant_server.jobs.worker_registry import _name, end_worker, is_gone, this_process


class Clock:
    """A monotonic clock that goes when it is told to."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def job_store(redis_url: str) -> JobStore:
    return JobStore(RedisStore(redis_url, prefix=f"test-{uuid.uuid4().hex}:"))


def ended_process() -> str:
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as process:
        pid = process.pid
    return this_process().replace(f"/{os.getpid()}-", f"/{pid}-")


def test_a_job_whose_worker_has_ended_is_dropped_at_the_first_look(job_store: JobStore) -> None:
    job_store.open("dead", JobKind.TRAINING, "elephant.seg_train")
    job_store.take("training", ended_process())
    job_store.open("alive", JobKind.INTERACTIVE)
    job_store.take("answering", this_process())
    Reaper(job_store, Called()).reap()
    assert [entry.id for entry in job_store.entries()] == ["alive"]
    outcome = job_store.wait_for_outcome("dead", 1)
    assert outcome is not None
    assert outcome.error == "WorkerLostError"
    assert "seg_train" in outcome.message


def test_a_job_that_nobody_renews_is_dropped_and_one_that_is_renewed_stays(job_store: JobStore, clock: Clock) -> None:
    reaper = Reaper(job_store, Called(), clock=clock)
    for name in ("stuck", "renewed", "queued"):
        job_store.open(name, JobKind.INTERACTIVE)
    job_store.take("answering", this_process())
    lease = job_store.take("answering", this_process())
    assert lease is not None
    for _ in range(4):
        reaper.reap()
        clock.now += LEASE_S / 3 + 0.1
        job_store.renew(lease)
    reaper.reap()
    assert [entry.id for entry in job_store.entries()] == ["renewed"]


@contextmanager
def stopped(*arguments: str) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """Give a process that has stopped, as a worker does whose device hangs, and its name."""
    script = "import time; time.sleep(1000)"
    with subprocess.Popen([sys.executable, "-c", script, *arguments]) as process:
        os.kill(process.pid, signal.SIGSTOP)
        name = _name(process.pid)
        while not name:
            name = _name(process.pid)
        try:
            yield process, name
        finally:
            process.kill()


def test_a_worker_that_does_not_answer_is_ended(job_store: JobStore, clock: Clock) -> None:
    job_store.open("stuck", JobKind.TRAINING, "elephant.seg_train")
    with stopped("elephant_server.worker") as (process, name):
        job_store.take("training", name)
        reaper = Reaper(job_store, Called(), clock=clock)
        reaper.reap()
        assert process.poll() is None
        clock.now += LEASE_S + 1
        reaper.reap()
        assert process.wait(20) == -signal.SIGKILL
    outcome = job_store.wait_for_outcome("stuck", 1)
    assert outcome is not None
    assert outcome.error == "WorkerLostError"
    assert "does not answer" in outcome.message
    assert "died" not in outcome.message
    reaper.reap()
    assert not job_store.silent_owners()


def test_a_worker_elsewhere_is_left_to_whoever_can_end_it(job_store: JobStore, clock: Clock) -> None:
    job_store.open("stuck", JobKind.TRAINING)
    job_store.take("training", "another-boot/pid:[1]/12-34")
    reaper = Reaper(job_store, Called(), clock=clock)
    for _ in range(3):
        reaper.reap()
        clock.now += LEASE_S + 1
    assert job_store.silent_owners() == {"another-boot/pid:[1]/12-34"}


def test_nothing_but_a_worker_is_ended(job_store: JobStore) -> None:
    """Whatever the job store says: somebody may have written it."""
    with stopped() as (process, name):
        assert not end_worker(name)
        assert not end_worker(f"{name}1")
        assert process.poll() is None
    assert not end_worker(this_process())
    assert not end_worker("")
    assert not end_worker("x/y/z")


def test_a_job_that_does_not_end_when_it_is_aborted_is_dropped(job_store: JobStore, clock: Clock) -> None:
    """A call into a driver that does not return lets the lease be renewed for ever."""
    job_store.open("hangs", JobKind.TRAINING)
    with stopped("elephant_server.worker") as (process, name):
        lease = job_store.take("training", name)
        assert lease is not None
        reaper = Reaper(job_store, Called(), clock=clock)
        job_store.cancel_all()
        begin = clock.now
        while clock.now - begin < ABORT_S - LEASE_S:
            job_store.renew(lease)
            reaper.reap()
            clock.now += LEASE_S / 2
        assert job_store.is_alive("hangs")
        for _ in range(6):
            job_store.renew(lease)
            reaper.reap()
            clock.now += LEASE_S / 2
        assert process.wait(20) == -signal.SIGKILL
    outcome = job_store.wait_for_outcome("hangs", 1)
    assert outcome is not None
    assert outcome.cancelled


def test_a_job_that_nobody_keeps_in_its_queue_has_not_died(job_store: JobStore, clock: Clock) -> None:
    job_store.open("queued", JobKind.INTERACTIVE, "elephant.seg_predict")
    reaper = Reaper(job_store, Called(), clock=clock)
    reaper.reap()
    clock.now += LEASE_S + 1
    reaper.reap()
    outcome = job_store.wait_for_outcome("queued", 1)
    assert outcome is not None
    assert "lost while it waited" in outcome.message


def test_a_lease_does_not_run_out_while_the_board_cannot_be_read(job_store: JobStore, clock: Clock) -> None:
    reaper = Reaper(job_store, Called(), clock=clock)
    job_store.open("a", JobKind.INTERACTIVE)
    reaper.reap()
    away = JobStore(RedisStore("redis://127.0.0.1:1/0"))
    reaper._job_store = away
    clock.now += LEASE_S + 1
    with pytest.raises(redis.RedisError):
        reaper.reap()
    reaper._job_store = job_store
    reaper.reap()
    assert job_store.is_alive("a")


def test_where_a_job_waits_and_no_call_does_a_worker_is_called_again(job_store: JobStore, clock: Clock) -> None:
    workers = Called()
    reaper = Reaper(job_store, workers, clock=clock)
    reaper.reap()
    assert workers.calls == []
    job_store.open("a", JobKind.INTERACTIVE)
    for _ in range(3):
        reaper.reap()
        assert workers.calls == ["answering"], "one call is enough, however long it waits"
    workers.calls.clear()  # taken by a worker that was killed before it began
    reaper.reap()
    assert workers.calls == ["answering"]
    workers.calls.clear()
    job_store.take("answering", this_process())
    reaper.reap()
    assert workers.calls == []


def test_a_job_for_which_there_is_no_worker_becomes_an_error(job_store: JobStore, clock: Clock) -> None:
    workers = Called()
    reaper = Reaper(job_store, workers, clock=clock)
    job_store.open("a", JobKind.TRAINING, "elephant.seg_train")

    def look_after(seconds: float) -> None:
        clock.now += seconds
        job_store.renew_queued("a")
        reaper.reap()

    for _ in range(3):  # however long it waits: a worker is there, and busy
        look_after(UNSERVED_S)
    workers.are_there = False
    look_after(1)
    look_after(UNSERVED_S)
    assert job_store.is_alive("a")
    workers.are_there = True  # it was only being started
    look_after(1)
    workers.are_there = False
    look_after(1)
    look_after(UNSERVED_S)
    assert job_store.is_alive("a")
    look_after(1)
    outcome = job_store.wait_for_outcome("a", 1)
    assert outcome is not None
    assert outcome.error == "WorkerLostError"
    assert "seg_train could not begin" in outcome.message
    assert "no worker" in outcome.message
    assert not job_store.entries()


def test_processes_are_told_apart() -> None:
    assert not is_gone(this_process())
    assert is_gone(ended_process())
    # The number may have been given again.
    assert is_gone(f"{this_process()}1")
    # Of another machine nothing is known.
    assert not is_gone(f"elsewhere/{os.getpid()}-1")
    assert not is_gone("")


def test_files_that_nothing_needs_are_removed_once_they_stay_as_they_are(tmp_path: Path, clock: Clock) -> None:
    orphans = OrphanFiles(tmp_path, ("reset",), left_after_s=5, clock=clock)
    left, growing = tmp_path / "left", tmp_path / "growing"
    left.touch()
    for size in range(4):
        growing.write_bytes(bytes(size))
        orphans.remove(["train"])
        clock.now += 2
    assert [path.name for path in tmp_path.iterdir()] == ["growing"]


def test_files_stay_while_what_needs_them_is_there(tmp_path: Path, clock: Clock) -> None:
    orphans = OrphanFiles(tmp_path, ("reset",), left_after_s=5, clock=clock)
    (tmp_path / "needed").touch()
    for _ in range(3):
        orphans.remove(["reset"])
        clock.now += 6
    assert (tmp_path / "needed").exists()
    orphans.remove([])
    assert not (tmp_path / "needed").exists()
    OrphanFiles(tmp_path / "absent", ()).remove([])
