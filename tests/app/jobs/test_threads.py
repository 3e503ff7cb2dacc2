"""Workers that are threads, when they are asked to stop and when they are given what they cannot read."""

import json
import threading
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from app.jobs.worker_threads import WorkerThreads
from elephant_server.feed import ActivityFeed, FeedPublisher
from elephant_server.jobs.context import make_context
from elephant_server.jobs.control import JobControl
from elephant_server.jobs.records import JobKind, Lease, Outcome
from elephant_server.jobs.runner import Work, Worker
from elephant_server.jobs.store import JobStore
from elephant_server.jobs.store_memory import MemoryStore
from elephant_server.jobs.submit import DATASET_GENERATE, FLOW_RESET, SEG_RESET, Task
from elephant_server.jobs.tasks import perform
from elephant_server.rabbitmq import Messages, NoBroker
from elephant_server.settings import Settings


def until_ended(control: JobControl) -> dict[str, Any]:
    while True:
        control.check()
        time.sleep(0.01)


def test_a_job_that_is_just_being_begun_ends_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    job_store, is_taken, may_begin = JobStore(MemoryStore()), threading.Event(), threading.Event()
    do = Worker._do

    def begin_late(worker: Worker, lease: Lease) -> None:
        is_taken.set()
        may_begin.wait(10)
        do(worker, lease)

    monkeypatch.setattr(Worker, "_do", begin_late)
    workers = WorkerThreads(job_store, lambda: until_ended)
    workers.start()
    job_store.open("a", JobKind.TRAINING)
    workers.call("training")
    assert is_taken.wait(10)
    threading.Timer(0.3, may_begin.set).start()
    begin = time.monotonic()
    workers.stop()
    assert time.monotonic() - begin < 10
    assert job_store.wait_for_outcome("a", 1) == Outcome(cancelled=True)


@pytest.fixture
def job_store() -> JobStore:
    return JobStore(MemoryStore())


@pytest.fixture
def work(tmp_path: Path, job_store: JobStore) -> Work:
    """Return what does the jobs of a server."""
    feed = FeedPublisher(ActivityFeed(MemoryStore()))
    return partial(perform, make_context(Settings(workspace=tmp_path), job_store, Messages(NoBroker()), feed))


def outcome_of(job_store: JobStore, work: Work, kind: JobKind, task: str, message: str) -> Outcome:
    """Have a job done, and return how it ended."""
    job_store.open("a", kind, task, message=message)
    Worker(job_store, kind.queue, work).do_queued()
    outcome = job_store.wait_for_outcome("a", 1)
    assert outcome is not None
    assert job_store.entries() == []
    return outcome


@pytest.mark.parametrize("task", [DATASET_GENERATE.name, "elephant.of_tomorrow"])
def test_a_job_that_the_worker_cannot_read_is_answered(job_store: JobStore, work: Work, task: str) -> None:
    message = '{"body": {"dataset_name": "x", "news": 1}}'
    outcome = outcome_of(job_store, work, JobKind.INTERACTIVE, task, message)
    assert outcome.error == "UnexpectedError"
    assert "news" in outcome.message or "of_tomorrow" in outcome.message
    assert "another version" in outcome.message


def test_a_job_whose_message_is_lost_is_answered(job_store: JobStore, work: Work) -> None:
    outcome = outcome_of(job_store, work, JobKind.INTERACTIVE, DATASET_GENERATE.name, "")
    assert outcome.error == "UnavailableError"
    assert "Redis" in outcome.message


@pytest.mark.parametrize("task", [SEG_RESET, FLOW_RESET])
def test_a_message_removes_no_file_but_an_uploaded_one(
    tmp_path: Path, job_store: JobStore, work: Work, task: Task[Any]
) -> None:
    """Whoever can put a message into Redis must not be able to have any file of the server's user removed."""
    outside, uploads = tmp_path / "mine", Settings(workspace=tmp_path).models_dir / ".uploads"
    uploads.mkdir(parents=True)
    for file in (str(outside), "../../mine"):
        outside.touch()
        names = {"dataset_name": "d", "is_3d": True} if task is SEG_RESET else {}
        text = json.dumps({"body": {**names, "model_name": "m.pth", "url": None}, "file": file})
        outcome = outcome_of(job_store, work, JobKind.TRAINING, task.name, text)
        assert outside.exists()
        assert outcome.error == "InvalidInputError", outcome
