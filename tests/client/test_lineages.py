"""Lineages that a server keeps with a dataset: tracked in a request, looked at, corrected by a person."""

import json
import threading
from collections import Counter
from typing import Any

import numpy as np
import pytest
import requests

from client.kinds import ONE_PROCESS, played_on
from client.wire import get, post, read
from core.tracking.walkers import walk
from elephant.tracking.linkers import Detections, GlobalLinker
from elephant.tracking.linkers.problem import CORE
from elephant.types import Spot
from elephant_server.api.packing import SMALLEST_PACKED
from elephant_server.client import Client, RemoteDataset, ServerError
from elephant_server.schemas.state import ProcessState
from stack.player import predict_body
from stack.running import RunningServer, wait_until

pytestmark = [pytest.mark.stack, played_on(ONE_PROCESS)]

NAME, MODEL, FLOW = "lineages/movie", "lineages/detection.pth", "lineages/flow.pth"
VOXEL = (2.0, 1.0, 1.0)
N_TIMEPOINTS = 24
MOVIE = walk(8, N_TIMEPOINTS, seed=4, dividing=0.01)
POSITIONS = MOVIE.detections.positions
FIRST_ID = 500


@pytest.fixture(scope="module")
def client(python_client: Client) -> Client:
    return python_client


@pytest.fixture(scope="module")
def movie(client: Client) -> RemoteDataset:
    images = np.random.default_rng(0).integers(0, 200, (N_TIMEPOINTS, 8, 32, 32))
    return client.create_dataset(NAME, images, VOXEL)


def body(**changes: Any) -> dict[str, Any]:
    radii = MOVIE.detections.radii
    assert radii is not None
    spots = [
        {"t": int(t), "id": FIRST_ID + i, "pos": pos[::-1].tolist(), "radius": float(radius)}
        for i, (t, pos, radius) in enumerate(zip(MOVIE.detections.timepoints, POSITIONS, radii, strict=True))
    ]
    return {"dataset_name": NAME, "spots": spots, **changes}


def lines_of(server: RunningServer, asked: dict[str, Any]) -> list[dict[str, Any]]:
    with requests.post(f"{server.base_url}movie/track", json=asked, stream=True, timeout=60) as answer:
        assert answer.status_code == 200, answer.text
        assert answer.headers["Content-Type"].startswith("application/x-ndjson")
        return [json.loads(line) for line in answer.iter_lines() if line.strip()]


def looked(server: RunningServer, path: str) -> dict[str, Any]:
    """Return the JSON of an answer that comes compressed where it is long."""
    answer = requests.get(f"{server.base_url}{path}", timeout=60)
    assert answer.status_code == 200, answer.text
    assert (answer.headers.get("Content-Encoding") == "gzip") == (len(answer.content) >= SMALLEST_PACKED)
    found: dict[str, Any] = answer.json()
    return found


def lineage_of(server: RunningServer) -> dict[str, Any]:
    return looked(server, f"movie/lineage?dataset_name={NAME}")


def test_a_movie_is_tracked_looked_at_and_corrected(server: RunningServer, movie: RemoteDataset) -> None:
    assert "nothing was tracked" in read(get(server.base_url, f"movie/lineage?dataset_name={NAME}"), 404)["error"]
    *progress, end = lines_of(server, body())
    assert [(line["window"], line["of"]) for line in progress] == [
        (k + 1, progress[-1]["of"]) for k in range(len(progress))
    ]
    assert end["completed"] is True
    solved = GlobalLinker().link(MOVIE.detections)
    expected = {(int(p) + FIRST_ID, i + FIRST_ID) for i, p in enumerate(solved.parents) if p >= 0}
    assert {(link["parent"], link["child"]) for link in end["links"]} == expected
    found = lineage_of(server)
    assert (found["version"], found["n_spots"], len(found["tracks"])) == (1, len(POSITIONS), end["n_tracks"])
    assert found["timepoints"] == [0, N_TIMEPOINTS - 1]
    assert "spots of the request" in found["made_from"]
    spots = looked(server, f"movie/lineage/spots?dataset_name={NAME}&timepoint=5")["spots"]
    assert [spot["id"] - FIRST_ID for spot in spots] == np.flatnonzero(MOVIE.detections.timepoints == 5).tolist()
    for spot in spots:
        assert spot["pos"] == pytest.approx(POSITIONS[spot["id"] - FIRST_ID][::-1])
        assert (spot["parent"], spot["id"]) in expected or spot["parent"] is None
    linked = next(spot for spot in spots if spot["parent"] is not None)
    cut = {"dataset_name": NAME, "version": 1, "cut": [[linked["parent"], linked["id"]]]}
    after = read(post(server.base_url, "movie/lineage/corrections", cut))
    assert after["version"] == 2
    assert after["n_solved"] >= 1
    now = lineage_of(server)
    expected = {track["id"]: track for track in found["tracks"] if track["id"] not in after["gone"]}
    expected |= {track["id"]: track for track in after["tracks"]}
    assert [expected[number] for number in sorted(expected)] == now["tracks"]
    assert len(after["tracks"]) < len(now["tracks"]) == after["n_tracks"]
    assert {name: after[name] for name in ("version", "doubtful", "n_doubtful")} == {
        name: now[name] for name in ("version", "doubtful", "n_doubtful")
    }
    again = looked(server, f"movie/lineage/spots?dataset_name={NAME}&timepoint=5")["spots"]
    assert next(spot for spot in again if spot["id"] == linked["id"])["parent"] != linked["parent"]
    refused = read(post(server.base_url, "movie/lineage/corrections", cut), 409)["error"]
    assert "another correction came first" in refused


def test_what_cannot_be_done_says_why(server: RunningServer, movie: RemoteDataset) -> None:
    url = server.base_url
    assert "timepoint" in read(post(url, "movie/track", body(spots=[{"t": 99, "pos": [1, 1, 1]}])), 400)["error"]
    assert "an id for each" in read(
        post(url, "movie/track", body(spots=[{"t": 0, "pos": [1, 1, 1], "id": 3}, {"t": 1, "pos": [1, 1, 1]}])), 400
    )["error"]  # fmt: skip
    assert "spot 77 is not among" in read(post(url, "movie/track", body(links=[[77, 500]])), 400)["error"]
    assert "voxel size" in read(post(url, "movie/track", body(model_name="absent.pth")), 400)["error"]
    alone = {"dataset_name": NAME, "scales": VOXEL[::-1]}
    assert "no prediction" in read(post(url, "movie/track", alone), 404)["error"]
    assert "linker" in read(post(url, "movie/track", body(linker="absent")), 400)["error"]
    assert "absent" in read(post(url, "movie/track", body(model_name="absent.pth", scales=VOXEL[::-1])), 404)["error"]
    assert "absent" in read(get(url, "movie/lineage?dataset_name=absent"), 404)["error"]
    nothing = {"dataset_name": NAME, "version": 2}
    assert "nothing to correct" in read(post(url, "movie/lineage/corrections", nothing), 400)["error"]


def test_the_client_in_python_tracks_and_corrects(client: Client, movie: RemoteDataset) -> None:
    spots = [
        Spot(int(t), pos, 9 * np.eye(3)) for t, pos in zip(MOVIE.detections.timepoints, POSITIONS, strict=True)
    ]  # fmt: skip
    end = movie.track(spots, max_gap=1)
    assert end.links
    link = end.links[0]
    assert end.version == movie.lineage().version
    done = movie.correct_lineage(end.version, confirm=[(link.parent, link.child)])
    assert done.version == end.version + 1
    child = next(spot for t in (1, 2) for spot in movie.lineage_spots(t) if spot.id == link.child)
    assert (child.parent, child.probability) == (link.parent, 1.0)
    assert movie.correct_lineage(done.version, undo=True).version == end.version + 2
    n_children = Counter(link.parent for link in end.links)
    (mother, n), *_ = n_children.most_common(1)
    assert n == 2
    one = movie.correct_lineage(end.version + 2, undivided=[mother])
    parents = [spot.parent for t in range(N_TIMEPOINTS) for spot in movie.lineage_spots(t)]
    assert (one.version, parents.count(mother)) == (end.version + 3, 1)
    with pytest.raises(ServerError, match="another correction came first"):
        movie.correct_lineage(end.version, undo=True)


def test_predictions_are_tracked_with_a_flow_model(server: RunningServer, client: Client, movie: RemoteDataset) -> None:
    movie.reset(MODEL, n_crops=0, seed=0)
    client.reset_flow(FLOW, seed=0)
    found = movie.predict_all(range(3), model=MODEL, p_thresh=0.1, r_min=0.1)
    n_found = sum(map(len, found.values()))
    assert n_found
    *progress, end = lines_of(server, {"dataset_name": NAME, "model_name": FLOW, "max_displacement": 10})
    assert end["n_spots"] == n_found
    assert "the newest predictions" in end["made_from"]
    assert f"{n_found} spots at 3 timepoints, 0 to 2" in end["made_from"]
    assert FLOW in end["made_from"]
    assert [line["timepoint"] for line in progress if "timepoint" in line] == [1, 2, 3]
    assert lineage_of(server)["scales"] == list(VOXEL[::-1])
    asked = predict_body(NAME, timepoint=1, scales=[1.0, 1.0, 9.0], model_name=MODEL)
    assert read(post(server.base_url, "seg/predict", asked))["completed"]
    refused = read(post(server.base_url, "movie/track", {"dataset_name": NAME}), 400)["error"]
    assert "with the same voxel size at all timepoints, got" in refused
    assert "predict again with the right one" in refused


LONG, LONG_TIMEPOINTS = "lineages/long movie", 72
N_WINDOWS = -(-LONG_TIMEPOINTS // CORE)


@pytest.fixture(scope="module")
def long_movie(client: Client) -> dict[str, Any]:
    """Return what tracks a movie that takes some seconds."""
    images = np.random.default_rng(0).integers(0, 200, (LONG_TIMEPOINTS, 8, 32, 32))
    client.create_dataset(LONG, images, VOXEL).reset(MODEL, n_crops=0, seed=0)
    found = walk(90, LONG_TIMEPOINTS, seed=1, dividing=0.005).detections
    spots = [{"t": int(t), "pos": pos[::-1].tolist()} for t, pos in zip(found.timepoints, found.positions, strict=True)]
    return {"dataset_name": LONG, "spots": spots}


class Tracking:
    """A request for lineages that is under way; its lines are read as they come."""

    def __init__(self, server: RunningServer, asked: dict[str, Any]) -> None:
        self.answer = requests.post(f"{server.base_url}movie/track", json=asked, stream=True, timeout=60)
        assert self.answer.status_code == 200
        self._rest = self.answer.iter_lines()
        self.lines = [next(line for line in self._rest if line.strip())]
        self._reader = threading.Thread(target=lambda: self.lines.extend(self._rest), daemon=True)

    def read_on(self) -> None:
        self._reader.start()

    @property
    def n_windows(self) -> int:
        return sum(b"window" in line for line in self.lines)

    def end(self) -> dict[str, Any]:
        self._reader.join(60)
        found: dict[str, Any] = json.loads(self.lines[-1])
        return found


def test_others_are_answered_while_a_movie_is_tracked_which_is_ended_by_an_abort(
    server: RunningServer, client: Client, long_movie: dict[str, Any]
) -> None:
    tracking = Tracking(server, long_movie)
    tracking.read_on()
    assert client.open_dataset(LONG, VOXEL).predict(0, model=MODEL, p_thresh=0.1, r_min=0.1) is not None
    assert tracking.n_windows < N_WINDOWS
    client.abort()
    assert tracking.end() == {"completed": False}
    assert get(server.base_url, f"movie/lineage?dataset_name={LONG}").status_code == 404


def test_a_tracking_whose_client_goes_away_ends_and_keeps_what_is_solved(
    server: RunningServer, client: Client, long_movie: dict[str, Any]
) -> None:
    asked = {**long_movie, "spots": long_movie["spots"][1:]}  # nothing of them is known
    Tracking(server, asked).answer.close()
    wait_until(lambda: client.state() is ProcessState.IDLE, 60, "the tracking to end")
    assert get(server.base_url, f"movie/lineage?dataset_name={LONG}").status_code == 404
    folder = server.workspace / "datasets" / LONG / ".lineages"
    (staged,) = folder.glob(".staged-*")
    assert 0 < len(list((staged / "windows").iterdir())) < N_WINDOWS
    *_, end = lines_of(server, asked)
    assert (end["completed"], end["version"], end["n_spots"]) == (True, 1, len(asked["spots"]))
    assert not staged.exists()


def test_planes_are_tracked(server: RunningServer, client: Client) -> None:
    name, found = "lineages/planes", walk(8, 10, seed=4, n_dims=2)
    client.create_dataset(name, np.zeros((10, 32, 32), np.uint16), VOXEL[1:])
    places = zip(found.detections.timepoints, found.detections.positions, strict=True)
    spots = [{"t": int(t), "pos": [x, y, 5.0 * i], "id": i} for i, (t, (_, y, x)) in enumerate(places)]
    *_, end = lines_of(server, {"dataset_name": name, "spots": spots})  # Z says nothing in planes
    solved = GlobalLinker().link(Detections(found.detections.timepoints, found.detections.positions))
    expected = {(int(parent), child) for child, parent in enumerate(solved.parents) if parent >= 0}
    assert {(link["parent"], link["child"]) for link in end["links"]} == expected
