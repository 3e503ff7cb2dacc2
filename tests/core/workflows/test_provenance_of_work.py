"""The provenance that each kind of work records."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from core.shipping import uninstall
from core.workflows.methods import ensure_flow_model, ensure_model, reset_flow_model, train, train_flow, train_live
from core.workflows.test_detection import (
    CancelAfter,
    make_dataset,
    pretrained_of,
    replaced,
    reset,
    start_params,
    training_params,
)
from core.workflows.test_live import Script, relabel
from elephant.config import DisplacementParams, FlowTrainingParams, LoopParams, StartParams
from elephant.errors import Cancelled
from elephant.methods.work import ModelWork
from elephant.models.ensemble import Ensemble, ModelCache
from elephant.models.pretrained import ModelSource, Pretrained
from elephant.models.provenance import ProvenanceEntry, is_current, read_provenance
from elephant.models.unet import DetectionNet, FlowNet
from elephant.progress import NeverCancelled, NoReporter
from elephant.training.control import FixedControl
from elephant.types import Link, Spot, Tag


@pytest.fixture
def made(tmp_path: Path) -> tuple[ModelWork, list[Spot]]:
    dataset, spots = make_dataset(tmp_path / "movie-a", (40, 44))
    model_cache = ModelCache(torch.device("cpu"))
    return ModelWork(dataset, tmp_path / "models" / "m.pth", model_cache, NoReporter(), NeverCancelled()), spots


class EndedWhen(FixedControl):
    """Ends a training once something is true."""

    def __init__(self, is_true: Callable[[], bool]) -> None:
        super().__init__(1e-3, 2)
        self._is_true = is_true

    def check(self) -> None:
        if self._is_true():
            raise Cancelled


def last(work: ModelWork | ModelWork) -> ProvenanceEntry:
    entries = read_provenance(work.model_path)
    assert is_current(work.model_path, entries)
    return entries[-1]


def test_starts(made: tuple[ModelWork, list[Spot]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    work, _ = made
    uninstall(monkeypatch)
    reset(work)
    assert (last(work).what, last(work).dataset) == ("intensities", "movie-a")
    reset(work, n_crops=0)
    assert (last(work).what, last(work).dataset) == ("random", None)
    file = tmp_path / "models" / "pretrained" / "versatile2d.pth"
    Ensemble([DetectionNet(2, 0)]).save(file)
    reset(work, ModelSource("Versatile"))
    assert (last(work).what, last(work).source) == ("pretrained", "versatile2d.pth")
    reset(work, ModelSource(file=file))
    assert last(work).what == "upload"
    for name, what in (("Versatile", "pretrained"), ("", "intensities")):
        other = replaced(work, model_path=tmp_path / "models" / f"new{name}.pth")
        pretrained = pretrained_of(work) if name else Pretrained(tmp_path / "nothing")
        ensure_model(other, pretrained, start_params(other))
        assert last(other).what == what


def test_a_training(made: tuple[ModelWork, list[Spot]]) -> None:
    work, spots = made
    reset(work)
    ignored = Spot(0, spots[0].pos, spots[0].covariance, Tag.UNLABELED, 99)
    elsewhere = [Spot(1, spot.pos, spot.covariance, spot.tag, spot.id) for spot in spots[:3]]
    # The last epoch stays, whichever is the best.
    params = training_params(work).model_copy(update={"held_out": 0.0})
    train(work, [*spots, ignored, *elsewhere], params, FixedControl(5e-3, 4), lambda: None)
    entry = last(work)
    assert (entry.what, entry.dataset, entry.timepoints) == ("training", "movie-a", (0, 1))
    assert (entry.annotated, entry.n_annotations) == ("spots", len(spots) + 3)
    assert (entry.epochs, entry.steps, entry.lr, entry.before) == (2, 2 * 8, 5e-3, 1)
    assert entry.loss is not None
    assert 0 < entry.loss < 10


def test_a_stopped_training_records_the_epochs_that_it_saved(made: tuple[ModelWork, list[Spot]]) -> None:
    work, spots = made
    reset(work)
    n_saved = 0

    def saved() -> None:
        nonlocal n_saved
        n_saved += 1
        assert last(work).epochs == n_saved

    with pytest.raises(Cancelled):
        train(work, spots, training_params(work, n_epochs=50), EndedWhen(lambda: n_saved == 3), saved)
    assert (last(work).what, last(work).epochs, n_saved) == ("training", 3, 3)


def test_a_training_that_was_stopped_at_once_records_nothing(made: tuple[ModelWork, list[Spot]]) -> None:
    work, spots = made
    reset(work)
    with pytest.raises(Cancelled):
        train(work, spots, training_params(work), CancelAfter(0), lambda: None)
    assert last(work).what == "intensities"


def test_a_live_session(made: tuple[ModelWork, list[Spot]]) -> None:
    work, spots = made
    reset(work)
    script = Script(relabel(work, spots[:3], 1), relabel(work, spots[:5], 1), relabel(work, spots[:2], 0))
    with pytest.raises(Cancelled):
        train_live(work, [], training_params(work), FixedControl(1e-3, 2), script, lambda: None)
    entry = last(work)
    assert (entry.what, entry.timepoints, entry.n_annotations) == ("live session", (0, 1), 7)
    assert (entry.epochs, entry.steps, entry.lr) == (3, 6, 1e-3)


def test_flow(made: tuple[ModelWork, list[Spot]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    work, spots = made
    uninstall(monkeypatch)
    flow = ModelWork(work.dataset, tmp_path / "models" / "flow.pth", work.model_cache, NoReporter(), NeverCancelled())
    start, pretrained = StartParams(n_dims=2, n_keep_axials=0), pretrained_of(work)
    ensure_flow_model(flow.model_path, pretrained, start)
    assert last(flow).what == "random"
    file = tmp_path / "theirs.pth"
    Ensemble([FlowNet(2, 0)]).save(file)
    reset_flow_model(flow.model_path, flow.model_cache, pretrained, ModelSource(file=file), start, NeverCancelled())
    assert last(flow).what == "upload"
    reset_flow_model(flow.model_path, flow.model_cache, pretrained, ModelSource(), start, NeverCancelled())
    assert last(flow).what == "random"
    params = FlowTrainingParams(
        displacement=DisplacementParams(voxel_size=(2.0, 1.0, 1.0), max_displacement=5, n_keep_axials=0),
        loop=LoopParams(n_crops=2, n_epochs=2, seed=0),
        crop_size=(32, 32),
    )
    links = [Link(0, spot.pos, spot.covariance, np.zeros(3)) for spot in spots]
    train_flow(flow, links, params, FixedControl(1e-3, 2), lambda: None)
    entry = last(flow)
    assert (entry.what, entry.annotated, entry.n_annotations) == ("training", "links", len(spots))
    assert (entry.dataset, entry.timepoints, entry.epochs) == ("movie-a", (0,), 2)
