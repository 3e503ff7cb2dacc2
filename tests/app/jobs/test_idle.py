"""A worker gives its free memory back when it has nothing to do."""

import threading
from typing import Any

import pytest

from elephant_server.jobs import idle
from elephant_server.jobs.control import JobControl
from elephant_server.jobs.idle import IdleMemory
from elephant_server.jobs.records import JobKind, Lease
from elephant_server.jobs.store import JobStore
from elephant_server.jobs.store_memory import MemoryStore


@pytest.fixture
def control() -> JobControl:
    return JobControl(JobStore(MemoryStore()), Lease("a", JobKind.TRAINING, "task", ""))


@pytest.fixture
def released(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    event = threading.Event()
    monkeypatch.setattr(idle, "release_memory", event.set)
    return event


def test_it_is_given_back_after_the_last_job(control: JobControl, released: threading.Event) -> None:
    may_end = threading.Event()

    def wait(_: JobControl) -> dict[str, Any]:
        assert may_end.wait(30)
        return {"done": True}

    memory = IdleMemory(0)
    running = threading.Thread(target=memory.around(wait), args=(control,))
    running.start()
    # Another job ends meanwhile.
    assert memory.around(lambda _: {})(control) == {}
    assert not released.is_set()
    may_end.set()
    running.join()
    assert released.wait(30)


def test_it_is_given_back_after_a_job_that_failed(control: JobControl, released: threading.Event) -> None:
    def fail(_: JobControl) -> dict[str, Any]:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        IdleMemory(0).around(fail)(control)
    assert released.wait(30)


def test_a_job_that_begins_in_time_keeps_it(control: JobControl, released: threading.Event) -> None:
    memory = IdleMemory(3600)
    memory.around(lambda _: {})(control)
    waiting = memory._timer
    assert waiting is not None
    memory.around(lambda _: {})(control)
    waiting.join(30)
    assert not waiting.is_alive()
    assert not released.is_set()
