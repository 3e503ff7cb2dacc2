"""Training a new detection network without annotations, on the intensities of images.

References
----------
Sugawara, Çevrim and Averof, eLife 2022, doi:10.7554/eLife.69380.
"""

import logging
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from elephant.config import StartParams
from elephant.device import mixed_precision
from elephant.models.ensemble import Ensemble, interruptible
from elephant.models.losses import CENTRE_CHANNEL
from elephant.progress import CancelToken, ProgressReporter
from elephant.types import Box, Label, Shape

logger = logging.getLogger(__name__)

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
    optimiser = torch.optim.Adam(model.parameters())
    n_steps = len(params.learning_rates) * params.n_crops
    model.train()
    for step in range(n_steps):
        cancel.check()
        for group in optimiser.param_groups:
            group["lr"] = params.learning_rates[step // params.n_crops]
        crop = _random_crop(images(int(rng.integers(n_timepoints))), params.crop_size[-params.n_dims :], rng)
        x = torch.from_numpy(crop).to(device)[None, None]
        optimiser.zero_grad(set_to_none=True)
        with mixed_precision(device), interruptible(model, cancel):
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
