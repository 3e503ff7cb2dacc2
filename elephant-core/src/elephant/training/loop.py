"""The training loop, and the detection of divergence."""

import logging
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from statistics import fmean
from typing import Any

import numpy as np
import torch

from elephant.config import LoopParams
from elephant.errors import DivergedError
from elephant.models.ensemble import Ensemble
from elephant.models.losses import LossParts
from elephant.progress import CancelToken, ProgressReporter
from elephant.training.control import TrainingControl
from elephant.training.optimiser import Adam

# A network that is confidently wrong has a loss of three or four; crops of one training differ less than tenfold.
LARGEST_RISE = 10.0
LEAST_LIMIT = 5.0
# Up to this learning rate, a single step of Adam cannot ruin a network.
HARMLESS_LR = 0.01


class Divergence:
    """Remembers the first loss of a training, and raises if the loss explodes."""

    def __init__(self) -> None:
        self._start: float | None = None

    def check(self, loss: float, epoch: int, lr: float, *, is_mean: bool = False) -> None:
        """Check the loss of a step, or the mean of an epoch.

        A step only has to have a finite loss, since the crops of some steps are harder than those of others.

        Raises
        ------
        DivergedError
            The loss is not finite, or it has risen above ten times its start, and above 5.
        """
        if self._start is None and math.isfinite(loss):
            self._start = loss
        if math.isfinite(loss) and not (is_mean and loss > self._limit):
            return
        rise = "" if self._start is None else f" from {self._start:.4g}"
        raise DivergedError(
            f"the training diverged: its loss rose{rise} to {loss:.4g} in epoch {epoch}, with a learning rate (lr) of "
            f"{lr:g}. The model keeps the weights of the last good epoch, {_before(epoch)}: train it with a smaller "
            "learning rate, such as 0.001"
        )

    @property
    def _limit(self) -> float:
        return max(LEAST_LIMIT, LARGEST_RISE * (self._start or 0.0))


def _before(epoch: int) -> str:
    return f"epoch {epoch - 1}" if epoch > 1 else "which is what it held before this training"


logger = logging.getLogger(__name__)

# No one can read more lines per second; the last step of an epoch is always logged.
LINE_INTERVAL_S = 0.2


class Trainer(ABC):
    """Trains the members of an ensemble with Adam on batches of crops; a subclass defines the loss.

    Parameters
    ----------
    model
        Its weights are changed in place; on the device that trains.
    loop
        Learning rate, batches and epochs.
    relative_lr
        Whether the learning rate of each layer is relative to the size of its weights, as they are now.

    Attributes
    ----------
    max_gradient
        Largest gradient norm (L2) of a step; none: unlimited.
    """

    max_gradient: float | None = None

    def __init__(self, model: Ensemble, loop: LoopParams, *, relative_lr: bool = False) -> None:
        self._model = model
        self._loop = loop
        self._device = next(model.parameters()).device
        groups = _relative(model) if relative_lr else [{"params": list(model.parameters()), "share": 1.0}]
        self._optimiser = Adam(groups, lr=loop.lr, fused=True)
        self._lr = loop.lr  # of the last step
        self._rng = np.random.default_rng(loop.seed)
        self._logged_at = -LINE_INTERVAL_S
        self._replayed: Sequence[int] = ()
        self._owed = 0.0  # crops of these
        self._divergence = Divergence()

    @abstractmethod
    def _batch_loss(self, timepoints: Sequence[int], cancel: CancelToken) -> LossParts:
        """Cut a crop of each timepoint, run the model on them and return the loss."""

    def replay(self, timepoints: Sequence[int]) -> None:
        """Let further steps also learn from crops of other timepoints, as many as the parameters say."""
        self._replayed = timepoints

    def run(
        self,
        timepoints: Sequence[int],
        control: TrainingControl,
        reporter: ProgressReporter,
        after_epoch: Callable[[], None],
    ) -> None:
        """Train for the epochs of the parameters; each step and epoch uses the current settings.

        Raises
        ------
        elephant.errors.DivergedError
            The loss exploded; `after_epoch` has been called for every epoch before.
        elephant.errors.Cancelled
            `control` asked for the end; `after_epoch` has been called for every finished epoch.
        """
        for epoch in range(1, self._loop.n_epochs + 1):
            self.run_epoch(timepoints, control, reporter, epoch, self._loop.n_epochs)
            after_epoch()

    def run_epoch(
        self,
        timepoints: Sequence[int],
        control: TrainingControl,
        reporter: ProgressReporter,
        epoch: int,
        n_epochs: int | None = None,
    ) -> None:
        """Train for one epoch, the `epoch`-th of `n_epochs`, or of an open number.

        Raises
        ------
        elephant.errors.DivergedError
            The loss exploded: the weights in memory are useless.
        elephant.errors.Cancelled
            `control` asked for the end.
        """
        self._model.train()
        batches = self._batches(timepoints, control.settings().n_crops)
        before, total = (0, 1) if n_epochs is None else (epoch - 1, n_epochs)
        counted = f"{epoch}" if n_epochs is None else f"{epoch}/{n_epochs}"
        losses: list[float] = []
        for step, batch in enumerate(batches, start=1):
            control.check()
            values = self._step(batch, control)
            self._divergence.check(values["loss"], epoch, self._lr)
            losses.append(values["loss"])
            done = before * len(batches) + step
            reporter.progress("step", done, total * len(batches), epoch=epoch, **values)
            self._log(counted, step, len(batches), values)
        self._divergence.check(fmean(losses), epoch, self._lr, is_mean=True)
        if self._lr > HARMLESS_LR:  # the loss of the last step was computed before it
            with torch.no_grad():
                after = float(self._batch_loss(batches[-1], control).total)
            self._divergence.check(after, epoch, self._lr, is_mean=True)
        self._model.eval()

    def _batches(self, timepoints: Sequence[int], n_crops: int) -> list[list[int]]:
        """Return the timepoint of each crop of an epoch in random order, in groups of a step."""
        order = self._rng.permutation(np.repeat(list(timepoints), max(n_crops, 1)))
        size = self._loop.batch_size
        return [order[i : i + size].tolist() for i in range(0, len(order), size)]

    def _step(self, timepoints: Sequence[int], control: TrainingControl) -> dict[str, float]:
        self._lr = control.settings().lr
        for group in self._optimiser.param_groups:
            group["lr"] = self._lr * group["share"]
        self._optimiser.zero_grad(set_to_none=True)
        loss = self._batch_loss(timepoints, control)
        loss.total.backward()  # type: ignore[no-untyped-call]
        self._replay(len(timepoints), control)
        self._limit_gradients()
        self._optimiser.step()
        return {
            "loss": float(loss.total.detach()),
            **{name: float(value) for name, value in loss.parts.items()},
        }

    def _replay(self, n_crops: int, cancel: CancelToken) -> None:
        """Add the gradients of crops that are replayed, each of which counts as much as one of the step's own.

        They go through the network by themselves, so that a step needs no more memory.
        """
        if not self._replayed:
            return
        self._owed += self._loop.replay * n_crops
        n = int(self._owed)
        self._owed -= n
        if n:
            loss = self._batch_loss(self._rng.choice(self._replayed, n).tolist(), cancel)
            (loss.total * (n / n_crops)).backward()  # type: ignore[no-untyped-call]

    def _limit_gradients(self) -> None:
        """Clip the gradient of each member to `max_gradient`, if set; members learn independently."""
        if self.max_gradient is None:
            return
        for member in self._model.members:
            torch.nn.utils.clip_grad_norm_(member.parameters(), self.max_gradient)

    def _log(self, epoch: str, step: int, n_steps: int, values: dict[str, float]) -> None:
        interval = self._loop.log_interval or n_steps
        is_last, now = step == n_steps, time.monotonic()
        if not is_last and (step % interval or now - self._logged_at < LINE_INTERVAL_S):
            return
        self._logged_at = now
        parts = " ".join(f"{name} {value:.4f}" for name, value in values.items() if name != "loss")
        logger.info(
            "Training: epoch %s, step %d/%d, loss %.4f (%s)",
            *(epoch, step, n_steps, values["loss"], parts),
        )


def _relative(model: torch.nn.Module) -> list[dict[str, Any]]:
    """Return the parameters of each layer, and the root mean square of its weights as their share of the learning rate.

    A step of Adam changes each weight by about the learning rate, however small the weight is. With these shares, a
    step changes every layer by the same part of its size. A layer of zeros learns at the learning rate itself.

    References
    ----------
    You et al., ICLR 2020, arXiv:1904.00962: trust ratios.
    """
    groups = []
    for layer in model.modules():
        own = list(layer.parameters(recurse=False))
        if own:
            share = float(max(own, key=torch.numel).detach().square().mean().sqrt()) or 1.0
            groups.append({"params": own, "share": share})
    return groups
