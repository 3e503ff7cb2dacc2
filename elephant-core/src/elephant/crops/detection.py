"""Cutting an augmented crop for a detection network."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from elephant.config.training import AugmentationParams
from elephant.crops.draw import draw
from elephant.crops.resample import Resampler
from elephant.crops.volume import LabelledVolume
from elephant.types import Box, FloatArray, Shape

_FOREGROUND = (2, 3, 5, 6)
_BACKGROUND = (1, 4)


@dataclass(frozen=True, slots=True, eq=False)
class Crop:
    """A piece of a timepoint for one training step.

    Attributes
    ----------
    image
        float32, (1, (Z), Y, X), on the training device.
    labels
        uint8, ((Z), Y, X), likewise.
    """

    image: Tensor
    labels: Tensor

    @property
    def is_labelled(self) -> bool:
        """Whether it holds a labelled voxel."""
        return bool((self.labels > 0).any())


def cut_crop(
    volume: LabelledVolume,
    crop_size: Shape,
    params: AugmentationParams,
    device: torch.device,
    rng: np.random.Generator,
) -> Crop:
    """Cut a random crop that holds an annotated spot, augmented; see :func:`elephant.crops.draw.draw`.

    Parameters
    ----------
    crop_size
        Voxels, (Z), Y, X; where the image is smaller, the image's.

    Raises
    ------
    ValueError
        The volume has no labelled voxel.
    """

    def cut(box: Box, transform: FloatArray) -> Crop:
        resampler = Resampler(volume.shape, box, transform, device)
        labels = resampler.nearest(volume.labels[None])[0].round().to(torch.uint8)
        return Crop(resampler.linear(volume.image[None]), labels)

    return _with_contrast(draw(volume, crop_size, params, rng, cut), params, rng)


def _with_contrast(crop: Crop, params: AugmentationParams, rng: np.random.Generator) -> Crop:
    """Draw the labelled foreground towards the labelled background, where that is asked for."""
    if not params.aug_contrast:
        return crop
    share = rng.uniform(params.aug_contrast, 1.0)
    if share == 1:
        return crop
    foreground, background = (_is_any_of(crop.labels, values) for values in (_FOREGROUND, _BACKGROUND))
    image = crop.image[0]
    if not bool(foreground.any()) or not bool(background.any()):
        return crop
    bright, dark = image[foreground].mean(), image[background].mean()
    factor = ((bright - dark) * share + dark) / bright.clamp(min=1e-6)
    return Crop(torch.where(foreground, image * factor, image)[None], crop.labels)


def _is_any_of(labels: Tensor, values: tuple[int, ...]) -> Tensor:
    found = torch.zeros_like(labels, dtype=torch.bool)
    for value in values:
        found |= labels == value
    return found
