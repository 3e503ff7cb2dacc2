"""Workers that are threads, when they are asked to stop and when they are given what they cannot read."""

import json
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from elephant_server.feed import ActivityFeed, FeedPublisher
from elephant_server.jobs.context import JobControl, make_context
from elephant_server.jobs.records import JobKind, Outcome
from elephant_server.jobs.runner import run_job
from elephant_server.jobs.store import JobStore
from elephant_server.jobs.store_memory import MemoryStore
from elephant_server.jobs.submit import DATASET_GENERATE, FLOW_RESET, SEG_RESET, Task
from elephant_server.jobs.tasks import perform
from elephant_server.jobs.threads import Do, WorkerThreads
from elephant_server.rabbitmq import Messages, NoBroker
from elephant_server.settings import Settings


def until_ended(control: JobControl) -> dict[str, Any]:
    while True:
        control.check()
        time.sleep(0.01)


def test_a_job_that_is_just_being_begun_ends_as_well() -> None:
    job_store, is_taken, may_begin = JobStore(MemoryStore()), threading.Event(), threading.Event()

    def make_worker() -> Do:
        def do(_: str, job_id: str, __: str) -> None:
            is_taken.set()
            may_begin.wait(10)
            run_job(job_store, job_id, until_ended)

        return do

    workers = WorkerThreads(("only",), make_worker)
    workers.start()
    job_store.open("a", JobKind.TRAINING)
    workers("task", "a", "", "only")
    assert is_taken.wait(10)
    threading.Timer(0.3, may_begin.set).start()
    begin = time.monotonic()
    workers.stop()
    assert time.monotonic() - begin < 10
    assert job_store.wait_for_outcome("a", 1) == Outcome(cancelled=True)


def test_a_job_that_the_worker_cannot_read_is_answered(tmp_path: Path) -> None:
    job_store = JobStore(MemoryStore())
    context = make_context(
        Settings(workspace=tmp_path), job_store, Messages(NoBroker()), FeedPublisher(ActivityFeed(MemoryStore()))
    )
    job_store.open("a", JobKind.INTERACTIVE)
    perform(
        context,
        DATASET_GENERATE.name,
        "a",
        '{"body": {"dataset_name": "x", "news": 1}}',
        WorkerThreads((), lambda: _never),
    )
    outcome = job_store.wait_for_outcome("a", 1)
    assert outcome is not None
    assert outcome.error == "UnexpectedError"
    assert "news" in outcome.message
    assert "another version" in outcome.message
    assert job_store.entries() == []


@pytest.mark.parametrize("is_queued", [True, False])
@pytest.mark.parametrize("task", [SEG_RESET, FLOW_RESET])
def test_a_message_removes_no_file_but_an_uploaded_one(tmp_path: Path, task: Task[Any], is_queued: bool) -> None:
    """Whoever can put a message into Redis must not be able to have any file of the server's user removed."""
    job_store = JobStore(MemoryStore())
    context = make_context(
        Settings(workspace=tmp_path), job_store, Messages(NoBroker()), FeedPublisher(ActivityFeed(MemoryStore()))
    )
    outside, uploads = tmp_path / "mine", context.models / ".uploads"
    uploads.mkdir(parents=True)
    for file in (str(outside), "../../mine"):
        outside.touch()
        if is_queued:
            job_store.open("a", JobKind.TRAINING)
        names = {"dataset_name": "d", "is_3d": True} if task is SEG_RESET else {}
        text = json.dumps({"body": {**names, "model_name": "m.pth", "url": None}, "file": file})
        perform(context, task.name, "a", text, WorkerThreads((), lambda: _never))
        assert outside.exists()
        if is_queued:
            outcome = job_store.wait_for_outcome("a", 1)
            assert outcome is not None
            assert outcome.error == "InvalidInputError", outcome


def _never(*_: str) -> None:
    pytest.fail("nothing is sent")
