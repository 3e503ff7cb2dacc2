"""Training a detection network on sparse labels, and a flow network on sparse links."""

from collections.abc import Callable, Sequence

import torch

from elephant.config import DetectionTrainingParams, FlowTrainingParams
from elephant.crops import LabelledPair, LabelledVolume, cut_crop, cut_flow_crop
from elephant.device import mixed_precision
from elephant.models.ensemble import Ensemble, interruptible
from elephant.models.losses import DetectionLoss, FlowLoss, LossParts
from elephant.progress import CancelToken
from elephant.training.loop import Trainer

VolumeSource = Callable[[int], LabelledVolume]


class DetectionTrainer(Trainer):
    """Trains the members of an ensemble on crops of labelled timepoints.

    Parameters
    ----------
    model
        Its weights are changed in place; on the device that trains.
    volumes
        Returns the labelled volume of a timepoint.
    params
        The loop, the augmentations and the loss.
    n_dims
        3 or 2.
    """

    def __init__(self, model: Ensemble, volumes: VolumeSource, params: DetectionTrainingParams, n_dims: int) -> None:
        super().__init__(model, params.loop)
        self._volumes = volumes
        self._params = params
        self._loss = DetectionLoss(n_dims, params.class_weights, params.false_weight).to(self._device)

    def _batch_loss(self, timepoints: Sequence[int], cancel: CancelToken) -> LossParts:
        params = self._params
        crops = [
            cut_crop(self._volumes(t), params.crop_size, params.augmentation, self._device, self._rng)
            for t in timepoints
        ]
        images = torch.stack([crop.image for crop in crops])
        with mixed_precision(self._device), interruptible(self._model, cancel):
            log_prob = self._model(images)
        loss: LossParts = self._loss(log_prob, torch.stack([crop.labels for crop in crops]))
        return loss


PairSource = Callable[[int], LabelledPair]


class FlowTrainer(Trainer):
    """Trains the members of an ensemble on crops of consecutive timepoints.

    Parameters
    ----------
    model
        Its weights are changed in place; on the device that trains.
    pairs
        Returns the labelled pair that begins at a timepoint.
    params
        The loop, the augmentations and the loss.
    norm
        The displacement that an output of 1 stands for, in voxels of the pairs' images, X, Y(, Z).
    """

    # The network has no normalisation: with random weights, the first gradients are about twenty times as large as
    # later ones, and Adam, which divides by their running average, would barely move for hundreds of steps.
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
