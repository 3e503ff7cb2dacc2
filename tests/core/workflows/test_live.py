"""A live session on a small dataset, with updates that the tests tell it of."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from core.workflows.methods import reset_model, train_live, update_labels
from core.workflows.test_detection import make_dataset, start_params, training_params, weights
from elephant.errors import Cancelled
from elephant.methods.detection import DETECTION
from elephant.methods.work import ModelWork
from elephant.models.ensemble import ModelCache
from elephant.models.pretrained import ModelSource, Pretrained
from elephant.progress import NeverCancelled, NoReporter
from elephant.training import networks
from elephant.training.control import FixedControl
from elephant.types import FloatArray, Spot, Tag


class Script:
    """Updates that are written one after the other; at their end the session is over."""

    def __init__(self, *updates: Callable[[], dict[int, FloatArray]]) -> None:
        self.left = list(updates)

    def wait(self) -> dict[int, FloatArray]:
        if not self.left:
            raise Cancelled
        return self.left.pop(0)()


class Steps:
    def __init__(self) -> None:
        self.epochs: list[float] = []

    def progress(self, stage: str, done: int, total: int, **values: float) -> None:
        if stage == "step":
            self.epochs.append(values["epoch"])


@pytest.fixture
def made(tmp_path: Path) -> tuple[ModelWork, list[Spot]]:
    dataset, spots = make_dataset(tmp_path / "d", (40, 44))
    model_cache = ModelCache(torch.device("cpu"))
    work = ModelWork(dataset, tmp_path / "m.pth", model_cache, NoReporter(), NeverCancelled())
    reset_model(work, Pretrained(tmp_path), ModelSource(), start_params(work))
    return work, spots


def run(work: ModelWork, spots: list[Spot], script: Script, n_crops: int = 2) -> list[torch.Tensor]:
    saved: list[torch.Tensor] = []
    with pytest.raises(Cancelled):
        train_live(
            work,
            spots,
            training_params(work),
            FixedControl(1e-3, n_crops),
            script,
            lambda: saved.append(weights(work.model_path)),
        )
    return saved


def relabel(work: ModelWork, spots: list[Spot], t: int) -> Callable[[], dict[int, FloatArray]]:
    def update() -> dict[int, FloatArray]:
        moved = [Spot(t, spot.pos, spot.covariance, spot.tag, spot.id) for spot in spots]
        update_labels(work.dataset, moved, training_params(work).labels, NoReporter(), NeverCancelled())
        return {t: DETECTION.positions(moved)}

    return update


def test_without_spots_it_waits_for_the_first_update(made: tuple[ModelWork, list[Spot]]) -> None:
    work, spots = made
    before = weights(work.model_path)
    assert run(work, [], Script()) == []
    assert torch.equal(weights(work.model_path), before)
    assert len(run(work, [], Script(relabel(work, spots, 1)))) == 1
    assert not torch.equal(weights(work.model_path), before)


def test_each_update_is_an_epoch_that_is_saved(made: tuple[ModelWork, list[Spot]]) -> None:
    work, spots = made
    saved = run(work, spots, Script(relabel(work, spots[:3], 1), relabel(work, spots, 0)))
    assert len(saved) == 3
    assert not torch.equal(saved[0], saved[2])
    assert torch.equal(weights(work.model_path), saved[-1])


def test_crops_and_epochs_are_counted(made: tuple[ModelWork, list[Spot]]) -> None:
    work, spots = made
    steps = Steps()
    counted = ModelWork(work.dataset, work.model_path, work.model_cache, steps, work.cancel)
    run(counted, spots, Script(relabel(work, spots, 1)), n_crops=3)
    assert steps.epochs == [1, 1, 1, 2, 2, 2]


def test_the_newest_labels_are_learnt(made: tuple[ModelWork, list[Spot]], monkeypatch: pytest.MonkeyPatch) -> None:
    work, spots = made
    seen: list[set[int]] = []
    cut = networks.cut_crop

    def spy(volume: object, *arguments: object) -> object:
        seen.append(set(np.unique(volume.labels).tolist()))
        return cut(volume, *arguments)

    monkeypatch.setattr(networks, "cut_crop", spy)
    false = [Spot(0, spot.pos, spot.covariance, Tag.FN, spot.id) for spot in spots]
    run(work, spots, Script(relabel(work, false, 0)), n_crops=1)
    assert seen == [{0, 2, 3}, {0, 5, 6}]


def test_a_timepoint_without_labels_is_passed_over(made: tuple[ModelWork, list[Spot]]) -> None:
    work, spots = made
    unlabeled = [Spot(1, spots[0].pos, spots[0].covariance, Tag.UNLABELED)]
    assert len(run(work, [], Script(relabel(work, unlabeled, 1), relabel(work, spots, 0)))) == 1
