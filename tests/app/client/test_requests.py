"""What the client in Python sends is what the server reads: Z, Y, X there and here, X, Y, Z in between."""

import json
from dataclasses import replace
from typing import TypeVar

import numpy as np
import pytest
from pydantic import BaseModel

from client.defaults import body
from elephant.errors import InvalidInputError
from elephant.progress import NeverCancelled
from elephant.tracking import join_spots
from elephant.types import Box, Link, Spot, Tag, VoxelSize
from elephant_server.schemas.dataset import CtcBody
from elephant_server.schemas.detection import SegPredictBody, SegResetBody, SegTrainBody, SegUpdateBody
from elephant_server.schemas.flow import FlowPredictBody, FlowTrainBody, FlowUpdateBody
from elephant_server.schemas.requests import MovieRequests
from elephant_server.schemas.tracks import TracksBody

POS, EARLIER = np.array([20.0, 10.0, 5.0]), np.array([1.0, -2.0, 3.0])
B = TypeVar("B", bound=BaseModel)
COVARIANCE = np.array([[9.0, 0.5, 0.25], [0.5, 4.0, 0.1], [0.25, 0.1, 16.0]])
SPOT = Spot(2, POS, COVARIANCE, Tag.FN, 7)
VOLUMES = MovieRequests("a/volume", (2.0, 0.5, 0.25))
PLANES = MovieRequests("plane", (0.5, 0.25))
FLAT = Spot(0, np.array([0.0, 10.0, 5.0]), np.diag([1.0, 4.0, 9.0]), Tag.TP)


def read(model: type[B], sent: dict) -> B:
    """Return a body as the server reads it."""
    return model.model_validate_json(json.dumps(sent))


def same(spot: Spot, other: Spot) -> bool:
    places = np.array_equal(spot.pos, other.pos) and np.array_equal(spot.covariance, other.covariance)
    return places and (spot.t, spot.tag, spot.id) == (other.t, other.tag, other.id)


def test_annotations_arrive_as_they_were() -> None:
    for model, sent in (
        (SegUpdateBody, VOLUMES.update([SPOT])),
        (SegTrainBody, VOLUMES.train("m.pth", [SPOT])),
    ):
        found = read(model, sent)
        (spot,) = found.annotations(NeverCancelled())
        assert same(spot, SPOT)
        assert (found.dataset_name, found.voxel_size) == ("a/volume", VoxelSize(2, 0.5, 0.25))


def test_links_and_asked_spots_arrive_as_they_were() -> None:
    link = Link(1, POS, COVARIANCE, EARLIER)
    for model, sent in (
        (FlowUpdateBody, VOLUMES.update_flow([link])),
        (FlowTrainBody, VOLUMES.train_flow("f", [link])),
    ):
        (found,) = read(model, sent).annotations(NeverCancelled())
        assert np.array_equal(found.displacement, EARLIER)
        assert np.array_equal(found.pos, POS)
        assert found.t == 1
    (asked,) = read(FlowPredictBody, VOLUMES.predict_flow("f", 2, {3: SPOT})).asked(NeverCancelled())
    assert (asked.id, asked.pos.tolist()) == (3, POS.tolist())


def test_sizes_are_given_as_z_y_x() -> None:
    training = read(SegTrainBody, VOLUMES.train("m", [SPOT], crop_size=(4, 5, 6), n_crops=None)).params()
    assert training.crop_size == (4, 5, 6)
    box = Box((1, 2, 3), (4, 5, 6))
    prediction = read(SegPredictBody, VOLUMES.predict("m", 0, patch=np.array([7, 8, 9]), crop_box=box)).prediction()
    assert (prediction.patch, prediction.crop_box) == ((7, 8, 9), box)


def test_planes_have_no_z() -> None:
    training = read(SegTrainBody, PLANES.train("m", [FLAT], crop_size=(5, 6)))
    assert training.params().crop_size == (5, 6)
    assert training.voxel_size == VoxelSize(1, 0.5, 0.25)
    (spot,) = training.annotations(NeverCancelled())
    assert same(spot, FLAT)
    prediction = read(SegPredictBody, PLANES.predict("m", 0, crop_box=Box((2, 3), (5, 6)))).prediction()
    assert prediction.crop_box == Box((2, 3), (5, 6))


def test_trainings_have_the_defaults_of_the_core() -> None:
    assert read(SegTrainBody, VOLUMES.train("m", [SPOT])).params().crop_size == (16, 96, 96)
    assert read(FlowTrainBody, PLANES.train_flow("m", [Link(0, POS, COVARIANCE, EARLIER)])).params().crop_size == (
        96,
        96,
    )


def test_masks_have_their_values() -> None:
    found = read(CtcBody, VOLUMES.export_ctc([SPOT], [5], 0, 4))
    (nucleus,) = found.nuclei(NeverCancelled())
    assert (nucleus.value, nucleus.spot.pos.tolist()) == (5, POS.tolist())


def test_tracks_have_their_parents() -> None:
    later = replace(SPOT, t=SPOT.t + 1)
    tracks = join_spots([SPOT, later], np.stack([POS, POS]), 1.0)
    found = read(TracksBody, VOLUMES.export_tracks(tracks, "geff"))
    first, second = found.nuclei(NeverCancelled())
    assert (first.id, first.parent, second.parent, second.track) == (0, None, 0, first.track)
    assert (second.t, second.spot.pos.tolist(), second.spot.tag) == (SPOT.t + 1, POS.tolist(), SPOT.tag)
    assert found.format == "geff"


def test_every_field_is_one_that_the_released_client_sends() -> None:
    for name, sent in (
        ("seg/train", VOLUMES.train("m", [SPOT])),
        ("seg/update", VOLUMES.update([SPOT])),
        ("seg/predict", VOLUMES.predict("m", 0)),
        ("seg/reset default", VOLUMES.reset("m")),
        ("flow/train", VOLUMES.train_flow("m", [])),
        ("flow/update", VOLUMES.update_flow([])),
        ("flow/predict", VOLUMES.predict_flow("m", 1, {})),
        ("download/ctc", VOLUMES.export_ctc([], [], 0, 1)),
    ):
        assert sent.keys() - {"wait"} <= body(name, is_3d=True).keys(), name


def test_a_pretrained_model_is_asked_for_by_name() -> None:
    assert read(SegResetBody, VOLUMES.reset("m", url="Versatile", crop_size=(4, 5, 6))).start().crop_size == (4, 5, 6)


def test_wrong_names_and_axes_are_refused() -> None:
    with pytest.raises(InvalidInputError, match="did you mean n_epochs"):
        VOLUMES.train("m", [SPOT], epochs=3)
    with pytest.raises(InvalidInputError, match=r"crop_size: expected 2 numbers, \(Y, X\), got \(4, 5, 6\)"):
        PLANES.train("m", [FLAT], crop_size=(4, 5, 6))
    with pytest.raises(InvalidInputError, match="there is no parameter 'spots'"):
        VOLUMES.predict("m", 0, spots=[])
    with pytest.raises(InvalidInputError, match="Box"):
        VOLUMES.predict("m", 0, crop_box=[0, 0, 0, 1, 1, 1])
    for edges in ((1.0,), (1.0, 0.0), (1.0, float("nan"), 1.0)):
        with pytest.raises(InvalidInputError, match="voxel_size"):
            MovieRequests("d", edges)
