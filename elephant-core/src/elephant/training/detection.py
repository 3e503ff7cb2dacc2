"""Training a detection network on sparse labels."""

from collections.abc import Callable, Sequence

import torch

from elephant.config.training import DetectionTrainingParams
from elephant.crops import LabelledVolume, cut_crop
from elephant.devices import mixed_precision
from elephant.models.ensemble import Ensemble, interruptible
from elephant.models.losses import DetectionLoss, LossParts
from elephant.reporting import CancelToken
from elephant.training.loop import Trainer

VolumeSource = Callable[[int], LabelledVolume]


class DetectionTrainer(Trainer):
    """Trains the members of an ensemble on crops of labelled timepoints.

    Parameters
    ----------
    model
        Its weights are changed in place; on the device that trains.
    volumes
        Gives the labelled volume of a timepoint.
    params
        The loop, the augmentations and the loss.
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
