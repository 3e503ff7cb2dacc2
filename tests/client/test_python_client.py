"""The client in Python: from an array to nuclei, tracks and masks."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from client.kinds import ONE_PROCESS, played_on
from elephant.annotations import read_annotations
from elephant.simulation import preset, simulate
from elephant_server.client import AbortedError, Client, RemoteDataset, ServerError
from elephant_server.schemas.state import ProcessState
from stack.player import masks_of
from stack.running import wait_until

pytestmark = [pytest.mark.stack, played_on(ONE_PROCESS)]

FLAT = preset(
    "flat", timepoints=3, shape=(1, 64, 64), voxel=(1, 1, 1), nuclei=5, cycle=1000, speed=0.4, clustering=0, haze=0
)
FRAMES = list(simulate(FLAT))
ANNOTATED = [(0, *nucleus.spot.pos[1:], 4.5) for nucleus in FRAMES[0].nuclei]
NAME, DETECTION, FLOW = "python/client", "python/detection.pth", "python/flow.pth"
QUICK = {"n_crops": 4, "crop_size": (48, 48), "log_interval": 1}


@pytest.fixture(scope="module")
def client(python_client: Client) -> Client:
    return python_client


@pytest.fixture(scope="module")
def movie(client: Client) -> RemoteDataset:
    """Give a dataset with a model that was trained on its first timepoint."""
    movie = client.create_dataset(NAME, np.stack([frame.image[0] for frame in FRAMES]), (1, 1))
    movie.reset(DETECTION, crop_size=(48, 48), n_crops=1, seed=0)
    movie.train(ANNOTATED, model=DETECTION, n_epochs=6, lr=5e-3, auto_bg_thresh=0.15, seed=0, **QUICK)
    return movie


def test_a_dataset_is_described(client: Client, movie: RemoteDataset) -> None:
    assert NAME in client.datasets()
    assert movie.check((3, 64, 64)) == "ready"
    assert movie.check((4, 64, 64)) != "ready"
    known = movie.describe()
    assert (known.n_timepoints, known.shape, known.labelled) == (3, [64, 64], [0])
    assert client.open_dataset(NAME).voxel_size == (1, 1)


def test_nuclei_tracks_and_masks(client: Client, movie: RemoteDataset, tmp_path: Path) -> None:
    found = movie.predict_all(model=DETECTION, r_min=1)
    assert sorted(found) == [0, 1, 2]
    true = np.array([nucleus.spot.pos for nucleus in FRAMES[2].nuclei])
    assert all(np.linalg.norm(true - spot.pos, axis=1).min() < 4 for spot in found[2] if spot.quality > 0.6)
    tracks = movie.link(found, max_distance=4)
    assert sum(map(len, found.values())) == len(tracks.spots) > 0

    movie.reset(DETECTION, file=_downloaded(client, tmp_path))
    movie.train_flow(tracks, model=FLOW, n_epochs=1, max_displacement=10, **QUICK)
    again = movie.link(found, max_distance=4, model=FLOW, max_displacement=10)
    assert len(again.spots) == len(tracks.spots)
    path = tmp_path / "masks.zip"
    movie.export_ctc(tracks, path)
    masks = masks_of(path.read_bytes())
    assert sorted(masks) == ["mask000.tif", "mask001.tif", "mask002.tif"]
    movie.export_tracks(tracks, tmp_path / "tracks.xml", format="trackmate")
    assert len(read_annotations(tmp_path / "tracks.xml")) == len(tracks.spots)
    numbers = {number for mask in masks.values() for number in np.unique(mask).tolist()} - {0}
    assert numbers <= set(tracks.numbers)


def _downloaded(client: Client, folder: Path) -> Path:
    assert {DETECTION} <= {model.name for model in client.models()}
    client.download_model(DETECTION, folder / "model.pth")
    assert torch.load(folder / "model.pth", weights_only=True)
    return folder / "model.pth"


def test_a_review_is_listed_answered_and_learnt_from(client: Client, movie: RemoteDataset) -> None:
    found = movie.review((0, 1), model=DETECTION, r_min=1, n_places=3)
    assert sorted(one.t for one in found.timepoints) == [0, 1]
    assert 0 < len(found.places) <= 3
    assert found.n_places >= len(found.places)
    errors = [place.errors for place in found.places]
    assert errors[0] == max(errors)
    movie.clear_labels()
    movie.answer_review([(place, False) for place in found.places], model=DETECTION)
    assert set(movie.describe().labelled) == {place.t for place in found.places}
    with pytest.raises(ServerError, match="no model") as caught:
        movie.review((0, 0), model="python/absent.pth")
    assert caught.value.status == 404
    with pytest.raises(ServerError, match="t_end"):
        movie.review((1, 0), model=DETECTION)
    movie.clear_labels()


def test_labels_are_written_and_cleared(movie: RemoteDataset) -> None:
    movie.annotate([(0, 20.0, 20.0, 4.0), (1, 20.0, 20.0, 4.0)])
    assert movie.describe().labelled == [0, 1]
    movie.clear_labels()
    assert movie.describe().labelled == []
    movie.clear_flow_labels()
    assert movie.describe().flow_labelled == []


def test_a_live_session_trains_on_each_annotation(client: Client, movie: RemoteDataset) -> None:
    def saved() -> float:
        return next(model.saved for model in client.models() if model.name == DETECTION)

    before = saved()
    with movie.live(model=DETECTION, **QUICK):
        assert client.state() is ProcessState.RUNNING
        movie.annotate(ANNOTATED)
        wait_until(lambda: saved() > before, 60, "an epoch")
    assert client.state() is ProcessState.IDLE


def test_a_training_is_held_changed_and_aborted(client: Client, movie: RemoteDataset) -> None:
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(movie.train, ANNOTATED, model=DETECTION, n_epochs=100_000, **QUICK)
        try:
            wait_until(lambda: client.state() is ProcessState.RUNNING, 60, "the training")
            assert client.hold() is ProcessState.WAITING
            # Although its worker may be reading the model still.
            assert client.change_params(lr=0.5, n_crops=2).lr == 0.5
            assert client.params().n_crops == 2
            assert client.resume() is ProcessState.RUNNING
        finally:
            client.abort()
        with pytest.raises(AbortedError):
            asked.result(60)
    assert client.state() is ProcessState.IDLE


def test_what_is_refused_says_why(client: Client, movie: RemoteDataset) -> None:
    with pytest.raises(ServerError, match="timepoint") as caught:
        movie.predict(9, model=DETECTION)
    assert caught.value.status == 400
    with pytest.raises(ServerError, match="absent") as caught:
        client.open_dataset("absent")
    assert caught.value.status == 404
    assert caught.value.remedy == "check its name"
    with movie.live(model=DETECTION, **QUICK), pytest.raises(ServerError, match="a process is running"):
        movie.train(ANNOTATED, model=DETECTION)
    with pytest.raises(ServerError), movie.live([(9, 5.0, 5.0, 2.0)], model=DETECTION, **QUICK):
        pass
