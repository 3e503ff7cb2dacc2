"""Many timepoints in one request: jobs behind all others, answered in order, ended together."""

import json
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from app.jobs.called import Called
from elephant.errors import InvalidInputError
from elephant_server.jobs import movie
from elephant_server.jobs.movie import AT_ONCE, MoviePrediction, first_line, stream
from elephant_server.jobs.records import JobKind, Outcome
from elephant_server.jobs.store import JobStore
from elephant_server.jobs.store_memory import MemoryStore
from elephant_server.jobs.submit import MOVIE_PREDICT, Dispatcher
from elephant_server.schemas.detection import MoviePredictBody

BODY = MoviePredictBody(dataset_name="d", model_name="m.pth", scales=(1.0, 1.0, 1.0))


@pytest.fixture
def job_store() -> JobStore:
    return JobStore(MemoryStore())


def predicted(job_store: JobStore, n: int) -> MoviePrediction:
    return MoviePrediction(Dispatcher(job_store, Called()), job_store, BODY, range(n), "Ada")


def timepoint_of(job_store: JobStore, job_id: str) -> int:
    return int(MOVIE_PREDICT.read(job_store.message(job_id)).body.timepoint)


def work(job_store: JobStore, n: int, outcome: Callable[[int], Outcome] | None = None) -> threading.Thread:
    """Do so many jobs in a thread."""

    def run() -> None:
        for _ in range(n):
            while (lease := job_store.take("answering")) is None:
                time.sleep(0.01)
            t = timepoint_of(job_store, lease.id)
            job_store.finish(lease.id, Outcome(result={"spots": [t]}) if outcome is None else outcome(t))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread


def lines(content: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in content.splitlines() if line.strip()]


def test_timepoints_are_answered_in_order_and_few_are_queued(job_store: JobStore) -> None:
    asked = predicted(job_store, 3 * AT_ONCE)
    worker = work(job_store, 3 * AT_ONCE)
    first = first_line(asked)
    *found, end = lines(b"".join(stream(asked, first, in_background=False)))
    worker.join()
    assert [line["t"] for line in found] == list(range(3 * AT_ONCE))
    assert all(line["spots"] == [line["t"]] for line in found)
    assert end == {"completed": True, "n_timepoints": 3 * AT_ONCE}


def test_all_others_begin_before_a_movie(job_store: JobStore) -> None:
    asked = predicted(job_store, 3)
    work(job_store, 1)
    assert asked.step() is not None
    assert asked.step() is None
    entries = job_store.entries()
    assert {(entry.task, entry.person) for entry in entries} == {(MOVIE_PREDICT.name, "Ada")}
    job_store.open("now", JobKind.INTERACTIVE, "elephant.seg_predict")
    taken = job_store.take("answering")
    assert taken is not None
    assert taken.id == "now"


def test_an_error_of_the_first_timepoint_is_raised_and_leaves_nothing(job_store: JobStore) -> None:
    asked = predicted(job_store, 3)
    work(job_store, 1, lambda _: Outcome(error="InvalidInputError", message="the crop box is wrong"))
    with pytest.raises(InvalidInputError, match="crop box"):
        first_line(asked)
    assert not job_store.entries()
    assert asked.is_done


def test_a_later_error_is_the_last_line(job_store: JobStore) -> None:
    asked = predicted(job_store, 5)
    work(job_store, 2, lambda t: Outcome(error="DatasetError", message="gone") if t else Outcome(result={"spots": []}))
    *found, end = lines(b"".join(stream(asked, first_line(asked), in_background=False)))
    assert [line["t"] for line in found] == [0]
    assert end == {"completed": False, "error": "gone", "n_timepoints": 1}
    assert not job_store.entries()


def test_an_abort_ends_it(job_store: JobStore) -> None:
    asked = predicted(job_store, 5)
    work(job_store, 1)
    first = first_line(asked)
    job_store.cancel_all()
    *found, end = lines(b"".join(stream(asked, first, in_background=False)))
    assert [line["t"] for line in found] == [0]
    assert end == {"completed": False, "n_timepoints": 1}
    assert not job_store.entries()


def test_silence_is_filled(job_store: JobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(movie, "FIRST_BYTE_AFTER_S", 0.0)
    monkeypatch.setattr(movie, "NEXT_BYTE_AFTER_S", 0.0)
    monkeypatch.setattr(movie, "_LOOK_S", 0.01)
    asked = predicted(job_store, 1)
    content = stream(asked, first_line(asked), in_background=False)
    assert [next(content) for _ in range(3)] == [b"\n"] * 3
    work(job_store, 1)
    assert [line.get("completed") for line in lines(b"".join(content))] == [None, True]


@pytest.mark.parametrize("in_background", [False, True])
def test_a_client_that_goes_away(job_store: JobStore, in_background: bool) -> None:
    asked = predicted(job_store, 4)
    work(job_store, 1)
    content = stream(asked, first_line(asked), in_background=in_background)
    assert lines(next(content))[0]["t"] == 0
    content.close()  # type: ignore[attr-defined]
    if in_background:
        work(job_store, 3).join(30)
        for _ in range(300):
            if asked.n_answered == 4:
                break
            time.sleep(0.1)
    assert asked.n_answered == (4 if in_background else 1)
    assert not job_store.entries()


def test_a_movie_asks_for_each_timepoint_with_the_same_settings() -> None:
    body = BODY.model_copy(update={"p_thresh": 0.25, "raw_quality": True, "crop_box": (0, 0, 0, 4, 5, 6)})
    one = body.at(7)
    assert one.timepoint == 7
    assert {name: getattr(one, name) for name in type(one).model_fields if name != "timepoint"} == {
        name: getattr(body, name) for name in type(one).model_fields if name != "timepoint"
    }
