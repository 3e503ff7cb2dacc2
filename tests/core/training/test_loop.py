"""The loop itself, with a model whose steps cost nothing."""

import logging
from collections.abc import Sequence

import pytest
import torch

from elephant.config import LoopParams
from elephant.models.ensemble import Ensemble
from elephant.models.losses import LossParts
from elephant.models.unet import DetectionNet, FlowNet
from elephant.progress import CancelToken, NoReporter
from elephant.training import loop
from elephant.training.control import FixedControl
from elephant.training.loop import Trainer


class Idle(Trainer):
    """Keeps the batches that it was asked for."""

    def __init__(self, params: LoopParams) -> None:
        super().__init__(Ensemble([DetectionNet(2, 0)]), params)
        self.batches: list[list[int]] = []

    def _batch_loss(self, timepoints: Sequence[int], cancel: CancelToken) -> LossParts:
        self.batches.append(list(timepoints))
        loss = next(self._model.parameters()).sum() * 0
        return LossParts(loss, {"part": torch.tensor(0.5)})


def run(timepoints: Sequence[int], n_crops: int = 3, **params: int) -> Idle:
    trainer = Idle(LoopParams(n_crops=n_crops, seed=0, **params))
    trainer.run(timepoints, FixedControl(1e-3, n_crops), NoReporter(), lambda: None)
    return trainer


def test_an_epoch_has_so_many_crops_of_each_timepoint_in_random_order() -> None:
    batches = run([4, 7], n_crops=5, batch_size=3, n_epochs=2).batches
    assert [len(batch) for batch in batches] == [3, 3, 3, 1] * 2
    for epoch in (batches[:4], batches[4:]):
        crops = [t for batch in epoch for t in batch]
        assert sorted(crops) == [4] * 5 + [7] * 5
        assert crops != sorted(crops)


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage().split(", loss")[0] for r in caplog.records if r.name == loop.__name__]


def test_log_interval_0_logs_once_an_epoch(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    run([0], n_crops=4, n_epochs=2)
    assert lines(caplog) == ["Training: epoch 1/2, step 4/4", "Training: epoch 2/2, step 4/4"]


def test_log_interval_counts_steps(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "LINE_INTERVAL_S", 0.0)
    caplog.set_level(logging.INFO)
    run([0], n_crops=5, log_interval=2)
    assert [line.split("step ")[1] for line in lines(caplog)] == ["2/5", "4/5", "5/5"]


def test_only_a_few_lines_a_second_are_logged(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "LINE_INTERVAL_S", 1000.0)
    caplog.set_level(logging.INFO)
    run([0], n_crops=5, n_epochs=2, log_interval=1)
    assert [line.split("epoch ")[1] for line in lines(caplog)] == ["1/2, step 1/5", "1/2, step 5/5", "2/2, step 5/5"]


class Steep(Trainer):
    """Has a loss that falls a million per unit of each weight."""

    def _batch_loss(self, timepoints: Sequence[int], cancel: CancelToken) -> LossParts:
        return LossParts(sum(p.sum() for p in self._model.parameters()) * 1e6, {})  # type: ignore[arg-type]

    def lengths(self) -> list[float]:
        self.run([0], FixedControl(0.0, 1), NoReporter(), lambda: None)
        norms = [torch.stack([p.grad.norm() for p in m.parameters()]).norm() for m in self._model.members]
        return [float(norm) for norm in norms]


def test_the_gradient_of_each_member_is_limited_on_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = Steep(Ensemble([DetectionNet(2, 0), DetectionNet(2, 0)]), LoopParams(n_crops=1))
    assert min(trainer.lengths()) > 1e6
    monkeypatch.setattr(Steep, "max_gradient", 0.5)
    assert trainer.lengths() == pytest.approx([0.5, 0.5], rel=1e-3)


@pytest.mark.parametrize("relative", [True, False])
def test_a_relative_learning_rate_changes_the_same_share_of_each_layer(relative: bool) -> None:
    model, lr = Ensemble([FlowNet(2, 0)]), 1e-3
    layers = [layer for layer in model.modules() if list(layer.parameters(recurse=False))]
    torch.nn.init.zeros_(layers[-1].weight)  # it learns all the same
    before = [layer.weight.detach().clone() for layer in layers]
    trainer = Steep(model, LoopParams(n_crops=1), relative_lr=relative)
    trainer.run([0], FixedControl(lr, 1), NoReporter(), lambda: None)
    for layer, old in zip(layers, before, strict=True):
        share = (float(old.square().mean().sqrt()) or 1.0) if relative else 1.0
        assert float((old - layer.weight).detach().abs().mean()) == pytest.approx(lr * share, rel=0.01)
