"""Preparing images for networks: median correction, normalisation, rescaling, resampling."""

from typing import Literal, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from elephant.config import ImageParams
from elephant.types import Shape


def sample_at(
    images: Tensor, positions: Tensor, mode: Literal["bilinear", "nearest"], outside: Literal["border", "zeros"]
) -> Tensor:
    """Sample images at positions.

    Parameters
    ----------
    images
        (N, C, (Z), Y, X).
    positions
        In voxels, (N, (Z'), Y', X', n), the last axis (Z), Y, X.
    mode
        Linear interpolation along all axes, or the nearest voxel.
    outside
        Values outside of the images: those of their border, or 0.

    Returns
    -------
    torch.Tensor
        (N, C, (Z'), Y', X').
    """
    size = torch.tensor(images.shape[2:], dtype=positions.dtype, device=positions.device)
    # grid_sample expects X, Y(, Z), from -1 to 1 between the outer edges of the corner voxels: the centres of both
    # corner voxels would coincide along an axis with one voxel.
    relative = (positions * 2 + 1) / size - 1
    grid = relative.flip(-1).to(images.dtype)
    return functional.grid_sample(images, grid, mode, outside, align_corners=False)


def voxel_positions(size: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return the index of every voxel of an image of `size`, ((Z), Y, X, n), the last axis (Z), Y, X."""
    axes = [torch.arange(s, dtype=dtype, device=device) for s in size]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1)


Image = NDArray[np.float32]
L = TypeVar("L", np.uint8, np.float32)


def normalise(image: NDArray[np.generic], use_median: bool = False) -> Image:
    """Bring the intensities of a whole timepoint to 0..1: ``(v - min) / (max - min)``.

    Parameters
    ----------
    image
        As stored, (Z), Y, X.
    use_median
        Whether to first shift each slice along Z to the volume's median; slices with median 0 are unchanged.

    Returns
    -------
    numpy.ndarray
        float32, of the same shape; all 0 if all intensities are equal.
    """
    values = image.astype(np.float32)
    if use_median and image.ndim == 3:
        _align_medians(values)
    low, high = float(values.min()), float(values.max())
    if high <= low:
        return np.zeros_like(values)
    values -= np.float32(low)
    values /= np.float32(high - low)
    return values


def darker_than(image: NDArray[np.generic], threshold: float) -> NDArray[np.bool_]:
    """Return where an image, normalised as by :func:`normalise`, is below a threshold.

    Parameters
    ----------
    image
        As stored, (Z), Y, X.
    threshold
        Of normalised intensities, 0..1.

    Returns
    -------
    numpy.ndarray
        bool, (Z), Y, X.
    """
    if image.dtype.kind != "u" or image.dtype.itemsize > 2:
        return np.asarray(normalise(image) < threshold)
    # Each possible integer is normalised once; normalised values are ascending.
    low, high = int(image.min()), int(image.max())
    n_below = np.count_nonzero(normalise(np.arange(low, high + 1, dtype=image.dtype)) < threshold)
    return np.asarray(image < low + n_below)


def _align_medians(volume: Image) -> None:
    overall = np.median(volume)
    for z in range(len(volume)):
        median = np.median(volume[z])
        if median != 0:
            volume[z] += overall - median


def rescale(image: Image, size: Shape | None) -> Image:
    """Rescale (Z), Y, X linearly to `size`; voxel centres map as ``(i + 0.5) * ratio - 0.5``."""
    if size is None or image.shape == tuple(size):
        return image
    mode = "trilinear" if image.ndim == 3 else "bilinear"
    out = functional.interpolate(torch.from_numpy(image)[None, None], size=tuple(size), mode=mode)
    return np.asarray(out[0, 0].numpy(), dtype=np.float32)


def rescale_labels(labels: NDArray[L], size: Shape | None) -> NDArray[L]:
    """Rescale (Z), Y, X to `size` by nearest neighbour, with the same voxel centres as :func:`rescale`."""
    if size is None or labels.shape == tuple(size):
        return labels
    out = functional.interpolate(torch.from_numpy(labels)[None, None], size=tuple(size), mode="nearest-exact")
    return np.asarray(out[0, 0].numpy(), dtype=labels.dtype)


def prepare(image: NDArray[np.generic], params: ImageParams) -> Image:
    """Normalise a whole timepoint, (Z), Y, X, and rescale it to the network's input size."""
    return rescale(normalise(image, params.use_median), params.input_size)
