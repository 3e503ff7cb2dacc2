"""Training a flow network on sparse links."""

from collections.abc import Callable, Sequence

import torch

from elephant.config.flow import FlowTrainingParams
from elephant.crops import LabelledPair, cut_flow_crop
from elephant.devices import mixed_precision
from elephant.models.ensemble import Ensemble, interruptible
from elephant.models.flow_loss import FlowLoss
from elephant.models.losses import LossParts
from elephant.reporting import CancelToken
from elephant.training.loop import Trainer

PairSource = Callable[[int], LabelledPair]


class FlowTrainer(Trainer):
    """Trains the members of an ensemble on crops of consecutive timepoints.

    Parameters
    ----------
    model
        Its weights are changed in place; on the device that trains.
    pairs
        Gives the labelled pair that begins at a timepoint.
    params
        The loop, the augmentations and the loss.
    norm
        Voxels of the pairs' images that a displacement of 1 stands for, X, Y(, Z).
    """

    # The network has no normalisation: the first gradients from random weights are some twenty times as long as those
    # that follow, and Adam, which divides by what it remembers of them, would stand almost still for hundreds of steps.
    max_gradient = 0.1

    def __init__(self, model: Ensemble, pairs: PairSource, params: FlowTrainingParams, norm: Sequence[float]) -> None:
        super().__init__(model, params.loop)
        self._pairs = pairs
        self._params = params
        self._loss = FlowLoss(params.dim_weights[: len(norm)], norm).to(self._device)

    def _batch_loss(self, timepoints: Sequence[int], cancel: CancelToken) -> LossParts:
        params = self._params
        crops = [
            cut_flow_crop(self._pairs(t), params.crop_size, params.augmentation, self._device, self._rng)
            for t in timepoints
        ]
        images = torch.stack([crop.images for crop in crops])
        with mixed_precision(self._device), interruptible(self._model, cancel):
            flow = self._model(images)
        loss: LossParts = self._loss(flow, torch.stack([crop.labels for crop in crops]), images)
        return loss
