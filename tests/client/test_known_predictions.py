"""What was found before is answered again, and ahead of the next question."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests

from client.kinds import STACK, played_on
from client.wire import post, read
from elephant.simulation import preset, simulate
from elephant_server.client import Client, RemoteDataset, ServerError
from elephant_server.schemas.state import ProcessState
from stack.running import RunningServer, wait_until

pytestmark = [pytest.mark.stack, played_on(STACK)]

N_TIMEPOINTS = 12
MOVIE = preset(
    "demo", timepoints=N_TIMEPOINTS, shape=(8, 48, 48), voxel=(2, 1, 1), nuclei=5, cycle=1000, clustering=0, haze=0
)
IMAGES = np.stack([frame.image for frame in simulate(MOVIE)])
VOXEL = (2.0, 1.0, 1.0)
NAME, MODEL, FLOW = "known/movie", "known/detection.pth", "known/flow.pth"
SPOTS = [{"id": i, "pos": [10 + 5 * i, 20, 6], "covariance": [9, 0, 0, 0, 9, 0, 0, 0, 9]} for i in range(3)]


@pytest.fixture(scope="module")
def client(python_client: Client) -> Client:
    return python_client


@pytest.fixture(scope="module")
def movie(client: Client) -> RemoteDataset:
    movie = client.create_dataset(NAME, IMAGES, VOXEL)
    movie.reset(MODEL, n_crops=0, seed=0)
    client.reset_flow(FLOW, seed=0)
    return movie


def seg_body(t: int, **changes: Any) -> dict[str, Any]:
    scales = list(VOXEL[::-1])
    about = {"dataset_name": NAME, "model_name": MODEL, "timepoint": t, "scales": scales, "is_3d": True}
    return {**about, "p_thresh": 0.3, "r_min": 0.1, "input_size": [48, 48, 8], "patch": [48, 48, 8], **changes}


def flow_body(t: int, **changes: Any) -> dict[str, Any]:
    return {**seg_body(t), "model_name": FLOW, "spots": SPOTS, "max_displacement": 10, **changes}


def ask(server: RunningServer, path: str, body: dict[str, Any]) -> bytes:
    answer = post(server.base_url, path, body)
    assert answer.status_code == 200, answer.text
    return answer.content


def counts(client: Client) -> tuple[int, int]:
    """Return how many predictions were answered at once, and computed ahead; they are published in a moment."""
    status = client.status()
    return status.answered_at_once, status.computed_ahead


def wait_for(client: Client, at_once: int, ahead: int = 0) -> None:
    wait_until(lambda: counts(client)[0] >= at_once and counts(client)[1] >= ahead, 60, f"{at_once}, {ahead}")


def test_an_answer_that_is_known_is_the_same_to_the_byte(
    server: RunningServer, client: Client, movie: RemoteDataset
) -> None:
    before = counts(client)[0]
    for path, body in (("seg/predict", seg_body(3)), ("flow/predict", flow_body(3))):
        first = ask(server, path, body)
        assert ask(server, path, body) == first
        # Another key, and nothing else: it is computed.
        assert ask(server, path, {**body, "batch_size": 2}) == first
        assert read(post(server.base_url, path, body))["spots"]
    wait_for(client, before + 4)
    assert counts(client)[0] == before + 4


def test_a_walk_is_computed_ahead_while_the_state_stays_idle(
    server: RunningServer, client: Client, movie: RemoteDataset
) -> None:
    own = {"r_min": 0.2}
    expected = {t: ask(server, "seg/predict", seg_body(t, **own, batch_size=2)) for t in (5, 4, 3)}
    flows = {t: ask(server, "flow/predict", flow_body(t, batch_size=3)) for t in (8, 5)}
    at_once, ahead = counts(client)
    states = set()
    for t in (7, 6):
        ask(server, "seg/predict", seg_body(t, **own))
        states.add(client.state())

    def are_there() -> bool:
        states.add(client.state())
        return counts(client)[1] >= ahead + 4

    wait_until(are_there, 60, "timepoints 5 to 2")
    assert states == {ProcessState.IDLE}
    assert {t: ask(server, "seg/predict", seg_body(t, **own)) for t in (5, 4, 3)} == expected
    wait_for(client, at_once + 3)
    # Backwards, as the client links: what is asked of the flow is not known, but the flow is.
    ahead = counts(client)[1]
    for t in (10, 9):
        ask(server, "flow/predict", flow_body(t, batch_size=4))
    wait_for(client, at_once, ahead + 4)
    assert ask(server, "flow/predict", flow_body(8, batch_size=4)) == flows[8]
    assert ask(server, "flow/predict", flow_body(5, batch_size=4)) == flows[5]


def test_a_model_that_was_trained_is_asked_anew(server: RunningServer, client: Client, movie: RemoteDataset) -> None:
    own = {"r_min": 0.3}
    first = ask(server, "seg/predict", seg_body(1, **own))
    at_once = counts(client)[0]
    movie.train([(1, 6.0, 24.0, 24.0, 5.0)], model=MODEL, n_epochs=1, n_crops=2, crop_size=(8, 32, 32), lr=0.01)
    second = ask(server, "seg/predict", seg_body(1, **own))
    assert second != first
    assert ask(server, "seg/predict", seg_body(1, **own)) == second
    wait_for(client, at_once + 1)
    assert counts(client)[0] == at_once + 1


def test_a_dataset_that_was_made_again_is_asked_anew(server: RunningServer, client: Client) -> None:
    own = {"dataset_name": "known/again", "r_min": 0.4}
    client.create_dataset("known/again", IMAGES[:2], VOXEL)
    first = ask(server, "seg/predict", seg_body(0, **own))
    at_once = counts(client)[0]
    client.create_dataset("known/again", IMAGES[:2, :, ::-1], VOXEL)
    assert ask(server, "seg/predict", seg_body(0, **own)) != first
    assert counts(client)[0] == at_once


def lines_of(server: RunningServer, body: dict[str, Any], n: int | None = None) -> list[dict[str, Any]]:
    """Return the lines of an answer, or the first few of them, after which the connection is closed."""
    found: list[dict[str, Any]] = []
    url = f"{server.base_url}movie/predict"
    with requests.post(url, json=body, stream=True, timeout=60) as answer:
        assert answer.status_code == 200, answer.text
        assert answer.headers["Content-Type"].startswith("application/x-ndjson")
        for text in filter(None, answer.iter_lines(chunk_size=1)):
            found.append(json.loads(text))
            if len(found) == n:
                break
    return found


def movie_body(**changes: Any) -> dict[str, Any]:
    return {name: value for name, value in seg_body(0, **changes).items() if name != "timepoint"}


def test_a_movie_is_answered_line_by_line_and_known_afterwards(
    server: RunningServer, client: Client, movie: RemoteDataset
) -> None:
    own = {"r_min": 0.5}
    single = read(post(server.base_url, "seg/predict", seg_body(4, **own)))
    *lines, end = lines_of(server, movie_body(**own, t_start=2, t_end=6))
    assert end == {"completed": True, "n_timepoints": 5}
    assert [line["t"] for line in lines] == [2, 3, 4, 5, 6]
    assert [line["is_known"] for line in lines] == [False, False, True, False, False]
    assert lines[2]["spots"] == single["spots"]
    *again, end = lines_of(server, movie_body(**own))
    assert [line["t"] for line in again] == list(range(N_TIMEPOINTS))
    assert [line["t"] for line in again if line["is_known"]] == [2, 3, 4, 5, 6]
    assert read(post(server.base_url, "seg/predict", seg_body(11, **own)))["spots"] == again[11]["spots"]


def test_a_movie_in_the_background_goes_on_without_its_client(
    server: RunningServer, client: Client, movie: RemoteDataset
) -> None:
    body = movie_body(r_min=0.6, t_end=7)
    lines_of(server, {**body, "in_background": True}, n=1)
    wait_until(lambda: not client.status().jobs, 60, "the movie")
    *lines, _ = lines_of(server, body)
    assert [line["is_known"] for line in lines] == [True] * 8
    # Without that, what is left ends with the client.
    body = movie_body(r_min=0.7, batch_size=4)
    lines_of(server, body, n=1)
    wait_until(lambda: not client.status().jobs, 60, "the jobs that are left")


def test_an_aborted_movie_goes_on_where_it_was(server: RunningServer, client: Client, movie: RemoteDataset) -> None:
    body = movie_body(r_min=0.8)
    url, found = f"{server.base_url}movie/predict", list[dict[str, Any]]()
    with requests.post(url, json=body, stream=True, timeout=60) as answer:
        for text in filter(None, answer.iter_lines(chunk_size=1)):
            found.append(json.loads(text))
            if len(found) == 1:
                client.abort()
    *done, end = found
    assert end["completed"] is (len(done) == N_TIMEPOINTS)
    *again, end = lines_of(server, body)
    assert end == {"completed": True, "n_timepoints": N_TIMEPOINTS}
    assert {line["t"] for line in done} <= {line["t"] for line in again if line["is_known"]}
    assert [line["spots"] for line in again[: len(done)]] == [line["spots"] for line in done]


def test_a_movie_that_is_refused_says_why(server: RunningServer, client: Client, movie: RemoteDataset) -> None:
    url = server.base_url
    assert "timepoint" in read(post(url, "movie/predict", movie_body(t_end=99)), 400)["error"]
    assert "t_end" in read(post(url, "movie/predict", movie_body(t_start=3, t_end=2)), 400)["error"]
    assert "absent" in read(post(url, "movie/predict", movie_body(dataset_name="absent")), 404)["error"]
    wrong = movie_body(crop_box=[0, 0, 0, 999, 999, 999])
    assert "crop" in read(post(url, "movie/predict", wrong), 400)["error"]
    assert "absent" in read(post(url, "movie/predict", movie_body(method="absent")), 400)["error"]


def test_the_client_in_python_asks_for_runs(client: Client, movie: RemoteDataset) -> None:
    single = {t: movie.predict(t, model=MODEL, r_min=0.9, p_thresh=0.3) for t in (7, 1, 0)}
    found = movie.predict_all([7, 1, 0, 7], model=MODEL, r_min=0.9, p_thresh=0.3)
    assert list(found) == [7, 1, 0]
    assert {t: [s.pos.tolist() for s in spots] for t, spots in found.items()} == {
        t: [s.pos.tolist() for s in spots] for t, spots in single.items()
    }
    assert sorted(movie.predict_all(model=MODEL, r_min=0.9)) == list(range(N_TIMEPOINTS))
    with pytest.raises(ServerError, match="timepoint"):
        movie.predict_all([99], model=MODEL)
    with pytest.raises(ServerError, match="absent"):
        RemoteDataset(movie._transport, movie._follower, "absent", VOXEL).predict_all([0], model=MODEL)


def test_what_is_kept_lies_in_the_workspace(server: RunningServer, movie: RemoteDataset) -> None:
    folder: Path = server.workspace / ".predictions"
    kept = [path for path in folder.rglob("*") if path.is_file()]
    assert kept
    assert not [path for path in kept if path.suffix]
