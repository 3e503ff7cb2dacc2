"""The server that is one process answers the released client as the stack does."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import psutil
import pytest
import requests

from client.movies import Movie
from client.released import ReleasedClient
from client.wire import get, post, read
from core.dataset.n5 import write_n5
from core.dataset.test_bdv_zarr import NEW, write_xml
from core.dataset.test_imaris import write_ims
from core.dataset.test_ome_zarr import write as write_zarr
from elephant.annotations import read_annotations
from elephant.models.ensemble import Ensemble
from elephant.models.lock import writing
from elephant.models.unet import DetectionNet
from stack.memory import SOON, gives_memory_back
from stack.player import Player, masks_of
from stack.running import STACK, RunningServer, require_programs, settings_of, wait_until

ENDLESS = 10_000


def as_n5(folder: Path, values: np.ndarray) -> None:
    """Write a movie, T, Z, Y, X, as BigStitcher does into N5."""
    write_n5(folder / "movie.n5", values)
    images = '<n5 type="relative">movie.n5</n5>'
    write_xml(folder / "movie.xml", images, "bdv.n5", timepoints=f"0-{len(values) - 1}")


def as_ome_zarr(folder: Path, values: np.ndarray) -> None:
    """Write it as BigStitcher does into OME-Zarr, an image for each timepoint."""
    for t, volume in enumerate(values):
        write_zarr(folder / "movie.ome.zarr" / f"s0-t{t}.zarr", volume, "zyx")
    listed = "".join(NEW.format(t=t, s=0, i="[]") for t in range(len(values)))
    images = f'<zarr type="relative">movie.ome.zarr</zarr><zgroups>{listed}</zgroups>'
    write_xml(folder / "movie.xml", images, timepoints=f"0-{len(values) - 1}")


def as_imaris(folder: Path, values: np.ndarray) -> None:
    """Write it as Imaris does."""
    write_ims(folder / "movie.ims", [values[:, None]])


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """Give a server of one process, without the settings of services that it has not."""
    folder = tmp_path_factory.mktemp("embedded")
    values = settings_of(folder) | SOON
    running = RunningServer.start(folder, values, module="elephant_server.embedded")
    try:
        yield running.wait_until_serving()
    finally:
        running.stop()


@pytest.fixture(scope="module")
def movie(tmp_path_factory: pytest.TempPathFactory) -> Movie:
    return Movie.of_kind("volume", tmp_path_factory.mktemp("movie") / "movie.h5")


@pytest.fixture
def client(server: RunningServer, movie: Movie) -> ReleasedClient:
    client = ReleasedClient(server, replace(movie), "story", "story/detection.pth", "story/flow.pth")
    if client.check() != "ready":
        assert set(client.upload()) == {200}
        assert client.generate().status_code == 200
        assert client.check() == "ready"
    return client


def test_one_that_answers_is_all_that_is_started_at_first(server: RunningServer) -> None:
    (worker,) = psutil.Process(server.process.pid).children(recursive=True)
    assert worker.cmdline()[-1] == "elephant_server.embedded.worker"


def test_what_computes_is_logged_once(server: RunningServer) -> None:
    wait_until(lambda: server.output().count("Computing on") == 1, 120, "the line")


def test_memory_is_given_back_when_nothing_is_to_be_done(server: RunningServer) -> None:
    (worker,) = psutil.Process(server.process.pid).children()
    gives_memory_back(Player(server), worker)


def test_annotate_train_and_predict(client: ReleasedClient) -> None:
    assert read(client.reset_detection()) == {"completed": True}
    spots = client.annotated(0, client.movie.drawn(0))
    assert client.label(spots)
    assert client.train(spots, n_epochs=2, auto_bg_thresh=0.1)
    assert client.detect(1, p_thresh=0.0)
    assert client.state() == 0
    assert client.download_model("story/detection.pth").status_code == 200


def test_link_and_export(client: ReleasedClient) -> None:
    assert read(client.reset_flow()) == {"completed": True}
    links = client.movie.links(1)
    assert client.label_flow(links)
    assert client.train_flow(links, n_epochs=1)
    spots = client.movie.drawn(2)
    assert len(client.link(2, spots)) == len(spots)
    export = client.export([{**spot, "t": 2, "value": 7} for spot in spots], 0, 2)
    assert {name: int(mask.max()) for name, mask in masks_of(export.content).items()} == {
        "mask000.tif": 0,
        "mask001.tif": 0,
        "mask002.tif": 7,
    }


def test_tracks_are_sent_in_the_formats_of_other_programs(
    client: ReleasedClient, server: RunningServer, tmp_path: Path
) -> None:
    # Spots of a request, and a file of whatever kind that comes with it, lead to the same.
    spots = [
        {**spot, "t": t, "id": t + 1, **({"parent": t} if t else {})}
        for t in (0, 1)
        for spot in client.movie.drawn(t)[:1]
    ]
    about = {"dataset_name": "story", "is_3d": True, "scales": client.movie.scales}
    sent = post(server.base_url, "download/tracks?format=trackmate", {**about, "spots": spots})
    assert sent.status_code == 200
    assert sent.headers["Content-Disposition"] == "attachment; filename=story.xml"
    (tmp_path / "t.xml").write_bytes(sent.content)
    found = read_annotations(tmp_path / "t.xml")
    assert [(spot.t, spot.id, spot.parent) for spot in found] == [(0, 1, None), (1, 2, 1)]
    form = {"data": json.dumps({**about, "format": "json"})}
    again = upload(server, form, ("mine.xml", sent.content))
    assert [spot["pos"] for spot in read(again)["spots"]] == [pytest.approx(spot["pos"]) for spot in spots]
    wrong = upload(server, form, ("../mine.csv", b"t,x,y,z\n0,1,2,3\n"))
    assert (wrong.status_code, read(wrong, 400)["error"][:48]) == (
        400,
        "mine.csv: expected a column for the radius (radi",
    )
    unknown = post(server.base_url, "download/tracks?format=word", {**about, "spots": spots})
    assert "expected a format that is installed" in read(unknown, 400)["error"]
    assert not list((server.workspace / "exports").glob("*"))


def upload(server: RunningServer, form: dict[str, str], file: tuple[str, bytes]) -> requests.Response:
    return requests.post(server.base_url + "download/tracks", data=form, files={"file": file}, timeout=60)


def test_what_predictions_found_is_sent_without_a_body(client: ReleasedClient, server: RunningServer) -> None:
    n_found = len(client.detect(1, p_thresh=0.0))
    wait_until(lambda: len(read(get(server.base_url, "dashboard/api/results"))) > 0, 30, "the result")
    sent = read(get(server.base_url, "download/tracks?dataset_name=story&format=json"))
    assert len([spot for spot in sent["spots"] if spot["t"] == 1]) == n_found
    assert get(server.base_url, "download/tracks?dataset_name=none").status_code == 404


def test_a_live_session_hears_of_labels_and_predictions_are_served(client: ReleasedClient) -> None:
    session = client.later("seg/train", client.seg_train_body([], is_livemode=True, n_crops=1))
    wait_until(lambda: client.state() == 1, 60, "the session")
    model = client.server.workspace / "models" / "story" / "detection.pth"
    before = model.stat().st_mtime_ns
    assert client.label(client.annotated(1, client.movie.drawn(1)), is_livemode=True)
    wait_until(lambda: model.stat().st_mtime_ns != before, 60, "an epoch")
    client.detect(2)
    refused = client.act("seg/train", client.seg_train_body(client.annotated(0, client.movie.drawn(0))))
    assert "a process is running" in read(refused, 500)["error"]
    assert client.set_state(0) == 0
    assert session.result(60) is False


def test_a_second_training_waits_where_it_says_so(client: ReleasedClient, server: RunningServer) -> None:
    spots = client.annotated(0, client.movie.drawn(0))
    body = client.seg_train_body(spots, n_epochs=2, n_crops=1)
    first = client.later("seg/train", body)
    wait_until(lambda: client.state() == 1, 60, "the first training")
    assert client.set_state(2) == 2  # held, so that it is still there
    second = client.later("seg/train", {**body, "wait": True})

    def phases() -> list[str]:
        return sorted(job["phase"] for job in read(get(server.base_url, "dashboard/api/status"))["jobs"])

    wait_until(lambda: phases() == ["queued", "running"], 60, "the second training")
    refused = client.act("seg/train", body)
    assert "a process is running" in read(refused, 500)["error"]
    client.set_state(1)
    assert [first.result(120), second.result(120)] == [True, True]
    assert client.state() == 0


def test_a_model_that_another_program_trains_is_left_alone(client: ReleasedClient) -> None:
    spots = client.annotated(0, client.movie.drawn(0))
    assert client.label(spots)
    model = client.server.workspace / "models" / "story" / "elsewhere.pth"
    other = replace(client, detection="story/elsewhere.pth")
    with writing(model, "a training"):
        refused = other.act("seg/train", other.seg_train_body(spots))
        words = f"elsewhere.pth is being trained by process {os.getpid()}"
        assert words in read(refused, 500)["error"]
        assert words in read(other.reset_detection(), 500)["error"]
        assert not model.exists()
    assert other.train(spots, n_epochs=1, n_crops=1, auto_bg_thresh=0.1)


def test_another_movie_of_the_same_name_is_told_until_it_is_converted(client: ReleasedClient, tmp_path: Path) -> None:
    file = Path(shutil.copy(client.movie.file, tmp_path / "replaced.h5"))
    own = replace(client, dataset="replaced", movie=replace(client.movie, file=file))
    assert set(own.upload()) == {200}
    assert own.generate().status_code == 200
    assert own.label(own.annotated(0, own.movie.drawn(0)))
    assert set(own.upload()) == {200}
    assert own.check() == "ready"  # the same movie once more

    with h5py.File(file, "r+") as movie:
        for t in range(own.movie.n_timepoints):
            values = movie[f"t{t:05d}/s00/0/cells"][()].view(np.uint16) / np.float32(7)
            del movie[f"t{t:05d}/s00/0/cells"]
            movie[f"t{t:05d}/s00/0/cells"] = values
    assert set(own.upload()) == {200}
    assert "has changed since this dataset was made from it" in own.check()
    refused = own.send("seg/update", own.seg_update_body(own.annotated(1, own.movie.drawn(1))))
    assert "has changed" in read(refused, 400)["error"]
    shown = read(get(own.server.base_url, "dashboard/api/dataset?dataset=replaced"))
    assert "has changed" in shown["notice"]
    assert shown["labelled"] == [0]

    assert own.generate().status_code == 200
    assert own.check() == "ready"
    shown = read(get(own.server.base_url, "dashboard/api/dataset?dataset=replaced"))
    assert (shown["notice"], shown["labelled"], shown["dtype"]) == ("", [], "uint16")
    assert shown["made_from"].startswith("replaced.h5")
    wait_until(lambda: "scaled to 16 bits" in get(own.server.base_url, "dashboard/api/log").text, 60, "the warning")


@pytest.mark.parametrize("write", [as_n5, as_ome_zarr, as_imaris])
def test_a_movie_of_another_format_in_the_folder_of_a_dataset(
    client: ReleasedClient, write: Callable[[Path, np.ndarray], object]
) -> None:
    own = replace(client, dataset=write.__name__)
    folder = client.server.workspace / "datasets" / write.__name__
    assert "does not exist" in own.check()
    folder.mkdir()
    with h5py.File(client.movie.file) as file:
        values = np.stack([file[f"t{t:05d}/s00/0/cells"][()].view(np.uint16) for t in range(own.movie.n_timepoints)])
    write(folder, values)
    assert own.generate().status_code == 200
    assert own.check() == "ready"
    assert own.label(own.annotated(0, own.movie.drawn(0)))


def test_bad_input_is_explained(client: ReleasedClient) -> None:
    refused = client.act("seg/predict", {**client.seg_predict_body(0), "dataset_name": "absent"})
    assert "absent" in read(refused, 404)["error"]
    assert "absent" in refused.reason


def test_the_page_and_the_state_are_there(server: RunningServer) -> None:
    assert "html" in get(server.base_url, "").text
    assert len(read(get(server.base_url, "state/gpus"))) == 1


@pytest.mark.parametrize("module", ["elephant_server.embedded", STACK])
def test_a_second_server_in_the_same_workspace_is_refused(server: RunningServer, tmp_path: Path, module: str) -> None:
    if module == STACK:
        require_programs()
    values = settings_of(tmp_path) | {"ELEPHANT_WORKSPACE": str(server.workspace)}
    ended = subprocess.run(
        [sys.executable, "-m", module],
        env=os.environ | values,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 1
    assert "Another server" in ended.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_request_to_end_ends_a_training_and_keeps_its_last_epoch(
    tmp_path: Path, movie: Movie, number: signal.Signals
) -> None:
    """A terminal sends Ctrl-C to all processes, as a service manager may its SIGTERM."""
    running = RunningServer.start(tmp_path, settings_of(tmp_path), module="elephant_server.embedded")
    try:
        client = ReleasedClient(running.wait_until_serving(), movie, "d", "d.pth", "f.pth")
        client.upload()
        client.generate()
        spots = client.annotated(0, movie.drawn(0))
        model = running.workspace / "models" / "d.pth"
        Ensemble([DetectionNet(3, movie.n_keep_axials)]).save(model)
        begun = model.stat().st_mtime_ns
        training = client.later("seg/train", client.seg_train_body(spots, n_epochs=ENDLESS, n_crops=1))
        wait_until(lambda: model.stat().st_mtime_ns != begun, 250, "the first epoch")
        wait_until(lambda: client.state() == 1, 60, "the training")
        for worker in psutil.Process(running.process.pid).children(recursive=True):
            worker.send_signal(number)
        assert running.stop(number) == 0
        assert training.result(60) is False
        assert model.stat().st_size > 1_000_000
        assert "Stopped." in running.output()
    finally:
        running.stop()
