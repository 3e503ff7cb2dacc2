"""Changing a model that another process is changing is refused, and changes nothing."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from core.workflows.methods import reset_flow_model, reset_model, train, train_flow, train_live
from core.workflows.test_detection import make_dataset, pretrained_of, start_params, training_params
from core.workflows.test_live import Script
from elephant.cli.models import import_model
from elephant.config import DisplacementParams, FlowTrainingParams, StartParams
from elephant.errors import InUseError
from elephant.methods.work import ModelWork
from elephant.models.ensemble import Ensemble, ModelCache
from elephant.models.lock import writing
from elephant.models.pretrained import ModelSource
from elephant.models.unet import DetectionNet
from elephant.models.versions import restore, versions
from elephant.progress import NeverCancelled, NoReporter
from elephant.training.control import FixedControl
from elephant.types import Link, Spot

Made = tuple[ModelWork, list[Spot]]
CONTROL = FixedControl(1e-3, 1)


@pytest.fixture
def made(tmp_path: Path) -> Made:
    dataset, spots = make_dataset(tmp_path / "movie", (40, 44))
    work = ModelWork(
        dataset, tmp_path / "models" / "m.pth", ModelCache(torch.device("cpu")), NoReporter(), NeverCancelled()
    )
    for _ in range(2):
        Ensemble([DetectionNet(2, 0)]).save(work.model_path)
    return work, spots


@pytest.fixture
def in_use(made: Made) -> Iterator[None]:
    """Let another thread train the model."""
    path, held, done = made[0].model_path, threading.Event(), threading.Event()

    def hold() -> None:
        with writing(path, "a training"):
            held.set()
            done.wait(60)

    thread = threading.Thread(target=hold)
    thread.start()
    assert held.wait(60)
    yield
    done.set()
    thread.join(60)


def flow_of(work: ModelWork) -> ModelWork:
    return ModelWork(work.dataset, work.model_path, work.model_cache, NoReporter(), NeverCancelled())


def do_train_flow(work: ModelWork, spots: list[Spot]) -> None:
    displacement = DisplacementParams(voxel_size=(2.0, 1.0, 1.0), max_displacement=5)
    params = FlowTrainingParams(displacement=displacement, crop_size=(32, 32))
    links = [Link(0, spot.pos, spot.covariance, np.zeros(3)) for spot in spots]
    train_flow(flow_of(work), links, params, CONTROL, lambda: None)


def do_train_live(work: ModelWork, spots: list[Spot]) -> None:
    train_live(work, spots, training_params(work), CONTROL, Script(), lambda: None)


def do_reset_flow(work: ModelWork, _spots: list[Spot]) -> None:
    start = StartParams(n_dims=2)
    reset_flow_model(work.model_path, work.model_cache, pretrained_of(work), ModelSource(), start, NeverCancelled())


def do_import(work: ModelWork, _spots: list[Spot]) -> None:
    import_model(work.model_path, str(work.model_path), None, overwrite=True, as_json=True)


CHANGES: dict[str, Callable[[ModelWork, list[Spot]], object]] = {
    "a training": lambda work, spots: train(work, spots, training_params(work), CONTROL, lambda: None),
    "a live session": do_train_live,
    "a training of flow": do_train_flow,
    "a reset": lambda work, _: reset_model(work, pretrained_of(work), ModelSource(), start_params(work)),
    "a reset of flow": do_reset_flow,
    "a restoring": lambda work, _: restore(work.model_path),
    "an import": do_import,
}


@pytest.mark.usefixtures("in_use")
@pytest.mark.parametrize("change", CHANGES)
def test_a_second_change_is_refused(made: Made, change: str) -> None:
    work, spots = made
    before = work.model_path.read_bytes(), versions(work.model_path)
    with pytest.raises(InUseError, match=r"m\.pth is being trained by process \d+"):
        CHANGES[change](work, spots)
    assert (work.model_path.read_bytes(), versions(work.model_path)) == before
    assert not work.dataset.read_labels(0).any()
    assert not work.dataset.read_flow_labels(0).any()
