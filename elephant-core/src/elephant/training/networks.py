"""Training the networks: detection on sparse labels, flow on sparse links, and a new detection network on intensities.

References
----------
Sugawara, Çevrim and Averof, eLife 2022, doi:10.7554/eLife.69380.
"""

import logging
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from elephant.config import AugmentationParams, LoopParams, StartParams
from elephant.crops import LabelledPair, LabelledVolume, cut_crop
from elephant.device import mixed_precision
from elephant.models.ensemble import Ensemble, interruptible
from elephant.models.losses import CENTRE_CHANNEL, LossParts
from elephant.progress import CancelToken, ProgressReporter
from elephant.training.loop import Trainer
from elephant.training.optimiser import Adam
from elephant.training.replay import ReplayedNetwork
from elephant.types import Box, Label, Shape

logger = logging.getLogger(__name__)


class CropParams(Protocol):
    """What training on crops needs of the parameters of a training; see :mod:`elephant.config`."""

    @property
    def loop(self) -> LoopParams:
        """Learning rate, batches and epochs."""

    @property
    def augmentation(self) -> AugmentationParams:
        """How much a crop is changed at random."""

    @property
    def crop_size(self) -> Shape:
        """Voxels, (Z), Y, X."""


class CropTrainer(Trainer):
    """Trains the members of an ensemble on crops of labelled timepoints, or of pairs of them.

    Parameters
    ----------
    model
        Its weights are changed in place; on the device that trains.
    samples
        Gives the labelled timepoint, or the pair that begins at a timepoint, to cut crops from.
    params
        The loop, the augmentations and the size of a crop.
    loss
        A function of the network's output, the labels and the images of a batch, that returns
        :class:`elephant.models.losses.LossParts`.
    max_gradient
        Largest gradient norm (L2) of a step; none: unlimited.
    relative_lr
        As of :class:`.Trainer`.
    """

    def __init__(
        self,
        model: Ensemble,
        samples: Callable[[int], LabelledVolume | LabelledPair],
        params: CropParams,
        loss: nn.Module,
        max_gradient: float | None = None,
        *,
        relative_lr: bool = False,
    ) -> None:
        super().__init__(model, params.loop, relative_lr=relative_lr)
        self._samples = samples
        self._params = params
        self._network = ReplayedNetwork(model)
        self._loss = loss.to(self._device)
        self.max_gradient = max_gradient

    def _batch_loss(self, timepoints: Sequence[int], cancel: CancelToken) -> LossParts:
        params = self._params
        crops = [
            cut_crop(self._samples(t), params.crop_size, params.augmentation, self._device, self._rng)
            for t in timepoints
        ]
        images = torch.stack([crop.images for crop in crops])
        output = self._network(images, cancel)
        loss: LossParts = self._loss(output, torch.stack([crop.labels for crop in crops]), images)
        return loss


ImageSource = Callable[[int], NDArray[np.float32]]


def train_on_intensities(
    model: Ensemble,
    images: ImageSource,
    n_timepoints: int,
    params: StartParams,
    reporter: ProgressReporter,
    cancel: CancelToken,
) -> None:
    """Teach a new network that bright is centre and dark is background, on single random crops.

    Parameters
    ----------
    model
        Its weights are changed in place.
    images
        Returns the prepared image of a timepoint, (Z), Y, X, in 0..1.
    n_timepoints
        Number of timepoints to draw from.
    params
        Size and number of crops, and learning rates.
    reporter
        Receives each step: ``progress("step", k, n, loss=...)``.
    cancel
        Asked before each step, and within the network.

    Raises
    ------
    elephant.errors.Cancelled
        From `cancel`.
    """
    rng = np.random.default_rng(params.seed)
    device = next(model.parameters()).device
    optimiser = Adam(model.parameters())
    n_steps = len(params.learning_rates) * params.n_crops
    model.train()
    for step in range(n_steps):
        cancel.check()
        for group in optimiser.param_groups:
            group["lr"] = params.learning_rates[step // params.n_crops]
        crop = _random_crop(images(int(rng.integers(n_timepoints))), params.crop_size[-params.n_dims :], rng)
        x = torch.from_numpy(crop).to(device)[None, None]
        optimiser.zero_grad(set_to_none=True)
        with mixed_precision(device, trains=True), interruptible(model, cancel):
            probability = model(x).float().exp()
        loss = _intensity_loss(probability, x)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        reporter.progress("step", step + 1, n_steps, loss=float(loss.detach()))
        if (step + 1) % params.n_crops == 0:
            logger.info(
                "Initialisation: epoch %d/%d, loss %.4f",
                *((step + 1) // params.n_crops, len(params.learning_rates), float(loss.detach())),
            )
    model.eval()


def _intensity_loss(probability: Tensor, image: Tensor) -> Tensor:
    centre, background = probability[:, CENTRE_CHANNEL, None], probability[:, Label.BACKGROUND.channel, None]
    return (centre - image).abs().mean() + (1 - background - image).abs().mean()


def _random_crop(image: NDArray[np.float32], crop_size: Shape, rng: np.random.Generator) -> NDArray[np.float32]:
    size = tuple(min(c, s) for c, s in zip(crop_size, image.shape, strict=True))
    origin = [int(rng.integers(s - c + 1)) for s, c in zip(image.shape, size, strict=True)]
    return np.ascontiguousarray(image[Box(tuple(origin), size).slices])
