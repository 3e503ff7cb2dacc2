"""What is chosen before anything is annotated: the scale of a dataset, and the start of a model."""

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor, nn
from torch.nn import functional

from core.workflows.methods import update_labels
from elephant.config import (
    DetectionParams,
    DetectionTrainingParams,
    ImageParams,
    LabelParams,
    PredictionParams,
    SpotParams,
)
from elephant.dataset.opening import open_dataset
from elephant.methods import choosing
from elephant.methods.choosing import LookParams, better_start
from elephant.methods.explained import explain
from elephant.methods.first_look import View, best_scale
from elephant.methods.scale import by_labels, prediction_at_scale, still_valid, training_at_scale
from elephant.methods.work import ModelWork
from elephant.models.ensemble import Ensemble, ModelCache
from elephant.models.provenance import ProvenanceEntry, SeenScale, TrainedWith, read_provenance, record
from elephant.models.provenance_text import details, provenance_of
from elephant.models.unet import DetectionNet
from elephant.progress import NeverCancelled, NoReporter
from elephant.types import DetectedSpot, FloatArray, Spot, Tag, VoxelSize

UNIT = VoxelSize(1.0, 1.0, 1.0)
KNOWN = 7.0  # radius of the nuclei that the network of these tests knows


class KnowsOneSize(nn.Module):
    """Finds bright disks of about one radius, as a trained network does within its range."""

    def __init__(self) -> None:
        super().__init__()
        self.members = nn.ModuleList()
        self.inner = nn.Parameter(_gaussian(KNOWN * 0.5), requires_grad=False)
        self.outer = nn.Parameter(_gaussian(KNOWN * 0.9), requires_grad=False)

    def forward(self, x: Tensor, is_pad: bool = False) -> Tensor:
        del is_pad
        response = _blurred(x, self.inner) - _blurred(x, self.outer)
        centre = torch.sigmoid(60 * (response - 0.17))
        return torch.cat([1 - centre, torch.full_like(centre, 1e-6), centre], dim=1).clamp(min=1e-6).log()


class KnowsNothing(KnowsOneSize):
    """Finds nothing."""

    def forward(self, x: Tensor, is_pad: bool = False) -> Tensor:
        del is_pad
        return torch.cat([torch.ones_like(x), *[torch.full_like(x, 1e-6)] * 2], dim=1).log()


def _gaussian(sigma: float) -> Tensor:
    x = torch.arange(-20, 21, dtype=torch.float32)
    kernel = torch.exp(-(x**2) / (2 * sigma**2))
    return kernel / kernel.sum()


def _blurred(x: Tensor, kernel: Tensor) -> Tensor:
    half = len(kernel) // 2
    rows = functional.conv2d(functional.pad(x, (0, 0, half, half), mode="constant"), kernel.view(1, 1, -1, 1))
    return functional.conv2d(functional.pad(rows, (half, half, 0, 0), mode="constant"), kernel.view(1, 1, 1, -1))


def disks(radius: float, size: int) -> tuple[np.ndarray[Any, np.dtype[np.float32]], FloatArray]:
    """Return an image of separate bright disks, and their centres, (N, 2)."""
    step = 3.2 * radius
    rows = np.arange(step * 0.6, size - step * 0.4, step)
    centres = np.stack(np.meshgrid(rows, rows, indexing="ij"), axis=-1).reshape(-1, 2)
    y, x = np.mgrid[:size, :size]
    image = np.zeros((size, size))
    for row, column in centres:
        image += (y - row) ** 2 + (x - column) ** 2 < radius**2
    noise = np.random.default_rng(0).normal(scale=0.02, size=image.shape)
    return (gaussian_filter(image, 0.7) + noise).astype(np.float32), centres


def spots_at(centres: FloatArray, radius: float) -> list[DetectedSpot]:
    return [DetectedSpot(np.array([0.0, *c]), np.diag([1.0, radius**2, radius**2]), 0.9) for c in centres]


@pytest.mark.parametrize(
    ("radius", "size", "low", "high"), [(3.5, 70, 1.3, 1.8), (7.0, 150, 0.69, 1.01), (14.0, 220, 0.34, 0.75)]
)
def test_the_scale_is_the_one_at_which_nuclei_are_known(radius: float, size: int, low: float, high: float) -> None:
    image, centres = disks(radius, size)
    known = network()
    found = best_scale(View(image, UNIT, 0.5, NeverCancelled()), lambda _: known)
    assert low <= found.rescaling[0] == found.rescaling[1] <= high
    assert len(found.spots) > 0.7 * min(len(centres), 9)


def test_right_nuclei_explain_an_image_better_than_wrong_ones() -> None:
    image, centres = disks(7.0, 120)

    def score(spots: list[DetectedSpot]) -> float:
        return explain(image, spots, (1.0, 1.0), NeverCancelled()).score

    right = score(spots_at(centres, 7.0))
    merged = spots_at((centres[0::2][: len(centres) // 2] + centres[1::2]) / 2, 16.0)
    pieces = spots_at(np.concatenate([centres - 3, centres + 3]), 3.0)
    elsewhere = spots_at(centres + 11, 7.0)
    missed = spots_at(centres[::3], 7.0)
    assert right > 0.9
    assert all(score(spots) < right - 0.1 for spots in (merged, pieces, elsewhere, missed, []))


def test_a_blank_image_has_no_better_scale() -> None:
    known = network()
    blank = np.zeros((40, 40), np.float32)
    assert best_scale(View(blank, UNIT, 0.5, NeverCancelled()), lambda _: known).rescaling == (1.0, 1.0)


@pytest.fixture
def work(tmp_path: Path) -> ModelWork:
    """Give bright, separate disks, and a model that is not there."""
    image, _ = disks(7.0, 96)
    movie = np.stack([np.clip(40 + 200 * image, 0, 255).astype(np.uint8)] * 3)
    dataset = open_dataset(movie, axes="TYX", voxel_size=(1.0, 1.0), quiet=True)
    return ModelWork(
        dataset, tmp_path / "models" / "m.pth", ModelCache(torch.device("cpu")), NoReporter(), NeverCancelled()
    )


PARAMS = DetectionParams(prediction=PredictionParams(), spots=SpotParams(voxel_size=UNIT))
TRAINING = DetectionTrainingParams(labels=LabelParams(voxel_size=UNIT), crop_size=(32, 32))
LARGER = SeenScale(rescaling=(1.5, 1.5))


LOOK = LookParams(2, UNIT, 0.5, ImageParams())
SHIPPED, INTENSITIES = ProvenanceEntry(what="pretrained"), ProvenanceEntry(what="intensities")


def network(*, is_blind: bool = False) -> Ensemble:
    return cast("Ensemble", KnowsNothing() if is_blind else KnowsOneSize())


def test_intensities_are_taken_where_they_explain_the_image_better(
    work: ModelWork, caplog: pytest.LogCaptureFixture
) -> None:
    shipped, rival = (SHIPPED, network(is_blind=True)), (INTENSITIES, network())
    entry, model = better_start(work, shipped, lambda: rival, LOOK)
    assert (entry.what, model) == ("intensities", rival[1])
    assert entry.remark is not None
    assert entry.remark.startswith("nuclei explain the image: the shipped weights 0.05, the start from intensities ")
    assert entry.remark in details(entry)
    assert [r.getMessage() for r in caplog.records if "starts from the intensities of" in r.getMessage()]


class SeesNucleiInNoise(KnowsOneSize):
    """Finds a nucleus wherever a small part of the image happens to be brighter."""

    def forward(self, x: Tensor, is_pad: bool = False) -> Tensor:
        del is_pad
        smooth = _blurred(x, _gaussian(2.0))
        centre = (smooth > smooth.mean() + smooth.std()).float()
        return torch.cat([1 - centre, torch.zeros_like(centre), centre], dim=1).clamp(min=1e-6).log()


def test_what_is_found_in_noise_is_doubted(work: ModelWork, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    noise = np.random.default_rng(0).integers(0, 255, (3, 96, 96), np.uint8)
    dataset = open_dataset(noise, axes="TYX", voxel_size=(1.0, 1.0), quiet=True)
    blind = INTENSITIES, network(is_blind=True)
    better_start(replace(work, dataset=dataset), (SHIPPED, cast("Ensemble", SeesNucleiInNoise())), lambda: blind, LOOK)
    said = [record.getMessage() for record in caplog.records]
    assert said[0].startswith("Looking at how ")  # it takes a while
    assert any("as little as in noise" in message for message in said)
    caplog.clear()
    better_start(work, (SHIPPED, network()), lambda: blind, LOOK)
    assert not any("noise" in record.getMessage() for record in caplog.records)


def test_the_shipped_weights_are_taken_where_they_do_and_nothing_else_is_tried(work: ModelWork) -> None:
    def untrained() -> tuple[ProvenanceEntry, Ensemble]:
        raise AssertionError("a start from intensities, which takes time, was tried")

    shipped = (SHIPPED, network())
    entry, model = better_start(work, shipped, untrained, LOOK)
    assert (entry.what, model) == ("pretrained", shipped[1])
    assert sorted(entry.scales) == [work.dataset.name]
    assert entry.remark is not None
    off = better_start(replace(work, auto_scale=False), shipped, untrained, LOOK)
    assert (off[0].what, off[0].scales) == ("pretrained", {})


def test_nothing_else_is_tried_where_the_shipped_weights_leave_little_to_explain(
    work: ModelWork, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choosing, "_bright_spots", lambda _: 5.0)  # bright spots alone would make a rival
    monkeypatch.setattr(choosing, "_ENOUGH", 0.4)  # the network of these tests explains about half
    rival = INTENSITIES, network(is_blind=True)
    tried: list[int] = []

    def untrained() -> tuple[ProvenanceEntry, Ensemble]:
        tried.append(1)
        return rival

    entry, _ = better_start(work, (SHIPPED, network()), untrained, LOOK)
    assert not tried, entry.remark
    better_start(work, (SHIPPED, network(is_blind=True)), untrained, LOOK)
    assert tried


def begin(work: ModelWork, **facts: Any) -> ProvenanceEntry:
    """Let the model be there, with a provenance."""
    entry = ProvenanceEntry(what="pretrained", **facts)
    Ensemble([DetectionNet(2, 0)]).save(work.model_path, entry)
    return entry


def annotated(radius: float) -> list[Spot]:
    covariance = np.diag([1.0, radius**2, radius**2])
    return [Spot(0, np.array([0.0, 20.0, x]), covariance, Tag.TP) for x in (10.0, 20.0, 30.0, 40.0)]


def test_predictions_and_trainings_see_the_scale_of_the_model(work: ModelWork) -> None:
    begin(work, scales={work.dataset.name: LARGER})
    assert prediction_at_scale(PARAMS, work).prediction.image.input_size == (144, 144)
    assert training_at_scale(TRAINING, work, []).image.input_size == (144, 144)
    off = replace(work, auto_scale=False)
    assert prediction_at_scale(PARAMS, off) == PARAMS
    assert training_at_scale(TRAINING, off, annotated(3.5)) == TRAINING


def test_nuclei_that_were_annotated_before_choose_too(work: ModelWork) -> None:
    labels = LabelParams(voxel_size=UNIT, c_ratio=PARAMS.spots.c_ratio)
    corners = np.array([(0, 24, 24), (0, 24, 72), (0, 72, 24), (0, 72, 72)], dtype=float)
    nuclei = [replace(spot, pos=pos) for spot, pos in zip(annotated(16.0), corners, strict=True)]
    update_labels(work.dataset, nuclei[:2], labels, NoReporter(), NeverCancelled())
    assert by_labels(work.dataset, labels) is None  # two are too few
    update_labels(work.dataset, nuclei, labels, NoReporter(), NeverCancelled())
    begin(work, scales={"another": LARGER})
    # Labels are whole voxels: the radius is about 16 there, and 8 is the nearest that the network knows best.
    assert prediction_at_scale(PARAMS, work).prediction.image.input_size == (48, 48)
    assert provenance_of(work.model_path).scales()[work.dataset.name].basis == "spots"


def test_annotated_nuclei_choose_until_the_model_is_trained(work: ModelWork) -> None:
    begin(work, scales={work.dataset.name: LARGER})
    assert training_at_scale(TRAINING, work, annotated(3.7)).image.input_size == (144, 144)  # near enough
    assert training_at_scale(TRAINING, work, annotated(16.0)).image.input_size == (48, 48)
    assert prediction_at_scale(PARAMS, work).prediction.image.input_size == (48, 48)
    used = TrainedWith(voxel_size=(1.0, 1.0), rescaling=(0.5, 0.5), n_keep_axials=0)
    trained = ProvenanceEntry(what="training", trained_with=used, scales=still_valid(work, used), before=1)
    record(work.model_path, trained)
    assert training_at_scale(TRAINING, work, annotated(7.0)).image.input_size == (48, 48)


def test_another_dataset_gets_a_scale_of_its_own_once(work: ModelWork, caplog: pytest.LogCaptureFixture) -> None:
    begin(work, scales={"another": LARGER})
    with caplog.at_level("INFO"):
        first = prediction_at_scale(PARAMS, work)
        assert prediction_at_scale(PARAMS, work) == first
    looked = [r.getMessage() for r in caplog.records if r.getMessage().startswith("Looking at which scale")]
    assert len(looked) == 1
    assert sorted(read_provenance(work.model_path)[-1].scales) == sorted(["another", work.dataset.name])


def test_models_without_shipped_weights_see_images_as_they_are_stored(work: ModelWork) -> None:
    begin(work)
    assert prediction_at_scale(PARAMS, work) == PARAMS
    assert training_at_scale(TRAINING, work, annotated(3.0)) == TRAINING


def test_a_dataset_that_was_made_again_is_looked_at_again(work: ModelWork) -> None:
    begin(work, scales={work.dataset.name: LARGER.model_copy(update={"shape": (200, 200)})})
    assert prediction_at_scale(PARAMS, work).prediction.image.input_size != (144, 144)
    assert read_provenance(work.model_path)[-1].scales[work.dataset.name].shape == work.dataset.shape
