"""Links to where nuclei were, on the real stack."""

import json
from typing import Any

import numpy as np
import pytest
import requests
import torch
import zarr

import elephant_models
from stack.player import Ears, Player, blobs, filled, reset_body
from stack.running import RunningServer

pytestmark = pytest.mark.stack

SHAPE = (8, 40, 48)
ENDLESS = 100_000
STEP = np.array([0, 2, -3])  # what every nucleus moves from timepoint to timepoint, voxels, Z, Y, X


@pytest.fixture(scope="module")
def player(server: RunningServer) -> Player:
    return Player(server)


@pytest.fixture(autouse=True)
def _leave_it_idle(player: Player) -> object:
    yield
    player.abort()
    player.wait_for_state(0)


@pytest.fixture(scope="module")
def nuclei(player: Player) -> np.ndarray:
    """The dataset `moving`: three timepoints of the same nuclei; their centres at timepoint 1."""
    image, centres = blobs(SHAPE, 8)
    frames = np.stack([np.roll(image, (t - 1) * STEP, axis=(0, 1, 2)) for t in range(3)])
    assert player.make_dataset("moving", frames).json() == {"completed": True}
    reset = filled("flow/reset default", "moving", n_keep_axials=1)
    assert player.post("flow/reset", reset).json() == {"completed": True}
    return centres


def ellipsoid(centre: np.ndarray, radius: float = 4.0) -> dict[str, Any]:
    return {"pos": centre[::-1].tolist(), "covariance": (np.eye(3) * radius**2).ravel().tolist()}


def links(centres: np.ndarray, t: int = 0) -> list[dict[str, Any]]:
    return [{"t": t, **ellipsoid(centre), "displacement": (-STEP[::-1]).tolist()} for centre in centres]


def update_body(centres: np.ndarray, t: int = 0) -> dict[str, Any]:
    return filled("flow/update", "moving", spots=links(centres, t), max_displacement=8)


def train_body(centres: np.ndarray, **changes: Any) -> dict[str, Any]:
    quick = {"spots": links(centres), "max_displacement": 8, "crop_size": [32, 32, 8], "n_crops": 2, "n_epochs": 2}
    augmented = {"n_keep_axials": 1, "aug_scale_factor_base": 0.2, "aug_rotation_angle": 30, "dim_weights": [1, 1, 5]}
    return filled("flow/train", "moving", **{**quick, **augmented, "log_dir": "flow", **changes})


def predict_body(centres: np.ndarray, **changes: Any) -> dict[str, Any]:
    spots = [{"id": 100 + i, **ellipsoid(centre)} for i, centre in enumerate(centres)]
    of_movie = {"timepoint": 1, "spots": spots, "max_displacement": 8, "n_keep_axials": 1}
    return filled("flow/predict", "moving", **{**of_movie, **changes})


def stored(player: Player, name: str) -> np.ndarray:
    return zarr.open_array(player.server.workspace / "datasets/moving" / name, mode="r")[...]


def test_training_and_linking(player: Player, nuclei: np.ndarray) -> None:
    with Ears(player.server) as ears:
        answer = player.post("flow/train", train_body(nuclei))
        assert (answer.status_code, answer.json()) == (200, {"completed": True})
        assert player.state() == 0
        answer = player.post("flow/predict", predict_body(nuclei, output_prediction=True))
        ears.wait_for(lambda e: len(e.heard["update"]) >= 2)
        lines = [entry["message"] for entry in ears.bodies("log")]
    found = answer.json()
    assert (answer.status_code, found["completed"]) == (200, True)
    assert [s["id"] for s in found["spots"]] == [100 + i for i in range(len(nuclei))]
    moved = np.array([s["pos"] for s in found["spots"]]) - nuclei[:, ::-1]
    np.testing.assert_allclose([s["sqdisp"] for s in found["spots"]], (moved**2).sum(1), atol=1e-6)
    assert any(line.startswith("Training: epoch 2/2, step 2/2, loss") for line in lines)
    labels, flow = stored(player, "flow_labels.zarr"), stored(player, "flow_outputs.zarr")
    inside = labels[0, :3, labels[0, 3] > 0]
    np.testing.assert_allclose(inside, np.tile([3 / 8, -2 / 8, 0], (len(inside), 1)), atol=1e-6)
    assert flow[0].any()
    assert not flow[1].any()


def test_labels_are_replaced_and_cleared(player: Player, nuclei: np.ndarray) -> None:
    for path in ("flow/update", "update/flow/"):
        assert player.post(path, update_body(nuclei[:1], t=1)).json() == {"completed": True}
    labels = stored(player, "flow_labels.zarr")
    assert set(np.unique(labels[1, 3])) == {0, 1}
    assert player.post("flow/update", {"dataset_name": "moving", "reset": True}).json() == {"completed": True}
    assert not stored(player, "flow_labels.zarr").any()


def test_every_spot_is_answered(player: Player, nuclei: np.ndarray) -> None:
    """At timepoint 0, none at all, outside of the box and of the movie, by the old name and with a slash."""
    first = player.post("predict/flow/", predict_body(nuclei, timepoint=0)).json()
    assert [s["pos"] for s in first["spots"]] == [s["pos"] for s in predict_body(nuclei)["spots"]]
    assert {s["sqdisp"] for s in first["spots"]} == {0.0}
    assert player.post("flow/predict", predict_body(nuclei[:0])).json() == {"spots": [], "completed": True}
    places = np.array([[4.0, 10, 10], [4, 36, 44], [4, 20, 4000]])
    boxed = player.post("flow/predict", predict_body(places, crop_box=[0, 0, 0, 24, 24, 8])).json()
    assert [s["id"] for s in boxed["spots"]] == [100, 101, 102]
    assert [s["sqdisp"] > 0 for s in boxed["spots"]] == [True, True, False]


def test_a_training_is_held_by_a_prediction_and_aborted(player: Player, nuclei: np.ndarray) -> None:
    training = player.later("flow/train", train_body(nuclei, n_epochs=ENDLESS))
    player.wait_for_state(1)
    refused = player.post("flow/train", train_body(nuclei))
    assert (refused.status_code, "a process is running" in refused.json()["error"]) == (500, True)
    assert player.post("flow/predict", predict_body(nuclei)).json()["completed"] is True
    assert player.post("flow/update", update_body(nuclei)).json() == {"completed": True}
    player.wait_for_state(1)
    assert not training.done()
    player.abort()
    assert training.result(60).json() == {"completed": False}
    weights = torch.load(player.server.workspace / "models" / "flow.pth", weights_only=True)
    assert all(torch.isfinite(value).all() for value in weights.values())


def test_an_aborted_prediction_answers_every_spot_where_it_is(player: Player, nuclei: np.ndarray) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (2, 32, 256, 256), dtype=np.uint16)
    assert player.make_dataset("wide", noise).status_code == 200
    body = predict_body(nuclei, dataset_name="wide", patch=[16, 16, 16])  # a thousand steps
    prediction = player.later("flow/predict", body)
    player.wait_for_state(2)
    player.abort()
    found = prediction.result(60).json()
    assert found["completed"] is False
    assert found["spots"] == [{"id": s["id"], "pos": s["pos"], "sqdisp": 0.0} for s in body["spots"]]


def test_a_model_is_made_on_first_use_and_can_be_uploaded(player: Player, nuclei: np.ndarray) -> None:
    models = player.server.workspace / "models"
    with Ears(player.server) as ears:
        assert player.post("flow/predict", predict_body(nuclei, model_name="new.pth")).json()["completed"] is True
        ears.wait_for(lambda e: any("new.pth did not exist" in m["message"] for m in e.bodies("log")))
    data = json.dumps({"model_name": "copy.pth", "n_keep_axials": 1, "is_3d": True, "url": None})
    url = player.server.base_url + "reset/flow"
    with (models / "new.pth").open("rb") as file:
        answer = requests.post(url, data={"data": data}, files={"file": file}, timeout=60)
    assert answer.json() == {"completed": True}
    sent, kept = (torch.load(models / name, weights_only=True) for name in ("new.pth", "copy.pth"))
    assert all(torch.equal(sent[key], kept[key]) for key in sent)


@pytest.mark.parametrize("name", ["flow3d", "flow2d"])
def test_versatile_is_the_shipped_network(player: Player, name: str) -> None:
    shipped = elephant_models.networks().get(name)
    if shipped is None:
        pytest.skip(f"there is no {name} in elephant-models yet")
    body = {"model_name": f"{name}.pth", "url": "Versatile", "is_3d": name == "flow3d"}
    assert player.post("flow/reset", body).json() == {"completed": True}
    found = torch.load(player.server.workspace / "models" / f"{name}.pth", weights_only=True)
    expected = torch.load(shipped.path, weights_only=True)
    assert all(torch.equal(found[key], value.float()) for key, value in expected.items())


NOWHERE = np.zeros((0, 3))
SOMEWHERE = np.full((1, 3), 4.0)


@pytest.mark.parametrize(
    ("path", "body", "status", "words"),
    [
        ("flow/predict", predict_body(SOMEWHERE, timepoint=3), 400, "timepoint"),
        ("flow/predict", predict_body(SOMEWHERE, dataset_name="absent"), 404, "absent"),
        ("flow/predict", predict_body(SOMEWHERE, crop_box=[0, 0, 0, 999, 9, 9]), 400, "crop box"),
        ("flow/predict", predict_body(SOMEWHERE, is_3d=False), 400, "request is for 2D"),
        ("flow/predict", predict_body(SOMEWHERE, model_name="detection.pth"), 400, "linking needs a flow model for 3D"),
        ("flow/train", train_body(NOWHERE), 400, "nothing to train"),
        ("flow/train", train_body(SOMEWHERE + 5000), 400, "nothing to train"),
        ("flow/train", train_body(SOMEWHERE, model_name="../../x.pth"), 400, "x.pth"),
        ("flow/update", update_body(NOWHERE), 400, "nothing to update"),
        ("flow/update", update_body(SOMEWHERE, t=2), 400, "timepoint"),
    ],
)
def test_what_cannot_be_done_is_explained(
    player: Player, nuclei: np.ndarray, path: str, body: dict[str, Any], status: int, words: str
) -> None:
    if body.get("model_name") == "detection.pth":
        reset = reset_body("moving", crop_size=[16, 16, 8], n_keep_axials=1)
        assert player.post("seg/reset", reset).status_code == 200
    answer = player.post(path, body)
    assert answer.status_code == status, answer.text
    assert words in answer.json()["error"]
    assert words in answer.reason
    assert player.state() == 0
