"""The settings of a model's training are stored, and a warning says when it is used with others."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from core.workflows.methods import detect, displace, train, train_flow, update_labels
from core.workflows.test_detection import make_dataset, training_params
from elephant.config import (
    DetectionParams,
    DisplacementParams,
    FlowParams,
    FlowTrainingParams,
    ImageParams,
    LabelParams,
    LoopParams,
    PredictionParams,
    SpotParams,
)
from elephant.errors import DivergedError
from elephant.methods import compatibility
from elephant.methods.work import ModelWork
from elephant.models.ensemble import Ensemble, ModelCache
from elephant.models.provenance import TrainedWith, read_provenance
from elephant.models.provenance_text import provenance_of
from elephant.models.unet import DetectionNet, FlowNet
from elephant.models.versions import restore
from elephant.progress import NeverCancelled, NoReporter
from elephant.training.control import FixedControl
from elephant.types import Link, Spot

VOXEL = (2.0, 1.0, 1.0)
SHAPE = (40, 44)
CONTROL = FixedControl(1e-3, 1)


@pytest.fixture(autouse=True)
def nothing_said() -> Iterator[None]:
    compatibility._said.clear()
    yield
    compatibility._said.clear()


@pytest.fixture
def made(tmp_path: Path) -> tuple[ModelWork, list[Spot]]:
    dataset, spots = make_dataset(tmp_path / "movie", SHAPE)
    work = ModelWork(
        dataset, tmp_path / "models" / "m.pth", ModelCache(torch.device("cpu")), NoReporter(), NeverCancelled()
    )
    Ensemble([DetectionNet(2, 0)]).save(work.model_path)
    return work, spots


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    found = [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]
    caplog.clear()
    return found


def prediction(**spots: Any) -> DetectionParams:
    return DetectionParams(
        prediction=PredictionParams(image=ImageParams(input_size=(20, 22))),
        spots=SpotParams(**{"voxel_size": VOXEL, "c_ratio": 0.5, **spots}),
    )


def test_a_prediction_that_differs_from_the_training_is_reported_once(
    made: tuple[ModelWork, list[Spot]], caplog: pytest.LogCaptureFixture
) -> None:
    work, spots = made
    params = training_params(work, n_epochs=1, n_crops=1).model_copy(
        update={
            "labels": LabelParams(voxel_size=VOXEL, c_ratio=0.5),
            "image": ImageParams(input_size=(20, 22)),
            "crop_size": (16, 16),
        }
    )
    train(work, spots, params, CONTROL, lambda: None)
    assert provenance_of(work.model_path).trained_with() == TrainedWith(
        voxel_size=(1.0, 1.0), rescaling=(0.5, 0.5), n_keep_axials=0, c_ratio=0.5
    )
    warnings(caplog)
    detect(work, 0, prediction())
    assert warnings(caplog) == []
    for _ in range(2):
        detect(work, 0, prediction(c_ratio=0.4, voxel_size=(2.0, 1.0, 0.5)))
    assert warnings(caplog) == [
        "m.pth was trained with voxel size 1 x 1 (X, Y), c_ratio 0.5, but this prediction has voxel size 0.5 x 1 (X, Y)"
        ", c_ratio 0.4: its results may be wrong; set the same values, or train the model with these"
    ]
    train(work, spots, training_params(work, n_epochs=1, n_crops=1), CONTROL, lambda: None)
    said, *others = warnings(caplog)
    assert not any("was trained with" in other for other in others)  # how well it learns depends on the weights
    assert said.startswith("m.pth was trained with rescaling 0.5 x 0.5 (X, Y)")
    assert "but this training has rescaling 1 x 1 (X, Y)" in said
    restore(work.model_path)
    detect(work, 0, prediction())
    assert warnings(caplog) == []


def test_flow(made: tuple[ModelWork, list[Spot]], caplog: pytest.LogCaptureFixture) -> None:
    detection, spots = made
    work = ModelWork(
        detection.dataset,
        detection.model_path.with_name("flow.pth"),
        detection.model_cache,
        NoReporter(),
        NeverCancelled(),
    )
    Ensemble([FlowNet(2, 0)]).save(work.model_path)
    displacement = DisplacementParams(voxel_size=VOXEL, max_displacement=5)
    params = FlowTrainingParams(displacement=displacement, loop=LoopParams(n_crops=1, n_epochs=1), crop_size=(32, 32))
    far = Spot(1, np.array([0.0, 500.0, 600.0]), np.eye(3), id=9)
    links = [Link(0, spot.pos, spot.covariance, np.zeros(3)) for spot in [*spots, far]]
    train_flow(work, links, params, CONTROL, lambda: None)
    (said,) = warnings(caplog)
    assert said.startswith(
        f"1 of {len(links)} spots are outside the image and label nothing: the first, at timepoint 0"
    )
    assert "is at (600, 500), but the image ends at (43, 39) (X, Y, physical)" in said
    for largest, words in ((5, []), (7, ["max_displacement 5, but this prediction has max_displacement 7"])):
        asked = FlowParams(
            displacement=displacement.model_copy(update={"max_displacement": largest}), prediction=PredictionParams()
        )
        displace(work, 1, spots, asked)
        found = warnings(caplog)
        assert len(found) == len(words)
        assert all(one in other for one, other in zip(words, found, strict=True))
    displace(work, 1, [far], asked)
    (said,) = warnings(caplog)
    assert said.startswith("1 of 1 spots are outside the image and stay where they are")


def test_annotations_outside_are_reported(made: tuple[ModelWork, list[Spot]], caplog: pytest.LogCaptureFixture) -> None:
    work, spots = made
    update_labels(work.dataset, spots, LabelParams(voxel_size=VOXEL), NoReporter(), NeverCancelled())
    assert warnings(caplog) == []
    # As if the voxels were a hundred times as large as they are: what lies far from the origin is outside.
    moved = [Spot(s.t, s.pos * 100, s.covariance, s.tag, s.id) for s in spots]
    update_labels(work.dataset, [*spots, *moved], LabelParams(voxel_size=VOXEL), NoReporter(), NeverCancelled())
    (said,) = warnings(caplog)
    assert said.startswith(f"{len(moved)} of {len(spots) + len(moved)} spots are outside the image and label nothing")
    assert said.endswith("Are the voxel size, 1 x 1, and the dataset correct?")


def test_r_min_above_r_max_is_reported(made: tuple[ModelWork, list[Spot]], caplog: pytest.LogCaptureFixture) -> None:
    work, _ = made
    detect(work, 0, prediction(r_min=6, r_max=5))
    words = "r_min 6 is above r_max 5: nuclei with a semi-axis below 6 are dropped, and the others are reduced to 5"
    assert words in warnings(caplog)
    detect(work, 0, prediction(r_min=5, r_max=5))
    assert not any("is above r_max" in said for said in warnings(caplog))


@pytest.mark.parametrize("n_crops", [1, 4])
def test_a_training_that_diverges_keeps_its_last_good_epoch(made: tuple[ModelWork, list[Spot]], n_crops: int) -> None:
    """The learning rate rises after the second epoch."""
    work, spots = made
    saved: list[bytes] = []

    class Rising(FixedControl):
        def settings(self) -> Any:
            return type(super().settings())(1e-3 if len(saved) < 2 else 1000.0, n_crops)

    with pytest.raises(DivergedError, match=r"its loss rose from .* in epoch 3, with a learning rate \(lr\) of 1000"):
        train(
            work,
            spots,
            training_params(work, n_epochs=20, n_crops=n_crops),
            Rising(1e-3, n_crops),
            lambda: saved.append(work.model_path.read_bytes()),
        )
    assert len(saved) == 2
    assert work.model_path.read_bytes() == saved[-1]
    assert read_provenance(work.model_path)[-1].epochs == 2
