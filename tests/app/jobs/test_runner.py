"""A job in its worker, while Redis goes away, comes back empty, or gives it up."""

import threading
import time
import uuid
from collections.abc import Callable
from typing import Any

import pytest
import redis

from app.jobs.called import Called
from elephant.training.control import LiveSettings
from elephant_server.jobs import control, runner
from elephant_server.jobs.control import JobControl
from elephant_server.jobs.records import Access, Checkpoint, JobKind, LiveParams, Outcome, claim
from elephant_server.jobs.runner import Work, Worker
from elephant_server.jobs.store import JobStore
from elephant_server.jobs.store_memory import Change, Document, MemoryStore, T
from elephant_server.jobs.store_redis import RedisStore


class Leaving(RedisStore):
    """A store whose Redis is away where a test says so."""

    is_away = False

    def read(self, name: str) -> Document:
        self._check()
        return super().read(name)

    def update(self, name: str, change: Change[T]) -> T:
        self._check()
        return super().update(name, change)

    def _check(self) -> None:
        if self.is_away:
            raise redis.ConnectionError("refused")


@pytest.fixture
def store(redis_url: str) -> Leaving:
    return Leaving(redis_url, prefix=f"test-{uuid.uuid4().hex}:")


@pytest.fixture
def job_store(store: Leaving) -> JobStore:
    return JobStore(store)


def worker_of(job_store: JobStore, work: Work, workers: Called | None = None, queue: str = "answering") -> Worker:
    return Worker(job_store, queue, work, workers or Called())


def run(job_store: JobStore, work: Callable[[JobControl], None], kind: JobKind = JobKind.TRAINING) -> Outcome | None:
    def answer(control: JobControl) -> dict[str, Any]:
        work(control)
        return {}

    job_store.open("a", kind)
    worker_of(job_store, answer, queue=kind.queue).do_queued()
    return job_store.wait_for_outcome("a", 1)


def look_again(control: JobControl) -> None:
    """Check when the job store is asked again, not what is remembered of it."""
    control._look_again_at = 0
    control.check()


def test_a_training_goes_on_through_an_absence_and_its_outcome_arrives(
    job_store: JobStore, store: Leaving, redis_url: str
) -> None:
    job_store.write_params(0.5, 7)

    def work(control: JobControl) -> None:
        control.check()
        store.is_away = True
        look_again(control)
        assert control.settings().lr == 0.5
        redis.Redis.from_url(redis_url).flushdb()
        store.is_away = False
        look_again(control)
        assert job_store.is_alive("a")
        assert job_store.read_params() == LiveParams(0.5, 7)

    assert run(job_store, work) == Outcome(result={})


def test_an_outcome_waits_for_redis(job_store: JobStore, store: Leaving, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []

    def come_back(self: JobControl, wait_s: float = 0) -> bool:
        pauses.append(wait_s)
        store.is_away = False
        return False

    monkeypatch.setattr(JobControl, "is_shutting_down", come_back)

    def work(control: JobControl) -> None:
        store.is_away = True

    assert run(job_store, work) == Outcome(result={})
    assert pauses


@pytest.mark.parametrize("is_empty", [False, True], ids=["kept its data", "lost its data"])
def test_a_training_that_begins_while_redis_starts_again_waits_for_it(
    job_store: JobStore, store: Leaving, redis_url: str, monkeypatch: pytest.MonkeyPatch, is_empty: bool
) -> None:
    pauses: list[float] = []

    def come_back(self: JobControl, wait_s: float = 0) -> bool:
        pauses.append(wait_s)
        if is_empty:
            redis.Redis.from_url(redis_url).flushdb()
        store.is_away = len(pauses) < 3
        return False

    monkeypatch.setattr(JobControl, "is_shutting_down", come_back)

    def work(control: JobControl) -> None:
        store.is_away = True
        control.write_settings(LiveSettings(0.5, 7))
        store.is_away = True
        control.check()
        assert control.settings() == LiveSettings(0.5, 7)
        assert job_store.is_alive("a")

    assert run(job_store, work) == Outcome(result={})
    assert len(pauses) == 4


def test_where_redis_stays_away_a_training_does_not_begin(
    job_store: JobStore, store: Leaving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "LONGEST_AWAY_S", 0)
    monkeypatch.setattr(control, "AWAY_INTERVAL_S", 0)

    def work(control: JobControl) -> None:
        store.is_away = True
        try:
            control.write_settings(LiveSettings(0.5, 7))
        finally:
            store.is_away = False

    found = run(job_store, work)
    assert found is not None
    assert found.error == "UnavailableError"
    assert "Redis is down or starting" in (found.message or "")


def test_a_job_that_has_ended_is_not_entered_again(job_store: JobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "RENEW_INTERVAL_S", 0.001)
    finish = job_store.finish

    def finish_slowly(job_id: str, outcome: Outcome) -> None:
        finish(job_id, outcome)
        time.sleep(0.1)

    monkeypatch.setattr(job_store, "finish", finish_slowly)
    assert run(job_store, lambda _: time.sleep(0.05)) == Outcome(result={})
    assert not job_store.entries()


def test_a_job_that_was_given_up_ends_and_leaves_nothing(job_store: JobStore) -> None:
    def work(control: JobControl) -> None:
        job_store.drop(job_store.entries()[0], Outcome(error="WorkerLostError"))
        look_again(control)
        pytest.fail("it goes on")

    assert run(job_store, work) == Outcome(error="WorkerLostError")
    assert job_store.wait_for_outcome("a", 0.1) is None
    assert not job_store.entries()


def test_an_abort_is_heard_after_an_absence(job_store: JobStore, store: Leaving) -> None:
    def work(control: JobControl) -> None:
        control.check()
        store.is_away = True
        look_again(control)
        store.is_away = False
        job_store.cancel_all()
        look_again(control)
        pytest.fail("it goes on")

    assert run(job_store, work) == Outcome(cancelled=True)


def test_a_held_training_stays_held_while_redis_is_away(
    job_store: JobStore, store: Leaving, monkeypatch: pytest.MonkeyPatch
) -> None:
    paused: list[float] = []

    def come_back(self: JobControl, wait_s: float = 0) -> bool:
        paused.append(wait_s)
        store.is_away = False
        job_store.hold(False)
        return False

    monkeypatch.setattr(JobControl, "is_shutting_down", come_back)

    def work(control: JobControl) -> None:
        control._seen = Checkpoint(is_cancelled=False, must_wait=True, params=LiveParams())
        store.is_away = True
        monkeypatch.setattr(job_store, "watch", _refuse)
        control.check()

    assert run(job_store, work) == Outcome(result={})
    assert paused


def _refuse() -> Any:
    raise redis.ConnectionError("refused")


def test_jobs_that_clash_are_done_one_after_the_other_by_one_call() -> None:
    job_store, done = JobStore(MemoryStore()), list[str]()
    for name in ("first", "second", "third"):
        job_store.open(name, JobKind.INTERACTIVE, claim=claim(Access.LABELS, "movie"))
    workers = Called()
    worker_of(job_store, lambda control: done.append(control.job_id) or {}, workers).do_queued()  # type: ignore[func-returns-value]
    assert done == ["first", "second", "third"]
    assert workers.calls == [], "none of them could have begun beside another"
    assert job_store.wait_for_outcome("third", 1) == Outcome(result={})


def test_where_several_jobs_may_begin_another_worker_is_called() -> None:
    job_store, workers, calls = JobStore(MemoryStore()), Called(), list[int]()
    for name in ("first", "second", "third"):
        job_store.open(name, JobKind.INTERACTIVE, claim=claim(Access.READ, "movie"))
    worker_of(job_store, lambda _: calls.append(len(workers.calls)) or {}, workers).do_queued()  # type: ignore[func-returns-value]
    assert calls == [1, 1, 1], "before the first began, and once while that call waits"


def test_a_worker_goes_on_where_no_other_can_be_called() -> None:
    job_store = JobStore(MemoryStore())
    for name in ("first", "second"):
        job_store.open(name, JobKind.INTERACTIVE)
    worker_of(job_store, lambda _: {}, Called(redis.ConnectionError("refused"))).do_queued()
    assert job_store.wait_for_outcome("second", 1) == Outcome(result={})


def test_a_worker_that_is_called_for_nothing_does_nothing(job_store: JobStore, store: Leaving) -> None:
    worker = worker_of(job_store, lambda _: pytest.fail("it begins"))
    worker.do_queued()
    job_store.open("a", JobKind.INTERACTIVE)
    job_store.cancel_all()
    worker.do_queued()
    job_store.open("b", JobKind.INTERACTIVE)
    job_store.take("answering", "another worker")
    worker.do_queued()
    store.is_away = True
    worker.do_queued()
    store.is_away = False
    assert [entry.owner for entry in job_store.entries()] == ["another worker"]


def test_a_worker_that_ends_begins_nothing_more() -> None:
    job_store = JobStore(MemoryStore())
    for name in ("first", "second"):
        job_store.open(name, JobKind.INTERACTIVE)

    def work(control: JobControl) -> dict[str, Any]:
        worker.end()
        control.check()
        pytest.fail("it goes on")

    worker = worker_of(job_store, work)
    worker.do_queued()
    assert job_store.wait_for_outcome("first", 1) == Outcome(cancelled=True)
    assert [entry.phase for entry in job_store.entries()] == ["queued"]


def test_a_job_that_lets_others_go_first_goes_on_after_them() -> None:
    job_store, done = JobStore(MemoryStore()), list[str]()

    def work(control: JobControl) -> dict[str, Any]:
        if control.job_id == "long":
            for name, is_behind in (("other", False), ("behind", True), ("another", False)):
                job_store.open(name, JobKind.INTERACTIVE, is_behind=is_behind)
            thread = threading.Thread(target=control.let_others_go_first)  # does nothing: it is not the job's own
            thread.start()
            thread.join()
            assert not done
            control.let_others_go_first()
            control.check()
        done.append(control.job_id)
        return {"job": control.job_id}

    job_store.open("long", JobKind.INTERACTIVE, is_behind=True)
    worker_of(job_store, work).do_queued()
    assert done == ["other", "another", "long", "behind"]
    for name in done:
        assert job_store.wait_for_outcome(name, 1) == Outcome(result={"job": name})


def test_a_worker_that_ends_ends_what_let_others_go_first_too() -> None:
    job_store = JobStore(MemoryStore())

    def work(control: JobControl) -> dict[str, Any]:
        if control.job_id == "long":
            job_store.open("other", JobKind.INTERACTIVE)
            control.let_others_go_first()
        else:
            worker.end()
        control.check()
        pytest.fail("it goes on")

    job_store.open("long", JobKind.INTERACTIVE, is_behind=True)
    worker = worker_of(job_store, work)
    worker.do_queued()
    for name in ("long", "other"):
        assert job_store.wait_for_outcome(name, 1) == Outcome(cancelled=True)
