import json
import logging
import os
import threading
import time
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import redis
import torch
from flask import Flask
from flask.testing import FlaskClient
from tensorboardX import SummaryWriter

from elephant.models.ensemble import Ensemble
from elephant.models.inspect import ModelKind, inspect_model
from elephant.models.provenance import ProvenanceEntry, provenance_file
from elephant.models.unet import DetectionNet, FlowNet
from elephant.training.event_files import EventFile
from elephant.training.scalars import ScalarReporter, unnamed_curves
from elephant_server.dashboard.models import MOST_POINTS
from elephant_server.dashboard.views import Admission, BusyError
from elephant_server.feed import MOST_LINES, ActivityFeed, FeedPublisher
from elephant_server.jobs.progress import DashboardProgress, Pace, show_begin
from elephant_server.jobs.records import JobKind, Outcome
from elephant_server.jobs.store import JobStore
from elephant_server.jobs.store_redis import RedisStore
from elephant_server.logs import FeedHandler
from elephant_server.main import create_app
from elephant_server.schemas.detection import SegPredictBody
from elephant_server.services import KEY
from elephant_server.settings import Settings


@pytest.fixture
def job_store(app: Flask) -> JobStore:
    found: JobStore = app.extensions[KEY].job_store
    return found


@pytest.fixture
def feed(redis_url: str) -> ActivityFeed:
    with redis.Redis.from_url(redis_url) as client:
        client.flushall()
    return ActivityFeed(RedisStore(redis_url))


def status(page: FlaskClient) -> dict[str, Any]:
    answer = page.get("/dashboard/api/status")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json  # type: ignore[assignment]
    return found


class ModelProvenance:
    def __init__(self) -> None:
        self.steps: list[int] = []

    def progress(self, stage: str, done: int, total: int, **values: float) -> None:
        self.steps.append(done)


def test_a_job_is_shown_with_its_progress(page: FlaskClient, job_store: JobStore, feed: ActivityFeed) -> None:
    assert status(page)["jobs"] == []
    job_store.open("a", JobKind.TRAINING, "elephant.seg_train")
    assert status(page)["jobs"][0]["phase"] == "queued"
    job_store.take("training", "owner")
    feed_publisher, inner = FeedPublisher(feed), ModelProvenance()
    feed_publisher.job("a", started=5.0, dataset_name="movie")
    shown = DashboardProgress(feed_publisher, "a", inner)
    for step in range(1, 1001):
        shown.progress("step", step, 2000, loss=0.5, bad=float("nan"))
    assert feed_publisher.flush(10)
    found = status(page)
    assert (found["state"], found["is_held"]) == (1, False)
    job = found["jobs"][0]
    assert (job["task"], job["dataset_name"], job["phase"]) == ("elephant.seg_train", "movie", "running")
    assert (job["stage"], job["done"], job["total"], job["values"]) == ("step", 1000, 2000, {"loss": 0.5})
    assert job["remaining_s"] is not None
    assert inner.steps == list(range(1, 1001))
    job_store.hold(True)
    assert status(page)["is_held"]
    job_store.finish("a", Outcome(result={}))
    found = status(page)
    assert (found["jobs"], found["latest_job"]) == ([], "a")


def test_the_time_left_follows_the_pace_and_pauses_count_little() -> None:
    now = [0.0]
    pace = Pace(lambda: now[0])
    assert pace.remaining_s("step", 1, 100) is None
    for step in range(2, 51):
        now[0] += 2
        left = pace.remaining_s("step", step, 100)
    assert left == pytest.approx(100)
    now[0] += 3600
    left = pace.remaining_s("step", 51, 100)
    assert left is not None
    assert left < 200
    assert pace.remaining_s("tile", 1, 5) is None


def test_what_requests_say_of_a_dataset_is_remembered(page: FlaskClient, feed: ActivityFeed, dataset: Any) -> None:
    body = SegPredictBody.model_validate_json(
        '{"dataset_name": "user/movie", "model_name": "m", "timepoint": 2, "scales": [0.5, 0.6, 2], "p_thresh": 0.3}'
    )
    feed_publisher = FeedPublisher(feed)
    show_begin(feed_publisher, "a", body)
    assert feed_publisher.flush(10)
    found: Any = page.get("/dashboard/api/dataset", query_string={"dataset": "user/movie"}).json
    assert found["voxel_size"] == [2, 0.6, 0.5]
    assert found["spots"]["p_thresh"] == 0.3
    known = feed.jobs(["a"])[0]
    assert (known["dataset_name"], known["model_name"], known["timepoint"]) == ("user/movie", "m", 2)


def test_the_log_is_kept_short_and_read_on(page: FlaskClient, feed: ActivityFeed) -> None:
    feed_publisher = FeedPublisher(feed)
    logger = logging.getLogger("elephant.test_of_the_bulletin")
    handler = FeedHandler(feed_publisher)
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        for i in range(MOST_LINES):
            logger.info("line %d", i)
        assert feed_publisher.flush(10)
        logger.warning("line %d", MOST_LINES)
        assert feed_publisher.flush(10)
    finally:
        logger.removeHandler(handler)
    lines: list[dict[str, Any]] = page.get("/dashboard/api/log").json  # type: ignore[assignment]
    assert [line["text"] for line in lines] == [f"line {i}" for i in range(1, MOST_LINES + 1)]
    after: Any = page.get("/dashboard/api/log", query_string={"after": lines[-2]["id"]}).json
    assert [(line["level"], line["text"]) for line in after] == [("WARNING", f"line {MOST_LINES}")]


@pytest.mark.parametrize(
    "after", ["x", "1-", "1-2-3", "9999999999999999999999999-1", f"1-{2**64 - 1}", "\N{ARABIC-INDIC DIGIT ONE}-1"]
)
def test_a_line_that_cannot_be_is_refused_and_redis_not_blamed(page: FlaskClient, after: str) -> None:
    for answer in (
        page.get("/dashboard/api/log", query_string={"after": after}),
        page.get("/dashboard/api/events", headers={"Last-Event-ID": after.encode("ascii", "replace").decode()}),
    ):
        assert answer.status_code == 400
        assert "after" in answer.json["error"]
        assert "Redis" not in answer.json["error"]


def test_nobody_waits_for_a_redis_that_is_away() -> None:
    feed_publisher = FeedPublisher(ActivityFeed(RedisStore("redis://127.0.0.1:1/0")))
    begin = time.monotonic()
    for i in range(20_000):
        feed_publisher.line("INFO", str(i))
        feed_publisher.job("a", done=i)
    assert time.monotonic() - begin < 5
    assert not feed_publisher.flush(0.1)


def test_status_and_log_come_as_events(app: Flask, job_store: JobStore, feed: ActivityFeed) -> None:
    feed_publisher = FeedPublisher(feed)
    feed_publisher.line("INFO", "first")
    assert feed_publisher.flush(10)
    answer = app.test_client().get("/dashboard/api/events")
    assert answer.mimetype == "text/event-stream"
    events = (event.decode() for event in answer.response)  # type: ignore[union-attr]
    head, *begin = islice(events, 3)
    assert head.startswith("retry: ")
    assert [event.splitlines()[-3].removeprefix("event: ") for event in begin] == ["status", "log"]
    feed_publisher.line("ERROR", "second")
    said = next(event for event in events if "event: log" in event)
    assert [line["text"] for line in json.loads(said.split("data: ")[1])] == ["second"]
    known = said.splitlines()[0].removeprefix("id: ")
    answer.close()
    feed_publisher.line("INFO", "third")
    assert feed_publisher.flush(10)
    again = app.test_client().get("/dashboard/api/events", headers={"Last-Event-ID": known})
    said = next(event.decode() for event in again.response if b"event: log" in event)  # type: ignore[operator, union-attr]
    assert [line["text"] for line in json.loads(said.split("data: ")[1])] == ["third"]
    again.close()


def test_streams_leave_threads_for_requests(settings: Settings, feed: ActivityFeed) -> None:
    app = create_app(settings)
    streams = [app.test_client().get("/dashboard/api/events") for _ in range(3)]
    assert [stream.status_code for stream in streams] == [200, 200, 503]
    streams[0].close()
    again = app.test_client().get("/dashboard/api/events")
    assert again.status_code == 200
    for stream in (*streams[1:], again):
        stream.close()


def test_turns_are_given_back_and_a_crowd_is_sent_away() -> None:
    turns = Admission(1, 1, wait_s=10)
    release = turns.take()
    heard: list[str] = []

    def wait() -> None:
        with turns.admit():
            heard.append("mine")

    waiting = threading.Thread(target=wait)
    waiting.start()
    end = time.monotonic() + 10
    while time.monotonic() < end:
        try:
            turns.take()()
        except BusyError:
            break
    else:
        pytest.fail("the crowd was not sent away")
    release()
    waiting.join(10)
    assert heard == ["mine"]
    turns.take()()


def test_curves_are_means_of_all_trainings_of_a_folder(page: FlaskClient, run: Path) -> None:
    runs: Any = page.get("/dashboard/api/runs").json
    assert [(entry["name"], entry["n_trainings"]) for entry in runs] == [("user/run", 2)]
    found: Any = page.get("/dashboard/api/curves", query_string={"run": "user/run"}).json
    assert found["is_complete"]
    assert found["starts"] == [1, 501]
    nll, loss = found["curves"]
    assert (loss["tag"], nll["tag"]) == ("train_loss", "nll_loss")
    assert len(loss["steps"]) == len(loss["values"]) == MOST_POINTS
    assert loss["steps"][-1] == 1000
    assert loss["values"][-1] == pytest.approx(1 / 499, rel=0.01)
    assert set(nll["values"]) == {0.5}


def test_trainings_without_a_folder_are_listed_by_their_model(page: FlaskClient, tmp_path: Path) -> None:
    with unnamed_curves(tmp_path / "logs", "lab/user/m.pth") as reporter:
        reporter.progress("step", 1, 1, loss=0.5)
    (run,) = page.get("/dashboard/api/runs").json or []
    assert (run["name"], run["title"], run["is_named"]) == (".trainings/lab/user/m.pth", "lab/user/m.pth", False)
    (found,) = (page.get("/dashboard/api/curves", query_string={"run": run["name"]}).json or {})["curves"]
    assert (found["tag"], found["steps"], found["values"]) == ("train_loss", [1], [0.5])
    for name in (".trainings/../../models", ".trainings/", ".trainings", ".hidden"):
        assert page.get("/dashboard/api/curves", query_string={"run": name}).status_code == 400, name


def write_scalars(folder: Path, first: int, **values: float) -> None:
    with SummaryWriter(str(folder), filename_suffix=f".{first}") as writer:
        for step in (first, first + 1):
            for name, value in values.items():
                writer.add_scalar(name.replace("__", "/"), value, step)


def curves_of(page: FlaskClient, name: str) -> dict[str, list[int]]:
    found: Any = page.get("/dashboard/api/curves", query_string={"run": name}).json
    return {curve["tag"]: curve["steps"] for curve in found["curves"]}


def test_curves_with_earlier_names_go_on_in_todays(page: FlaskClient, tmp_path: Path) -> None:
    folder = tmp_path / "logs" / "run"
    write_scalars(folder, 1, seg__loss=0.5, seg__nll=0.4, seg__center=0.3, seg__smooth=0.2, seg__epoch=1)
    write_scalars(folder, 3, train_loss=0.5, nll_loss=0.4, center_dice_loss=0.3, smooth_loss=0.2)
    found = curves_of(page, "run")
    assert list(found) == ["center_dice_loss", "nll_loss", "smooth_loss", "train_loss"]
    assert all(steps == [1, 2, 3, 4] for steps in found.values())


def test_detection_and_flow_in_one_folder_are_told_apart(page: FlaskClient, tmp_path: Path) -> None:
    folder = tmp_path / "logs" / "both"
    write_scalars(folder, 1, flow__loss=0.5, flow__instance=0.5)
    write_scalars(folder, 3, train_loss=0.5, nll_loss=0.4)
    write_scalars(folder, 5, train_loss=0.5, instance_loss=0.4, SSIM_loss=0.1)
    assert curves_of(page, "both") == {
        "SSIM_loss (flow)": [5, 6],
        "instance_loss (flow)": [1, 2, 5, 6],
        "nll_loss (detection)": [3, 4],
        "train_loss (detection)": [3, 4],
        "train_loss (flow)": [1, 2, 5, 6],
    }


def test_pages_that_look_at_once_see_each_step_once(
    app: Flask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reporter = ScalarReporter(tmp_path / "logs" / "run")
    for step in range(1, 3001):
        reporter.progress("step", step, 3000, loss=float(step))
    reporter.close()
    both = threading.Barrier(2)
    take = EventFile._take

    def take_beside_another(file: EventFile, event: bytes) -> None:
        with suppress(threading.BrokenBarrierError):
            both.wait(0.2)
        take(file, event)

    monkeypatch.setattr(EventFile, "_take", take_beside_another)
    answers: list[Any] = []

    def look() -> None:
        answers.append(app.test_client().get("/dashboard/api/curves", query_string={"run": "run"}).json)

    pages = [threading.Thread(target=look) for _ in range(2)]
    for page in pages:
        page.start()
    for page in pages:
        page.join(30)
    (first,), (second,) = (answer["curves"] for answer in answers)
    assert first == second
    assert first["steps"] == [10 * (i + 1) for i in range(MOST_POINTS)]


def test_what_is_no_file_of_scalars_hides_no_others(page: FlaskClient, run: Path) -> None:
    (run / "events.out.tfevents.gone").symlink_to(run / "elsewhere")
    (run / "events.out.tfevents.folder").mkdir()
    runs: Any = page.get("/dashboard/api/runs").json
    assert [entry["n_trainings"] for entry in runs] == [2]
    found: Any = page.get("/dashboard/api/curves", query_string={"run": "user/run"}).json
    assert found["starts"] == [1, 501]


def test_a_file_that_is_cut_off_is_read_up_to_there(page: FlaskClient, run: Path) -> None:
    last = max(run.glob("events.*"), key=lambda path: path.stat().st_mtime)
    last.write_bytes(last.read_bytes()[:-7])
    found: Any = page.get("/dashboard/api/curves", query_string={"run": "user/run"}).json
    assert found["curves"][0]["steps"][-1] in (999, 1000)
    assert page.get("/dashboard/api/curves", query_string={"run": "../x"}).status_code == 400
    nothing: Any = page.get("/dashboard/api/curves", query_string={"run": "x"}).json
    assert nothing["curves"] == []


def test_models_are_known_without_loading_them(page: FlaskClient, settings: Settings) -> None:
    folder = settings.models_dir
    Ensemble([DetectionNet(3, 2)]).save(folder / "user" / "detection.pth")
    Ensemble([FlowNet(2, 0), FlowNet(2, 0)]).save(folder / "flow.pth")
    (folder / "broken.pth").write_bytes(b"nothing")
    (folder / ".generations" / "flow.pth").mkdir(parents=True)
    (folder / ".generations" / "flow.pth" / "000001.pth").write_bytes(b"old")
    found: Any = page.get("/dashboard/api/models").json
    kinds = {model["name"]: (model["kind"], model["n_dims"], model["n_members"]) for model in found}
    assert kinds == {
        "user/detection.pth": ("detection", 3, 1),
        "flow.pth": ("flow", 2, 2),
        "broken.pth": (None, None, None),
    }
    flow = next(model for model in found if model["name"] == "flow.pth")
    assert [(g["number"], g["n_bytes"]) for g in flow["generations"]] == [(1, 3)]


def test_models_tell_what_they_were_trained_on(
    page: FlaskClient, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    path = settings.models_dir / "user" / "m.pth"
    model = Ensemble([DetectionNet(2, 0)])
    model.save(path, ProvenanceEntry(what="pretrained", source="versatile2d.pth"))
    entry = ProvenanceEntry(
        what="training", dataset="movie-a", timepoints=(0, 3), annotated="spots", n_annotations=152, lr=5e-5
    )
    model.save(path, entry.model_copy(update={"epochs": 20, "steps": 40, "loss": 0.031}))
    (found,) = page.get("/dashboard/api/models").json or []
    text = "trained on movie-a: timepoints 0, 3 · 152 spots · 20 epochs · loss 0.031"
    assert found["held"]["text"] == text
    assert found["held"]["timepoints"] == [0, 3]
    assert [(work["what"], work["is_in"]) for work in found["history"]] == [("training", True), ("pretrained", True)]
    assert found["history"][0]["details"] == "40 steps · learning rate 5e-05 · previous version: 1"
    assert found["generations"][0]["text"] == "started from the pretrained model versatile2d.pth"

    os.utime(path, (1e9, 1e9))
    (found,) = page.get("/dashboard/api/models").json or []
    assert (found["held"], len(found["history"])) == (None, 2)
    provenance_file(path).write_text("{")
    for _ in range(3):
        (found,) = page.get("/dashboard/api/models").json or []
        assert (found["held"], found["history"], len(found["generations"])) == (None, [], 1)
    assert caplog.text.count("cannot be read") == 1


def test_a_model_file_that_asks_for_more_than_weights_is_not_obeyed(tmp_path: Path) -> None:
    path = tmp_path / "evil.pth"
    torch.save({"out_conv.weight": Path}, path)
    assert inspect_model(path) is None
    torch.save(DetectionNet(2, 0).state_dict(), path)
    assert inspect_model(path) == ModelKind("detection", 2, 1)
