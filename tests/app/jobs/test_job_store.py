import socket
import threading
import time
import uuid
from collections.abc import Iterator

import pytest
import redis

from app.jobs.remote import remote_store
from elephant_server.jobs.records import Access, JobEntry, JobKind, LiveParams, Outcome, claim, clash
from elephant_server.jobs.store import JobStore
from elephant_server.jobs.store_memory import Change, MemoryStore, T
from elephant_server.jobs.store_redis import RedisStore
from elephant_server.schemas.state import ProcessState


@pytest.fixture
def redis_store(redis_url: str) -> RedisStore:
    return RedisStore(redis_url, prefix=f"test-{uuid.uuid4().hex}:")


@pytest.fixture
def redis_jobs(redis_store: RedisStore) -> JobStore:
    return JobStore(redis_store)


@pytest.fixture(params=["redis", "memory", "pipes"])
def job_store(request: pytest.FixtureRequest) -> Iterator[JobStore]:
    """Give an empty job store over each store: the rules hold over all."""
    if request.param == "memory":
        yield JobStore(MemoryStore())
    elif request.param == "pipes":
        with remote_store(MemoryStore()) as store:
            yield JobStore(store)
    else:
        yield request.getfixturevalue("redis_jobs")


def test_nothing_runs_at_first(job_store: JobStore) -> None:
    assert job_store.process_state() is ProcessState.IDLE
    assert job_store.read_params() == LiveParams(0.001, 5)


def test_one_training_at_a_time(job_store: JobStore) -> None:
    assert job_store.open("a", JobKind.TRAINING)
    assert not job_store.open("b", JobKind.TRAINING)
    assert not job_store.is_alive("b")
    assert job_store.process_state() is ProcessState.RUNNING
    job_store.finish("a", Outcome(result={}))
    assert job_store.process_state() is ProcessState.IDLE
    assert job_store.open("b", JobKind.TRAINING)


def test_of_many_that_ask_at_once_one_gets_the_training(job_store: JobStore) -> None:
    granted: list[str] = []
    start = threading.Barrier(8)

    def ask(name: str) -> None:
        start.wait()
        if job_store.open(name, JobKind.TRAINING):
            granted.append(name)

    threads = [threading.Thread(target=ask, args=(str(i),)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(granted) == 1


def test_trainings_that_may_wait_take_turns_by_person(job_store: JobStore) -> None:
    def ask(name: str, person: str) -> None:
        assert job_store.open(name, JobKind.TRAINING, person=person, may_wait=True)

    def do_next() -> tuple[str, str]:
        lease = job_store.take("training", "me")
        assert lease is not None
        assert job_store.take("training", "me") is None  # one at a time
        job_store.finish(lease.id, Outcome(result={}))
        return lease.id, lease.person

    for name, person in (("a1", "Ana"), ("a2", "Ana"), ("a3", "Ana"), ("b1", "Bo"), ("c1", ""), ("b2", "Bo")):
        ask(name, person)
    assert not job_store.open("impatient", JobKind.TRAINING)
    assert [do_next() for _ in range(3)] == [("a1", "Ana"), ("b1", "Bo"), ("c1", "")]
    ask("a4", "Ana")
    ask("d1", "Di")  # who had no turn yet
    assert [do_next()[0] for _ in range(5)] == ["d1", "a2", "b2", "a3", "a4"]
    assert job_store.take("training", "me") is None
    assert job_store.open("later", JobKind.TRAINING)


def test_a_training_that_waits_is_known_by_its_person_and_can_be_aborted(job_store: JobStore) -> None:
    job_store.open("one", JobKind.TRAINING, person="Ana")
    job_store.take("training", "me")
    job_store.open("two", JobKind.TRAINING, person="Bo", may_wait=True)
    assert [(entry.id, entry.phase, entry.person) for entry in job_store.entries()] == [
        ("one", "running", "Ana"),
        ("two", "queued", "Bo"),
    ]
    assert not job_store.has_ready("training")
    job_store.hold(True)  # what runs, not what waits
    assert [job_store.look(name).must_wait for name in ("one", "two")] == [True, False]
    job_store.cancel("two")
    assert job_store.wait_for_outcome("two", 1) == Outcome(cancelled=True)
    assert job_store.is_alive("one")


def test_a_live_session_that_waits_hears_of_labels_too(job_store: JobStore) -> None:
    job_store.open("one", JobKind.TRAINING)
    job_store.take("training", "me")
    job_store.open("two", JobKind.TRAINING, may_wait=True)
    job_store.open_live("two")
    job_store.tell_live("labels")
    assert job_store.wait_for_live("two", 1) == ["labels"]
    assert job_store.wait_for_live("one", 0.01) == []
    # It goes on until somebody ends it.
    assert not job_store.open("three", JobKind.TRAINING, may_wait=True)


def test_interactive_jobs_hold_a_training_and_are_all_let_in(job_store: JobStore) -> None:
    job_store.open("training", JobKind.TRAINING)
    job_store.take("training")
    assert not job_store.look("training").must_wait
    assert job_store.open("one", JobKind.INTERACTIVE)
    assert job_store.open("two", JobKind.INTERACTIVE)
    assert job_store.process_state() is ProcessState.WAITING
    job_store.finish("one", Outcome(result={}))
    assert job_store.look("training").must_wait
    assert not job_store.look("two").must_wait
    job_store.finish("two", Outcome(result={}))
    assert not job_store.look("training").must_wait
    assert job_store.process_state() is ProcessState.RUNNING


def test_a_training_that_is_asked_for_while_interactive_jobs_run_waits_for_them(job_store: JobStore) -> None:
    job_store.open("interactive", JobKind.INTERACTIVE)
    assert job_store.open("training", JobKind.TRAINING)
    job_store.take("training")
    assert job_store.look("training").must_wait
    job_store.finish("interactive", Outcome(result={}))
    assert not job_store.look("training").must_wait


def test_a_job_that_was_dropped_is_gone_for_good(job_store: JobStore) -> None:
    job_store.open("a", JobKind.TRAINING, "task")
    lease = job_store.take("training", "me")
    assert lease is not None
    [entry] = job_store.entries()
    assert entry == JobEntry("a", JobKind.TRAINING, "running", 0, "me", "task")
    assert job_store.drop(entry, Outcome(error="WorkerLostError"))
    assert job_store.process_state() is ProcessState.IDLE
    assert job_store.wait_for_outcome("a", 1) == Outcome(error="WorkerLostError")
    assert not job_store.renew(lease)
    job_store.finish("a", Outcome(result={}))
    assert job_store.wait_for_outcome("a", 0.1) is None
    assert job_store.look("a").is_missing
    assert job_store.open("b", JobKind.TRAINING)


def test_a_job_that_was_renewed_meanwhile_is_not_dropped(job_store: JobStore) -> None:
    job_store.open("a", JobKind.INTERACTIVE)
    [queued] = job_store.entries()
    assert job_store.renew_queued("a")
    assert not job_store.drop(queued, Outcome(error="WorkerLostError"))
    [renewed] = job_store.entries()
    lease = job_store.take("answering")
    assert lease is not None
    assert not job_store.drop(renewed, Outcome(error="WorkerLostError"))
    [running] = job_store.entries()
    assert job_store.renew(lease)
    assert not job_store.drop(running, Outcome(error="WorkerLostError"))
    assert job_store.is_alive("a")


def test_a_dropped_job_can_not_be_taken(job_store: JobStore) -> None:
    job_store.open("a", JobKind.INTERACTIVE)
    job_store.drop(job_store.entries()[0], Outcome(error="WorkerLostError"))
    assert job_store.take("answering") is None


def test_a_running_job_is_entered_again_where_redis_lost_its_data(redis_jobs: JobStore, redis_url: str) -> None:
    redis_jobs.open("a", JobKind.TRAINING, "task")
    lease = redis_jobs.take("training", "me")
    assert lease is not None
    redis_jobs.write_params(0.5, 7)
    redis.Redis.from_url(redis_url).flushdb()
    assert redis_jobs.look("a").is_missing
    assert not redis_jobs.look("a").is_cancelled
    assert redis_jobs.renew(lease, LiveParams(0.5, 7))
    assert redis_jobs.process_state() is ProcessState.RUNNING
    assert redis_jobs.entries() == [JobEntry("a", JobKind.TRAINING, "running", 0, "me", "task")]
    assert redis_jobs.look("a").params == LiveParams(0.5, 7)
    redis_jobs.finish("a", Outcome(result={}))
    assert redis_jobs.wait_for_outcome("a", 1) == Outcome(result={})


def test_what_was_set_since_is_not_undone_by_a_job_that_comes_back(redis_jobs: JobStore, redis_url: str) -> None:
    redis_jobs.open("a", JobKind.TRAINING)
    lease = redis_jobs.take("training")
    assert lease is not None
    redis.Redis.from_url(redis_url).flushdb()
    redis_jobs.write_params(lr=0.25)
    assert redis_jobs.renew(lease, LiveParams(0.5, 7))
    assert redis_jobs.look("a").params == LiveParams(0.25, 5)


def test_a_training_does_not_come_back_beside_another(redis_jobs: JobStore, redis_url: str) -> None:
    redis_jobs.open("a", JobKind.TRAINING)
    lease = redis_jobs.take("training")
    assert lease is not None
    redis.Redis.from_url(redis_url).flushdb()
    redis_jobs.open("b", JobKind.TRAINING)
    redis_jobs.take("training")
    assert not redis_jobs.renew(lease)
    assert [entry.id for entry in redis_jobs.entries()] == ["b"]


def test_a_training_comes_back_before_one_that_only_waits(redis_jobs: JobStore, redis_url: str) -> None:
    redis_jobs.open("a", JobKind.TRAINING, person="Ana")
    lease = redis_jobs.take("training")
    assert lease is not None
    redis.Redis.from_url(redis_url).flushdb()
    redis_jobs.open("b", JobKind.TRAINING, person="Bo")
    assert redis_jobs.renew(lease)
    assert [(entry.id, entry.person) for entry in redis_jobs.entries()] == [("a", "Ana"), ("b", "Bo")]
    assert redis_jobs.take("training") is None
    redis_jobs.finish("a", Outcome(result={}))
    assert redis_jobs.has_ready("training")


def test_to_open_a_training_twice_is_to_open_it_once(job_store: JobStore) -> None:
    assert job_store.open("a", JobKind.TRAINING)
    assert job_store.open("a", JobKind.TRAINING)
    assert len(job_store.entries()) == 1


def test_only_the_phase_that_was_meant_is_renewed(job_store: JobStore) -> None:
    job_store.open("a", JobKind.INTERACTIVE)
    assert job_store.renew_queued("a")
    lease = job_store.take("answering")
    assert lease is not None
    assert job_store.take("answering") is None
    assert not job_store.renew_queued("a")
    assert job_store.renew(lease)


def test_a_redis_that_does_not_answer_is_given_up_in_seconds(silent_redis: str) -> None:
    job_store = JobStore(RedisStore(silent_redis))
    for ask in (job_store.process_state, lambda: job_store.wait_for_outcome("a", 60)):
        begin = time.monotonic()
        with pytest.raises(redis.RedisError):
            ask()
        assert time.monotonic() - begin < 10


@pytest.fixture
def silent_redis() -> Iterator[str]:
    """Give the address of what accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"redis://127.0.0.1:{listening.getsockname()[1]}/0"


def test_an_outcome_wakes_whoever_waits_and_the_state_is_right_by_then(job_store: JobStore) -> None:
    job_store.open("a", JobKind.INTERACTIVE)
    job_store.take("answering")
    threading.Timer(0.1, lambda: job_store.finish("a", Outcome(result={"spots": [1]}))).start()
    outcome = job_store.wait_for_outcome("a", 5)
    assert outcome == Outcome(result={"spots": [1]})
    assert job_store.process_state() is ProcessState.IDLE
    assert job_store.wait_for_outcome("a", 0.1) is None


def test_abort_ends_queued_jobs_at_once_and_asks_running_ones(job_store: JobStore) -> None:
    job_store.open("queued", JobKind.INTERACTIVE)
    job_store.open("running", JobKind.TRAINING)
    job_store.take("training")
    job_store.cancel_all()
    assert job_store.wait_for_outcome("queued", 1) == Outcome(cancelled=True)
    assert job_store.take("answering") is None
    assert job_store.look("running").is_cancelled
    assert job_store.is_alive("running")


def test_one_job_can_be_cancelled_alone(job_store: JobStore) -> None:
    for name in ("a", "b"):
        job_store.open(name, JobKind.INTERACTIVE)
        job_store.take("answering")
    job_store.cancel("a")
    assert job_store.look("a").is_cancelled
    assert not job_store.look("b").is_cancelled


def test_a_person_holds_a_training_and_only_that_one(job_store: JobStore) -> None:
    job_store.open("a", JobKind.TRAINING)
    job_store.hold(True)
    assert job_store.look("a").must_wait
    assert job_store.process_state() is ProcessState.WAITING
    job_store.hold(False)
    assert not job_store.look("a").must_wait
    job_store.hold(True)
    job_store.finish("a", Outcome(result={}))
    job_store.open("b", JobKind.TRAINING)
    assert not job_store.look("b").must_wait
    assert job_store.process_state() is ProcessState.RUNNING


def test_a_change_wakes_a_watcher(job_store: JobStore) -> None:
    job_store.open("interactive", JobKind.INTERACTIVE)
    with job_store.watch() as wait:
        threading.Timer(0.1, lambda: job_store.finish("interactive", Outcome(result={}))).start()
        begin = time.monotonic()
        wait(10)
        assert time.monotonic() - begin < 5
        assert not job_store.is_alive("interactive")


def test_params_are_changed_one_by_one(job_store: JobStore) -> None:
    assert job_store.write_params(lr=1e-5) == LiveParams(1e-5, 5)
    assert job_store.write_params(n_crops=0) == LiveParams(1e-5, 0)
    job_store.open("a", JobKind.TRAINING)
    assert job_store.look("a").params == LiveParams(1e-5, 0)


def test_a_training_begins_with_what_was_changed_since_it_was_asked_for(job_store: JobStore) -> None:
    job_store.write_params(0.5, 7)
    job_store.open("a", JobKind.TRAINING)
    job_store.write_params(n_crops=2)
    job_store.take("training")
    assert job_store.begin_params("a", LiveParams(1e-3, 4)) == LiveParams(1e-3, 2)
    job_store.write_params(lr=0.25)
    # It is asked again where Redis was away.
    assert job_store.begin_params("a", LiveParams(1e-3, 4)) == LiveParams(0.25, 2)
    job_store.finish("a", Outcome(result={}))
    job_store.write_params(lr=0.125)
    job_store.open("b", JobKind.TRAINING)
    job_store.take("training")
    assert job_store.begin_params("b", LiveParams(1e-3, 4)) == LiveParams(1e-3, 4)


def test_news_come_in_order_and_before_the_outcome(job_store: JobStore) -> None:
    job_store.open("a", JobKind.INTERACTIVE)
    job_store.take("answering")
    job_store.announce("a", {"size": 1})
    job_store.announce("a", {"size": 2})
    job_store.finish("a", Outcome(result={}))
    heard = [job_store.wait_for_news("a", 0.1) for _ in range(4)]
    assert heard == [{"size": 1}, {"size": 2}, Outcome(result={}), None]


def test_news_wake_whoever_follows_and_those_of_a_job_that_is_gone_are_dropped(job_store: JobStore) -> None:
    job_store.open("a", JobKind.INTERACTIVE)
    threading.Timer(0.1, lambda: job_store.announce("a", {"size": 1})).start()
    assert job_store.wait_for_news("a", 5) == {"size": 1}
    job_store.cancel("a")
    job_store.announce("a", {"size": 2})
    assert job_store.wait_for_news("a", 5) == Outcome(cancelled=True)
    assert job_store.wait_for_news("a", 0.1) is None


def test_a_live_training_is_told_of_updates_in_order_and_none_else(job_store: JobStore) -> None:
    job_store.open("a", JobKind.TRAINING)
    job_store.tell_live("before it listens")
    job_store.open_live("a")
    job_store.tell_live("one")
    job_store.tell_live("two")
    job_store.take("training")
    assert job_store.wait_for_live("a", 1) == ["one", "two"]
    assert job_store.wait_for_live("a", 0.1) == []
    job_store.finish("a", Outcome(cancelled=True))
    job_store.tell_live("nobody listens")
    job_store.open("b", JobKind.TRAINING)
    job_store.open_live("b")
    assert job_store.wait_for_live("b", 0.1) == []


def test_a_live_session_blocks_in_redis_until_there_is_an_update(
    redis_store: RedisStore, redis_jobs: JobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between updates it waits without load: one command waits all the time, however long that is."""
    asked: list[float] = []
    blpop = redis_store._redis.blpop

    def counted(keys: list[str], timeout: float) -> object:
        asked.append(timeout)
        return blpop(keys, timeout=timeout)

    monkeypatch.setattr(redis_store._redis, "blpop", counted)
    redis_jobs.open("a", JobKind.TRAINING)
    redis_jobs.open_live("a")
    assert redis_jobs.wait_for_live("a", 1.5) == []
    assert asked[0] == pytest.approx(1.5, rel=0.5)
    assert len(asked) <= 4  # the last ones wait for what is left of a millisecond


READ, LABELS, ALL = (claim(access, "a/movie") for access in Access)
CLASHES = {(LABELS, LABELS), (ALL, ALL), (READ, ALL), (ALL, READ), (LABELS, ALL), (ALL, LABELS)}


@pytest.mark.parametrize("first", [READ, LABELS, ALL, ""])
@pytest.mark.parametrize("second", [READ, LABELS, ALL, "", claim(Access.ALL, "a/other")])
def test_of_jobs_that_clash_the_first_comes_first(job_store: JobStore, first: str, second: str) -> None:
    assert clash(first, second) is ((first, second) in CLASHES)
    job_store.open("first", JobKind.INTERACTIVE, claim=first)
    job_store.open("second", JobKind.INTERACTIVE, claim=second)
    assert taken(job_store) == "first"
    if (first, second) not in CLASHES:
        assert job_store.has_ready("answering")
        assert taken(job_store) == "second"
        return
    assert not job_store.has_ready("answering")
    assert taken(job_store) is None
    assert job_store.renew_queued("second")
    job_store.finish("first", Outcome(result={}))
    assert taken(job_store) == "second"


def taken(job_store: JobStore) -> str | None:
    """Take the next interactive job, and return which one it is."""
    lease = job_store.take("answering")
    return None if lease is None else lease.id


def test_who_does_not_clash_is_not_kept_waiting_by_those_who_do(job_store: JobStore) -> None:
    job_store.open("first", JobKind.INTERACTIVE, claim=LABELS)
    job_store.open("clashes", JobKind.INTERACTIVE, claim=LABELS)
    job_store.open("reads", JobKind.INTERACTIVE, claim=READ)
    job_store.open("training", JobKind.TRAINING)
    assert [taken(job_store) for _ in range(3)] == ["first", "reads", None]
    job_store.finish("first", Outcome(result={}))
    assert taken(job_store) == "clashes"


def test_to_take_a_job_twice_is_to_take_it_once(redis_url: str) -> None:
    """Where the connection breaks before the answer is there, the store asks again."""

    class Breaking(RedisStore):
        n_asked = 0

        def _try_update(self, key: str, change: Change[T]) -> T:
            value = super()._try_update(key, change)
            self.n_asked += 1
            if self.n_asked == 3:
                raise redis.ConnectionError("reset by peer")
            return value

    store = Breaking(redis_url, prefix=f"test-{uuid.uuid4().hex}:")
    job_store = JobStore(store)
    for name in ("first", "second"):
        job_store.open(name, JobKind.INTERACTIVE)
    assert taken(job_store) == "first"
    assert store.n_asked == 4
    assert [entry.phase for entry in job_store.entries()] == ["running", "queued"]


def test_a_message_lives_as_long_as_its_job(job_store: JobStore) -> None:
    for name in ("ends", "is cancelled", "is dropped"):
        job_store.open(name, JobKind.INTERACTIVE, message=f"what {name}")
    assert job_store.message("ends") == "what ends"
    assert job_store.take("answering")
    assert job_store.message("ends") == "what ends"
    job_store.finish("ends", Outcome(result={}))
    job_store.cancel("is cancelled")
    [entry] = job_store.entries()
    assert job_store.message("is dropped") == "what is dropped"
    assert job_store.drop(entry, Outcome(error="WorkerLostError"))
    assert [job_store.message(name) for name in ("ends", "is cancelled", "is dropped")] == ["", "", ""]


def test_a_training_that_is_refused_leaves_no_message(job_store: JobStore) -> None:
    job_store.open("a", JobKind.TRAINING, message="one")
    assert not job_store.open("b", JobKind.TRAINING, message="two")
    assert job_store.message("b") == ""


def test_who_waits_for_a_turn_is_let_in_by_an_abort_or_a_loss(job_store: JobStore) -> None:
    for name in ("first", "second", "third"):
        job_store.open(name, JobKind.INTERACTIVE, claim=LABELS)
    job_store.cancel("first")
    [second, _] = job_store.entries()
    assert job_store.drop(second, Outcome(error="WorkerLostError"))
    assert taken(job_store) == "third"


def test_a_claim_outlives_a_redis_that_was_emptied(redis_jobs: JobStore, redis_url: str) -> None:
    redis_jobs.open("first", JobKind.INTERACTIVE, claim=LABELS)
    lease = redis_jobs.take("answering")
    assert lease is not None
    redis.Redis.from_url(redis_url).flushdb()
    assert redis_jobs.renew(lease)
    redis_jobs.open("second", JobKind.INTERACTIVE, claim=LABELS)
    assert redis_jobs.take("answering") is None


def test_names_of_a_dataset_that_mean_the_same_claim_the_same() -> None:
    assert claim(Access.ALL, "a//movie/") == claim(Access.ALL, "a/./movie")
