"""Computing ahead: only while nothing else is to be done, and seen by nobody."""

import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from app.jobs.called import Called
from core.workflows.test_known import make_dataset, make_model
from elephant.errors import Cancelled
from elephant.methods.known import KnownPredictions
from elephant.models.ensemble import ModelCache
from elephant.models.pretrained import Pretrained
from elephant_server.jobs import ahead
from elephant_server.jobs.ahead import Ahead, Quiet, ahead_of
from elephant_server.jobs.context import WorkerContext
from elephant_server.jobs.idle import IdleMemory
from elephant_server.jobs.records import JobKind, Outcome
from elephant_server.jobs.runner import Worker
from elephant_server.jobs.store import JobStore
from elephant_server.jobs.store_memory import MemoryStore
from elephant_server.jobs.submit import FLOW_PREDICT, SEG_PREDICT
from elephant_server.jobs.walks import Request, Step, Walks, settings_of
from elephant_server.schemas.detection import SegPredictBody
from elephant_server.schemas.flow import FlowPredictBody
from elephant_server.schemas.state import ProcessState
from elephant_server.settings import Settings


class Feed:
    """A feed that counts."""

    def __init__(self) -> None:
        self.n_ahead = 0

    def job(self, job_id: str, **fields: object) -> None: ...
    def dataset(self, name: str, **fields: object) -> None: ...
    def result(self, result: object) -> None: ...

    def count(self, what: str) -> None:
        assert what == "computed_ahead"
        self.n_ahead += 1


def seg(t: int, **changes: Any) -> SegPredictBody:
    values = {"dataset_name": "d", "model_name": "m.pth", "scales": (1.0, 1.0, 2.0), "timepoint": t}
    return SegPredictBody(**{**values, "p_thresh": 0.34, "r_min": 0.5, **changes})


def flow(t: int) -> FlowPredictBody:
    return FlowPredictBody(dataset_name="d", model_name="f.pth", scales=(1.0, 1.0, 2.0), timepoint=t)


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def job_store(store: MemoryStore) -> JobStore:
    return JobStore(store)


@pytest.fixture
def context(tmp_path: Path, store: MemoryStore, job_store: JobStore) -> WorkerContext:
    make_dataset(tmp_path / "datasets" / "d")
    make_model(tmp_path / "models" / "m.pth")
    known = KnownPredictions(tmp_path / ".predictions", 64 << 20)
    return WorkerContext(
        *(tmp_path / "datasets", tmp_path / "models", tmp_path / "logs", tmp_path / ".exports"),
        Pretrained(tmp_path / "models" / "pretrained"),
        ModelCache(torch.device("cpu")),
        job_store,
        None,  # type: ignore[arg-type]
        Feed(),
        known=known,
        walks=Walks(store),
    )


def walk(context: WorkerContext, *bodies: SegPredictBody | FlowPredictBody) -> None:
    assert context.walks is not None
    for body in bodies:
        task = SEG_PREDICT if isinstance(body, SegPredictBody) else FLOW_PREDICT
        context.walks.add(Request.of(task.name, "", body))


def computed(context: WorkerContext, n_timepoints: int = 4) -> int:
    """Return how many timepoints are computed ahead."""
    feed: Any = context.feed_publisher
    before = feed.n_ahead
    assert context.walks is not None
    assert not Ahead(context, context.walks, n_timepoints).run(threading.Event())
    return int(feed.n_ahead - before)


def test_the_timepoints_of_a_walk_are_computed_once(context: WorkerContext, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    walk(context, seg(3), seg(2))
    assert computed(context, 1) == 1
    assert "Timepoint 1 of d was computed ahead, detection" in caplog.text
    assert computed(context) == 1
    assert computed(context) == 0
    walk(context, seg(1), seg(2))
    assert computed(context) == 1, "timepoint 3 is the last"


def test_nothing_is_computed_for_what_cannot_be_asked_for(context: WorkerContext) -> None:
    for changes in ({"dataset_name": "absent"}, {"model_name": "absent.pth"}, {"is_3d": False}):
        walk(context, seg(0, **changes), seg(1, **changes))
        assert computed(context) == 0
    walk(context, flow(0), flow(1))
    assert computed(context) == 0
    (context.models / "m.pth").write_bytes(b"no model")
    walk(context, seg(0), seg(1))
    assert computed(context) == 0
    assert not (context.models / "absent.pth").exists()


@pytest.mark.parametrize("kind", list(JobKind))
def test_nothing_is_computed_while_there_is_a_job(context: WorkerContext, job_store: JobStore, kind: JobKind) -> None:
    walk(context, seg(0), seg(1))
    job_store.open("a", kind)
    job_store.take(kind.queue)
    assert computed(context) == 0
    job_store.finish("a", Outcome(result={}))
    assert computed(context) == 2


@pytest.mark.parametrize(
    "happens",
    [
        lambda store: store.open("a", JobKind.TRAINING),
        lambda store: store.open("a", JobKind.INTERACTIVE, "elephant.ctc_export"),
        lambda store: store.cancel_all(),
        lambda store: store.open("a", JobKind.INTERACTIVE, SEG_PREDICT.name, "", SEG_PREDICT.write(seg(3), None)),
        lambda store: store.open(
            "a", JobKind.INTERACTIVE, SEG_PREDICT.name, "", SEG_PREDICT.write(seg(2, r_min=0.6), None)
        ),
    ],
    ids=["a training", "an export", "an abort", "another timepoint", "another setting"],
)
def test_whatever_happens_ends_it(job_store: JobStore, happens: Callable[[JobStore], object]) -> None:
    quiet = Quiet(job_store, threading.Event())
    quiet.step = Step(SEG_PREDICT.name, 2, settings_of(seg(2)))
    quiet.check()
    happens(job_store)
    quiet._look_again_at = 0
    with pytest.raises(Cancelled):
        quiet.check()


def test_a_worker_that_is_to_end_ends_it(job_store: JobStore) -> None:
    is_ending = threading.Event()
    quiet = Quiet(job_store, is_ending)
    is_ending.set()
    with pytest.raises(Cancelled, match="stopping"):
        quiet.check()


def test_a_request_for_the_very_same_waits_for_its_end(job_store: JobStore) -> None:
    quiet = Quiet(job_store, threading.Event())
    quiet.step = Step(SEG_PREDICT.name, 2, settings_of(seg(2)))
    job_store.open("a", JobKind.INTERACTIVE, SEG_PREDICT.name, "", SEG_PREDICT.write(seg(2), None))
    quiet._look_again_at = 0
    quiet.check()
    assert quiet.is_asked_for
    job_store.open("b", JobKind.INTERACTIVE, SEG_PREDICT.name, "", SEG_PREDICT.write(seg(2), None))
    quiet._look_again_at = 0
    with pytest.raises(Cancelled):
        quiet.check()


def test_the_state_stays_idle_and_a_job_begins_at_once(
    context: WorkerContext, job_store: JobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A job that is entered while a timepoint is computed ahead is done by the same call of the worker."""
    walk(context, seg(0), seg(1))
    seen: list[ProcessState] = []
    done: list[str] = []
    check = Quiet.check

    def checked(self: Quiet) -> None:
        seen.append(job_store.process_state())
        if len(seen) == 5:
            job_store.open("a", JobKind.INTERACTIVE, "elephant.ctc_export")
            self._look_again_at = 0
        check(self)

    monkeypatch.setattr(Quiet, "check", checked)
    settings = Settings(workspace=context.datasets.parent, compute_ahead=4)
    idle = ahead_of(context, settings, IdleMemory(100))
    worker = Worker(job_store, "answering", lambda control: done.append(control.job_id) or {}, Called(), idle)  # type: ignore[func-returns-value]
    worker.do_queued()
    assert done == ["a"]
    assert set(seen) == {ProcessState.IDLE}
    assert computed(context) == 0, "it went on after the job"


def test_nothing_is_computed_where_that_is_turned_off(context: WorkerContext) -> None:
    off = WorkerContext(**{**{name: getattr(context, name) for name in context.__slots__}, "walks": None})
    assert ahead_of(off, Settings(), IdleMemory(100)) is None


def test_what_cannot_be_foreseen_is_no_matter(context: WorkerContext, monkeypatch: pytest.MonkeyPatch) -> None:
    walk(context, seg(0), seg(1))
    monkeypatch.setattr(ahead, "model_file", lambda *_: 1 / 0)
    assert computed(context) == 0
