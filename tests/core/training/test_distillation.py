"""A training keeps what a model knew where nothing is annotated, as far as it is told to."""

import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from elephant.config import DetectionTrainingParams, LabelParams
from elephant.crops.sample import LabelledVolume
from elephant.device import choose_precision
from elephant.methods.detection import DETECTION
from elephant.models.ensemble import Ensemble
from elephant.models.losses import DetectionLoss
from elephant.models.provenance import ProvenanceEntry, record
from elephant.models.provenance_text import provenance_of
from elephant.models.unet import DetectionNet
from elephant.training.distillation import DistillationLoss
from elephant.types import VoxelSize

LABELS = torch.zeros(1, 16, 16, dtype=torch.uint8)
LABELS[0, 4:8, 4:8] = 3
LABELS[0, 8:12, 4:8] = 1


@pytest.fixture
def exactly() -> Iterator[None]:
    choose_precision("float32")
    yield
    choose_precision("auto")


def model() -> Ensemble:
    torch.manual_seed(0)
    return Ensemble([DetectionNet(2, 0)])


def test_nothing_is_added_before_the_first_step(exactly: None) -> None:
    network, plain = model().eval(), DetectionLoss(2, (1, 10, 10), 10)
    images = torch.rand(1, 1, 16, 16)
    output = network(images)
    found = DistillationLoss(DetectionLoss(2, (1, 10, 10), 10), network, 1.0)(output, LABELS, images)
    expected = plain(output, LABELS, images)
    torch.testing.assert_close(found.total, expected.total, atol=1e-4, rtol=0)
    assert float(found.parts["known"]) == pytest.approx(0, abs=1e-5)


def test_the_divergence_is_that_of_the_probabilities_without_a_label(exactly: None) -> None:
    network = model().eval()
    images = torch.rand(1, 1, 16, 16)
    loss = DistillationLoss(DetectionLoss(2, (1, 10, 10), 10), network, 3.0)
    before = network(images).exp()
    with torch.no_grad():
        for each in network.parameters():
            each.mul_(1.1)
    output = network(images)
    kl = (before * (before.log() - output)).sum(1)[LABELS == 0].mean()
    found, plain = loss(output, LABELS, images), DetectionLoss(2, (1, 10, 10), 10)(output, LABELS)
    assert float(kl.detach()) > 0.001
    torch.testing.assert_close(found.total, plain.total + 3 * kl, atol=1e-4, rtol=0)


def test_everything_may_be_labelled(exactly: None) -> None:
    network = model().eval()
    images = torch.rand(1, 1, 16, 16)
    found = DistillationLoss(DetectionLoss(2, (1, 10, 10), 10), network, 1.0)(
        network(images), torch.ones_like(LABELS), images
    )
    assert bool(torch.isfinite(found.total))
    assert float(found.parts["known"]) == 0


@pytest.mark.parametrize(
    ("began_trained", "keep_known", "is_kept"),
    [(False, None, False), (True, None, True), (True, 0, False), (False, 2, True)],
)
def test_it_is_for_models_that_began_with_trained_weights_or_as_the_request_says(
    began_trained: bool, keep_known: float | None, is_kept: bool, caplog: pytest.LogCaptureFixture
) -> None:
    network = model()
    network.began_trained = began_trained
    params = DetectionTrainingParams(
        labels=LabelParams(voxel_size=VoxelSize(1, 1, 1)), crop_size=(16, 16), keep_known=keep_known
    )
    volume = LabelledVolume(np.zeros((16, 16), np.float32), LABELS[0].numpy(), np.empty((0, 2), np.int64), (1.0, 1.0))

    class Planes:
        n_dims = 2

    with caplog.at_level(logging.INFO):
        DETECTION.trainer(network, lambda _: volume, params, Planes())  # type: ignore[arg-type]
    assert ("`keep_known`" in caplog.text) == is_kept


@pytest.mark.parametrize(
    ("works", "began_trained"),
    [
        (["pretrained"], True),
        (["pretrained", "training"], True),
        (["upload", "training"], True),
        (["intensities", "training"], False),
        (["pretrained", "random", "training"], False),
        ([], False),
    ],
)
def test_how_a_model_began_is_read_from_its_provenance(tmp_path: Path, works: list[str], began_trained: bool) -> None:
    path = tmp_path / "model.pth"
    path.write_bytes(b"weights")
    for began, what in enumerate(works):
        record(path, ProvenanceEntry(what=what, began=began))  # type: ignore[arg-type]
    assert provenance_of(path).began_trained == began_trained
