import json
from typing import Any

import numpy as np
import pytest

from elephant.errors import InvalidInputError
from elephant.progress import NeverCancelled
from elephant.types import Box, VoxelSize
from elephant_server.api import methods
from elephant_server.api.parsing import parse
from elephant_server.jobs.records import Outcome
from elephant_server.schemas.flow import FlowPredictBody, FlowResetBody, FlowTrainBody, FlowUpdateBody

COVARIANCE = [4.0, 0.1, 0.2, 0.1, 5, 0.3, 0.2, 0.3, 6]
SPOT = {"id": 7, "pos": [1, 2.5, 3], "covariance": COVARIANCE}
LINK = {"t": 3, "pos": [1, 2.5, 3], "covariance": COVARIANCE, "displacement": [4, 5.5, 6]}
PREDICT = {
    "dataset_name": "d",
    "model_name": "m.pth",
    "timepoint": 2,
    "spots": [SPOT],
    "scales": [0.5, 0.6, 2],
    "max_displacement": 40,
    "n_keep_axials": 6,
}
TRAIN = {
    "dataset_name": "d",
    "model_name": "m.pth",
    "spots": [LINK],
    "scales": [1, 1, 4],
    "crop_size": [96, 80, 16],
    "max_displacement": 12,
    "dim_weights": [1, 2, 5],
}
UPDATE = {"dataset_name": "d", "scales": [1, 1, 4], "spots": [LINK], "max_displacement": 80, "is_3d": True}


def read(model: Any, body: dict[str, Any], **changes: Any) -> Any:
    return parse(model, json.dumps({**body, **changes}))


def test_spots_and_sizes_are_turned_around() -> None:
    body = read(FlowPredictBody, PREDICT, patch=[384, 300, 24], crop_box=[1, 2, 3, 10, 20, 30], input_size=[64, 65, 66])
    params = body.params()
    assert params.prediction.patch == (24, 300, 384)
    assert params.prediction.crop_box == Box((3, 2, 1), (30, 20, 10))
    assert params.prediction.image.input_size == (66, 65, 64)
    assert params.displacement.voxel_size == VoxelSize(2, 0.6, 0.5)
    assert (params.prediction.n_keep_axials, params.displacement.n_keep_axials) == (4, 6)
    assert params.displacement.norm(3) == (40, 40, 40 / 64)
    (spot,) = body.asked(NeverCancelled())
    assert (spot.t, spot.id, spot.pos.tolist()) == (2, 7, [3, 2.5, 1])
    assert spot.covariance[0].tolist() == [6, 0.3, 0.2]


def test_links_are_turned_around() -> None:
    body = read(FlowTrainBody, TRAIN)
    (link,) = body.annotations(NeverCancelled())
    assert (link.t, link.pos.tolist(), link.displacement.tolist()) == (3, [3, 2.5, 1], [6, 5.5, 4])
    assert link.covariance[2].tolist() == [0.2, 0.1, 4]
    assert body.params().crop_size == (16, 80, 96)
    assert body.params().dim_weights == (1, 2, 5)


@pytest.mark.parametrize(("anisotropy", "z_norm"), [(0.5, 160), (1, 80), (2, 40), (2.9, 40), (4, 20), (100, 80 / 128)])
def test_n_keep_axials_follows_from_the_voxels_where_it_is_not_sent(anisotropy: float, z_norm: float) -> None:
    update = read(FlowUpdateBody, UPDATE, scales=[1, 1, anisotropy])
    assert update.labels().norm(3) == (80, 80, z_norm)
    sent = read(FlowUpdateBody, UPDATE, scales=[1, 1, anisotropy], n_keep_axials=1)
    assert sent.labels().norm(3) == (80, 80, 40)
    trained = read(FlowTrainBody, TRAIN, scales=[1, 1, anisotropy]).params()
    assert trained.displacement.norm(3)[2] == pytest.approx(12 / 80 * z_norm)


@pytest.mark.parametrize("z", [0, 1, -3, 24])
def test_in_2d_whatever_stands_at_z_is_ignored(z: int) -> None:
    link = {**LINK, "pos": [1, 2, z], "displacement": [4, 5, z]}
    changes = {"scales": [0.5, 0.6, z], "crop_size": [96, 80, z], "spots": [link], "dim_weights": [1, 1, z]}
    training = read(FlowTrainBody, TRAIN, is_3d=False, **changes)
    assert training.params().crop_size == (80, 96)
    assert training.params().displacement.norm(2) == (12, 12)
    body = read(FlowPredictBody, PREDICT, is_3d=False, scales=[1, 1, z], patch=[30, 20, z], crop_box=[1, 2, z, 3, 4, z])
    assert body.params().prediction.crop_box == Box((2, 1), (4, 3))


def test_a_reset_of_labels_needs_no_links_and_one_of_a_model_no_dataset() -> None:
    assert read(FlowUpdateBody, {"dataset_name": "d", "reset": True}).reset
    body = read(FlowResetBody, {"model_name": "m.pth", "n_keep_axials": -1, "is_3d": False, "url": None})
    assert (body.start().n_dims, body.start().n_keep_axials, body.url) == (2, 0, None)


def test_older_clients_send_less() -> None:
    small = {key: PREDICT[key] for key in ("dataset_name", "model_name", "timepoint", "scales", "spots")}
    body = read(FlowPredictBody, small)
    assert body.params().prediction.batch_size == 1
    assert read(FlowPredictBody, small, spots=[]).asked(NeverCancelled()) == []


def test_an_aborted_prediction_answers_every_spot_where_it_is() -> None:
    body = read(FlowPredictBody, PREDICT, spots=[SPOT, {**SPOT, "id": 9, "pos": [0, 0, 0]}])
    spots = [{"id": 7, "pos": [1, 2.5, 3], "sqdisp": 0}, {"id": 9, "pos": [0, 0, 0], "sqdisp": 0}]
    assert methods.answer_of(body, Outcome(cancelled=True)) == {"spots": spots, "completed": False}
    found = [{"id": 7, "pos": [0.0, 0.0, 0.0], "sqdisp": 1.0}]
    assert methods.answer_of(body, Outcome(result={"spots": found})) == {"spots": found, "completed": True}


def test_what_is_0_in_the_clients_settings_has_a_meaning() -> None:
    body = read(FlowTrainBody, TRAIN, n_epochs=0, dim_weights=[0, 0, 0], cache_maxbytes=0, log_interval=0)
    assert (body.params().loop.n_epochs, body.params().dim_weights, body.cache_maxbytes) == (0, (0, 0, 0), 0)


NOT_POSITIVE = np.diag([1.0, -1, 1]).ravel().tolist()


@pytest.mark.parametrize(
    ("model", "body", "changes", "words"),
    [
        (FlowPredictBody, PREDICT, {"timepoint": -1}, "timepoint"),
        (FlowPredictBody, PREDICT, {"max_displacement": 0}, "max_displacement"),
        (FlowPredictBody, PREDICT, {"spots": [{"pos": [1, 2, 3], "covariance": COVARIANCE}]}, "spots.0.id"),
        (FlowPredictBody, PREDICT, {"spots": [SPOT, {**SPOT, "covariance": NOT_POSITIVE}]}, "spots.1.covariance"),
        (FlowTrainBody, TRAIN, {"spots": []}, "nothing to train"),
        (FlowTrainBody, TRAIN, {"dim_weights": [0, 0, -1]}, "dim_weights"),
        (FlowTrainBody, TRAIN, {"dim_weights": [1, -1, 0]}, "dim_weights"),
        (FlowTrainBody, TRAIN, {"n_crops": 0}, "n_crops"),
        (FlowTrainBody, TRAIN, {"spots": [{**LINK, "covariance": NOT_POSITIVE}]}, "positive definite"),
        (FlowTrainBody, TRAIN, {"spots": [{**LINK, "displacement": [1, 2]}]}, "displacement"),
        (FlowUpdateBody, UPDATE, {"spots": []}, "nothing to update"),
        (FlowUpdateBody, UPDATE, {"spots": [{**LINK, "t": -1}]}, "spots.0.t"),
        (FlowPredictBody, PREDICT, {"n_keep_axials": 32}, "n_keep_axials"),
        (FlowTrainBody, TRAIN, {"n_keep_axials": -2}, "n_keep_axials"),
        (FlowUpdateBody, UPDATE, {"n_keep_axials": 32}, "n_keep_axials"),
        (FlowResetBody, {}, {}, "model_name"),
    ],
)
def test_what_is_wrong_is_said(model: Any, body: dict[str, Any], changes: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidInputError, match=words):
        read(model, body, **changes)


def test_the_paths_and_their_old_names_are_there() -> None:
    from elephant_server.main import create_app
    from elephant_server.settings import Settings

    with create_app(Settings(redis_port=1)).test_client() as client:
        description = client.get("/openapi.json").json
    names = ("predict", "train", "update", "reset")
    assert {f"/flow/{name}" for name in names} | {f"/{name}/flow" for name in names} <= set(description["paths"])
    fields = description["components"]["schemas"]["FlowTrainBody"]["properties"]
    assert set(FlowTrainBody.model_fields) == set(fields)
