"""The contract of the store, over memory, over a real Redis, and over pipes to another process's memory."""

import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis

from app.jobs.remote import remote_store
from elephant_server.jobs.store_memory import Document, Effects, MemoryStore, Store
from elephant_server.jobs.store_redis import RedisStore


@pytest.fixture(params=["redis", "memory", "pipes"])
def store(request: pytest.FixtureRequest) -> Iterator[Store]:
    if request.param == "memory":
        yield MemoryStore()
    elif request.param == "pipes":
        with remote_store(MemoryStore()) as store:
            yield store
    else:
        yield RedisStore(request.getfixturevalue("redis_url"), prefix=f"test-{uuid.uuid4().hex}:")


def adding(number: int, *pushes: tuple[str, str]) -> Callable[[Document, Effects], int]:
    def change(document: Document, effects: Effects) -> int:
        document["n"] = document.get("n", 0) + number
        effects.pushes.extend(pushes)
        return int(document["n"])

    return change


def test_a_document_is_changed_by_a_function(store: Store) -> None:
    assert store.read("a") == {}
    assert store.update("a", adding(2)) == 2
    assert store.update("a", adding(3)) == 5
    assert store.read("a") == {"n": 5}
    store.read("a")["n"] = 7
    assert store.read("a") == {"n": 5}


def test_of_threads_that_change_a_document_at_once_none_is_lost(store: Store) -> None:
    with ThreadPoolExecutor(8) as pool:
        seen = list(pool.map(lambda _: store.update("a", adding(1, ("q", "1"))), range(200)))
    assert sorted(seen) == list(range(1, 201))
    found = store.pop(["q"], 1, 1000)
    assert found == ("q", ["1"] * 200)


def test_where_a_change_raises_nothing_has_changed(store: Store) -> None:
    def fail(document: Document, effects: Effects) -> None:
        adding(1, ("q", "never"))(document, effects)
        effects.notices.add("log")
        raise ValueError("no")

    store.update("a", adding(1))
    with pytest.raises(ValueError, match="no"):
        store.update("a", fail)
    assert store.read("a") == {"n": 1}
    assert store.pop(["q"], 0) is None
    assert store.entries("log") == []


def test_what_cannot_be_written_changes_nothing(store: Store) -> None:
    def spoil(document: Document, effects: Effects) -> None:
        document["n"] = 9
        effects.writes["b"] = {"x": object()}

    with pytest.raises(TypeError):
        store.update("a", spoil)
    assert store.read("a") == store.read("b") == {}


def test_other_documents_are_written_along(store: Store) -> None:
    def write(document: Document, effects: Effects) -> None:
        effects.writes.update(b={"x": 1}, c=None)

    store.update("c", adding(1))
    store.update("a", write)
    assert store.read("b") == {"x": 1}
    assert store.read("c") == {}


def test_a_pop_takes_in_order_and_prefers_the_first_queue(store: Store) -> None:
    store.update("a", adding(1, ("two", "x"), ("one", "1"), ("one", "2"), ("one", "3")))
    assert store.pop(["one", "two"], 1) == ("one", ["1"])
    assert store.pop(["one", "two"], 1, 5) == ("one", ["2", "3"])
    assert store.pop(["one", "two"], 1, 5) == ("two", ["x"])
    assert store.pop(["one", "two"], 0.05, 5) is None


def test_a_pop_is_woken_by_a_push(store: Store) -> None:
    with ThreadPoolExecutor() as pool:
        popped = pool.submit(store.pop, ["q"], 60)
        store.update("a", adding(1, ("q", "x")))
        assert popped.result(60) == ("q", ["x"])


def test_each_text_is_popped_once(store: Store) -> None:
    with ThreadPoolExecutor(6) as pool:
        popped = [pool.submit(store.pop, ["q"], 30) for _ in range(60)]
        for n in range(60):
            store.update("a", adding(1, ("q", str(n))))
        found = [it.result(60) for it in popped]
    assert sorted(int(texts[0]) for _, texts in filter(None, found)) == list(range(60))


def test_a_log_keeps_its_last_entries_for_every_reader(store: Store) -> None:
    before = store.last_id("log")
    assert store.entries("log", before) == []
    store.append("log", ["a", "b", "c"], 2)
    entries = store.entries("log")
    assert [entry.text for entry in entries] == ["b", "c"]
    assert store.entries("log", before) == store.entries("log", before, 1) == entries
    assert store.entries("log", entries[0].id) == entries[1:]
    assert store.last_id("log") == entries[-1].id
    assert store.entries("log", entries[-1].id, 0.05) == []


def test_a_reader_of_a_log_is_woken_by_a_notice(store: Store) -> None:
    def notify(document: Document, effects: Effects) -> None:
        effects.notices.add("log")

    known = store.last_id("log")
    with ThreadPoolExecutor() as pool:
        woken = [pool.submit(store.entries, "log", known, 60) for _ in range(3)]
        store.update("a", notify)
        assert all(len(it.result(60)) == 1 for it in woken)


def test_a_reader_blocks_in_redis_and_does_not_ask_again_and_again(redis_url: str) -> None:
    store = RedisStore(redis_url, prefix=f"test-{uuid.uuid4().hex}:")
    with redis.Redis.from_url(redis_url) as client:
        n_before = client.info("stats")["total_commands_processed"]
        with ThreadPoolExecutor() as pool:
            waits = [pool.submit(store.entries, "log", "0-0", 1.5), pool.submit(store.pop, ["q"], 1.5)]
            assert [it.result() for it in waits] == [[], None]
        # Connections are made and named, the blocking commands, and this question.
        assert client.info("stats")["total_commands_processed"] - n_before < 30


def test_a_store_outlives_a_redis_that_closes_its_connections(redis_url: str) -> None:
    store = RedisStore(redis_url, prefix=f"test-{uuid.uuid4().hex}:")
    store.update("a", adding(1))
    with redis.Redis.from_url(redis_url) as client:
        client.client_kill_filter(_type="normal", skipme=True)
        assert store.update("a", adding(1)) == 2
        client.client_kill_filter(_type="normal", skipme=True)
        assert store.read("a") == {"n": 2}


def test_a_change_that_always_meets_others_is_given_up_with_an_error_of_redis(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("elephant_server.jobs.store_redis.GIVE_UP_S", 0.1)
    store = RedisStore(redis_url, prefix=f"test-{uuid.uuid4().hex}:")

    def meet(document: Document, effects: Effects) -> None:
        document["mine"] = True
        store.update("a", adding(1))

    with pytest.raises(redis.RedisError):
        store.update("a", meet)
    assert set(store.read("a")) == {"n"}


def test_a_queue_that_nobody_reads_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("elephant_server.jobs.store_memory.MOST_QUEUES", 3)
    store = MemoryStore()
    for n in range(5):
        store.update("a", adding(1, (f"q{n}", "x")))
    assert [store.pop([f"q{n}"], 0) is None for n in range(5)] == [True, True, False, False, False]
