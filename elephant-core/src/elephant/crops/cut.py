"""Cutting an augmented crop out of a timepoint, or out of two consecutive ones, with one resampling."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from elephant.config import AugmentationParams
from elephant.crops.sample import LabelledVolume, draw
from elephant.images import sample_at, voxel_positions
from elephant.types import Box, FloatArray, Label, Shape

_WITHOUT_FLOAT64 = frozenset({"mps"})


class Resampler:
    """Resamples the voxels of a box that is transformed about its middle.

    Parameters
    ----------
    shape
        Size of the image, voxels, (Z), Y, X.
    box
        The part of it that the crop covers without augmentation; the crop has its size.
    transform
        From offsets in the crop to offsets in the image, both in voxels from the middle, (n, n).
    device
        The device that computes.
    """

    def __init__(self, shape: Shape, box: Box, transform: FloatArray, device: torch.device) -> None:
        half = (np.asarray(box.size) - 1) / 2
        middle = np.asarray(box.origin) + half
        reach = np.abs(transform) @ half
        limit = np.asarray(shape)
        # A rotated crop extends beyond the box: only the block that it covers is sent to the device.
        start = np.clip(np.floor(middle - reach), 0, limit - 1).astype(int)
        stop = np.clip(np.ceil(middle + reach) + 1, start + 1, limit).astype(int)
        self._region = tuple(slice(int(a), int(b)) for a, b in zip(start, stop, strict=True))
        self._device = device
        kind = np.float32 if device.type in _WITHOUT_FLOAT64 else np.float64
        matrix, at, edge, centre = (
            torch.from_numpy(np.asarray(v, dtype=kind)).to(device) for v in (transform, middle, limit, half)
        )
        positions = (voxel_positions(box.size, matrix.dtype, device) - centre) @ matrix.T + at
        self._outside = ((positions < -0.5) | (positions > edge - 0.5)).any(-1)
        self._positions = (positions - torch.from_numpy(start).to(device))[None]

    def linear(self, channels: NDArray[Any]) -> Tensor:
        """Resample images linearly, (C, (Z), Y, X), float32; outside, their border is replicated."""
        return sample_at(self._block(channels), self._positions, "bilinear", "border")[0]

    def nearest(self, channels: NDArray[Any]) -> Tensor:
        """Resample labels by nearest neighbour, (C, (Z), Y, X), float32; outside they are 0."""
        found = sample_at(self._block(channels), self._positions, "nearest", "zeros")[0]
        return found.masked_fill(self._outside, 0)

    def _block(self, channels: NDArray[Any]) -> Tensor:
        block = np.ascontiguousarray(channels[(slice(None), *self._region)])
        return torch.from_numpy(block).to(self._device)[None].float()


_FOREGROUND = (Label.BORDER, Label.CENTRE, Label.FALSE_BORDER, Label.FALSE_CENTRE)
_BACKGROUND = (Label.BACKGROUND, Label.FALSE_BACKGROUND)


@dataclass(frozen=True, slots=True, eq=False)
class LabelledPair:
    """Two consecutive timepoints and the flow labels between them.

    Attributes
    ----------
    images
        The earlier and the later one, each normalised, float32, (2, (Z), Y, X).
    labels
        float32, (n + 1, (Z), Y, X): for the voxels of the later spots the earlier position minus the later one,
        channels X, Y(, Z), over the norm; then a weight, 0 without a label.
    anchors
        As of :class:`elephant.crops.sample.Croppable`: centres of the later spots.
    voxel_size
        Physical size of these voxels, n values, (Z), Y, X.
    norm
        Voxels of these images that a displacement of 1 stands for, n values, X, Y(, Z). Where the images are rescaled,
        they are not those of the stored image, in which labels are given.
    """

    images: NDArray[np.float32]
    labels: NDArray[np.float32]
    anchors: NDArray[np.int64]
    voxel_size: tuple[float, ...]
    norm: tuple[float, ...]

    @property
    def shape(self) -> Shape:
        """Size in voxels, (Z), Y, X."""
        return tuple(self.images.shape[1:])

    @property
    def annotated(self) -> NDArray[np.float32]:
        """The weights, (Z), Y, X."""
        weight: NDArray[np.float32] = self.labels[-1]
        return weight

    @property
    def n_bytes(self) -> int:
        """Memory that it takes."""
        return self.images.nbytes + self.labels.nbytes


@dataclass(frozen=True, slots=True, eq=False)
class Crop:
    """A piece of a timepoint, or of two consecutive ones, for one training step.

    Attributes
    ----------
    images
        float32, (1 or 2, (Z), Y, X), on the training device.
    labels
        Likewise: label values, uint8, ((Z), Y, X); or of a pair displacements as they look in the crop, over the norm,
        then the weight, float32, (n + 1, (Z), Y, X).
    """

    images: Tensor
    labels: Tensor

    @property
    def is_labelled(self) -> bool:
        """Whether it holds a labelled voxel."""
        annotated = self.labels if self.labels.ndim < self.images.ndim else self.labels[-1]
        return bool((annotated > 0).any())


def cut_crop(
    sample: LabelledVolume | LabelledPair,
    crop_size: Shape,
    params: AugmentationParams,
    device: torch.device,
    rng: np.random.Generator,
) -> Crop:
    """Cut a random, augmented crop that holds an annotated spot.

    Both timepoints of a pair, and their displacements, are transformed together; the contrast of a pair is not changed.

    Parameters
    ----------
    sample
        A labelled timepoint, or a pair of timepoints with flow labels.
    crop_size
        Voxels, (Z), Y, X; axes on which the image is smaller get the image's size.
    params
        Ranges of the augmentations.
    device
        Device of the crop.
    rng
        Source of the random choices.

    Raises
    ------
    ValueError
        The sample has no labelled voxel.
    """

    def cut(box: Box, transform: FloatArray) -> Crop:
        resampler = Resampler(sample.shape, box, transform, device)
        return Crop(resampler.linear(sample.images), _labels(sample, resampler, transform))

    crop = draw(sample, crop_size, params, rng, cut)
    return _with_contrast(crop, params, rng) if isinstance(sample, LabelledVolume) else crop


def _labels(sample: LabelledVolume | LabelledPair, resampler: Resampler, transform: FloatArray) -> Tensor:
    if isinstance(sample, LabelledVolume):
        return resampler.nearest(sample.labels[None])[0].round().to(torch.uint8)
    labels = resampler.nearest(sample.labels)
    turned = torch.from_numpy(in_crop(transform, sample.norm)).to(labels) @ labels[:-1].flatten(1)
    labels[:-1] = turned.view_as(labels[:-1])
    return labels


def _with_contrast(crop: Crop, params: AugmentationParams, rng: np.random.Generator) -> Crop:
    """Reduce the contrast between labelled foreground and background, if requested."""
    if not params.aug_contrast:
        return crop
    share = rng.uniform(params.aug_contrast, 1.0)
    if share == 1:
        return crop
    foreground, background = (_is_any_of(crop.labels, values) for values in (_FOREGROUND, _BACKGROUND))
    image = crop.images[0]
    if not bool(foreground.any()) or not bool(background.any()):
        return crop
    bright, dark = image[foreground].mean(), image[background].mean()
    factor = ((bright - dark) * share + dark) / bright.clamp(min=1e-6)
    return Crop(torch.where(foreground, image * factor, image)[None], crop.labels)


def _is_any_of(labels: Tensor, values: tuple[Label, ...]) -> Tensor:
    found = torch.zeros_like(labels, dtype=torch.bool)
    for value in values:
        found |= labels == value
    return found


def in_crop(transform: FloatArray, norm: tuple[float, ...]) -> FloatArray:
    """Return the matrix from a displacement in the image to the same one in the crop, (n, n).

    Parameters
    ----------
    transform
        From offsets in the crop to offsets in the image, in voxels, (n, n), (Z), Y, X.
    norm
        Voxels of the image that a displacement of 1 stands for, X, Y(, Z): the order of the matrix.
    """
    # An offset o of the crop lies at T o in the image: what moves by d there moves by the inverse of T times d here.
    turned = np.linalg.inv(transform)[::-1, ::-1]
    matrix: FloatArray = np.diag(1 / np.asarray(norm)) @ turned @ np.diag(norm)
    return matrix
