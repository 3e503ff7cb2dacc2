"""Cutting an augmented crop of two consecutive timepoints for a flow network."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from elephant.config.training import AugmentationParams
from elephant.crops.draw import draw
from elephant.crops.resample import Resampler
from elephant.types import Box, FloatArray, Shape


@dataclass(frozen=True, slots=True, eq=False)
class LabelledPair:
    """Two consecutive timepoints and the flow labels between them.

    Attributes
    ----------
    images
        The earlier and the later one, each normalised, float32, (2, (Z), Y, X).
    labels
        float32, (n + 1, (Z), Y, X): for the voxels of the later spots the earlier position minus the later one,
        channels X, Y(, Z), over the norm; then a weight, 0 where there is no label.
    anchors
        As of :class:`elephant.crops.volume.Croppable`: centres of the later spots.
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
class FlowCrop:
    """A piece of two consecutive timepoints for one training step.

    Attributes
    ----------
    images
        float32, (2, (Z), Y, X), on the training device.
    labels
        float32, (n + 1, (Z), Y, X), likewise: displacements as they look in the crop, over the norm, then the weight.
    """

    images: Tensor
    labels: Tensor

    @property
    def is_labelled(self) -> bool:
        """Whether it holds a labelled voxel."""
        return bool((self.labels[-1] > 0).any())


def cut_flow_crop(
    pair: LabelledPair,
    crop_size: Shape,
    params: AugmentationParams,
    device: torch.device,
    rng: np.random.Generator,
) -> FlowCrop:
    """Cut a random crop that holds a linked spot, augmented; see :func:`elephant.crops.draw.draw`.

    Both timepoints turn, flip and scale by the same transform, and the displacements with them. The contrast stays.

    Parameters
    ----------
    crop_size
        Voxels, (Z), Y, X; where the image is smaller, the image's.

    Raises
    ------
    ValueError
        The pair has no labelled voxel.
    """

    def cut(box: Box, transform: FloatArray) -> FlowCrop:
        resampler = Resampler(pair.shape, box, transform, device)
        labels = resampler.nearest(pair.labels)
        turned = torch.from_numpy(in_crop(transform, pair.norm)).to(labels) @ labels[:-1].flatten(1)
        labels[:-1] = turned.view_as(labels[:-1])
        return FlowCrop(resampler.linear(pair.images), labels)

    return draw(pair, crop_size, params, rng, cut)


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
