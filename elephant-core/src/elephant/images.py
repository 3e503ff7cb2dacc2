"""Preparing images for networks: median correction, normalisation, rescaling, resampling."""

from typing import Literal, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from elephant.config import ImageParams
from elephant.intensities import log_once, range_of
from elephant.slabs import extremes, in_slabs
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


def normalise(image: NDArray[np.generic], use_median: bool = False, name: str = "") -> Image:
    """Bring the intensities of a whole timepoint to 0..1: ``(v - min) / (max - min)``.

    Outliers of uint8 and uint16, as :func:`elephant.intensities.range_of` finds them, are first clipped to the range of
    the other voxels.

    Parameters
    ----------
    image
        As stored, (Z), Y, X.
    use_median
        Whether to first shift each slice along Z to the volume's median; slices with median 0 are unchanged.
    name
        Of the timepoint, to say once in the log what was clipped; nothing is said without it.

    Returns
    -------
    numpy.ndarray
        float32, of the same shape; all 0 if all intensities are equal.
    """
    normal = np.empty(image.shape, dtype=np.float32)
    image, (low, high), are_outliers = _without_outliers(image, name)
    if use_median and image.ndim == 3:
        _align(image, normal)
        image = normal
        low, high = map(np.float32, extremes(image if are_outliers is None else image[~are_outliers][None]))
        if are_outliers is not None:
            np.clip(image, low, high, out=image)
    if high <= low:
        normal.fill(0)
        return normal
    width = high - low

    def bring(slab: slice) -> None:
        values = normal[slab]
        if image is not normal:
            values[...] = image[slab]
        values -= low
        values /= width

    in_slabs(bring, image.shape)
    return normal


def _without_outliers(
    image: NDArray[np.generic], name: str = ""
) -> tuple[NDArray[np.generic], tuple[np.float32, np.float32], NDArray[np.bool_] | None]:
    """Return an image whose outliers are clipped, its least and largest intensity, and, if there are any, where."""
    if not _has_few_values(image):
        low, high = extremes(image)
        return image, (np.float32(low), np.float32(high)), None
    found = range_of(image)
    limits = np.float32(found.low), np.float32(found.high)
    if not found.has_outliers:
        return image, limits, None
    if name:
        log_once(name, found)
    clipped = found.clip(image)
    return clipped, limits, clipped != image


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
    if not _has_few_values(image):
        return np.asarray(normalise(image) < threshold)
    image, (low, high), _ = _without_outliers(image)
    # Each possible integer is normalised once; normalised values are ascending.
    values = np.arange(int(low), int(high) + 1, dtype=np.float32) - low
    n_below = np.count_nonzero(values / max(high - low, np.float32(1)) < threshold)
    return np.asarray(image < int(low) + n_below)


def _align(volume: NDArray[np.generic], aligned: Image) -> None:
    """Shift each slice along Z to the median of the volume; slices with median 0 are unchanged."""
    overall, medians = _medians(volume)

    def shift(slab: slice) -> None:
        aligned[slab] = volume[slab]
        for plane, median in zip(aligned[slab], medians[slab], strict=True):
            if median != 0:
                np.add(plane, overall - median, out=plane)

    in_slabs(shift, volume.shape)


def _medians(volume: NDArray[np.generic]) -> tuple[np.float32, list[np.float32]]:
    """Return the median of a volume, and those of its slices."""
    if not _has_few_values(volume):
        values = volume.astype(np.float32)
        return np.median(values), [np.median(plane) for plane in values]
    # How often each value occurs says it in one pass.
    n_values = int(extremes(volume)[1]) + 1

    def count(slab: slice) -> tuple[NDArray[np.int64], list[np.float32]]:
        counts = [np.bincount(plane.ravel(), minlength=n_values) for plane in volume[slab]]
        return np.sum(counts, axis=0), [_median_of(of_plane) for of_plane in counts]

    counts, medians = zip(*in_slabs(count, volume.shape), strict=True)
    return _median_of(np.sum(counts, axis=0)), [median for some in medians for median in some]


def _median_of(counts: NDArray[np.int64]) -> np.float32:
    """Return the median of whole numbers from 0 of which it is known how often each occurs."""
    below = np.cumsum(counts)
    middle = np.array([(below[-1] - 1) // 2, below[-1] // 2])
    return np.float32(np.searchsorted(below, middle, side="right").mean())


def _has_few_values(image: NDArray[np.generic]) -> bool:
    return image.dtype.kind == "u" and image.dtype.itemsize <= 2


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


def prepare(image: NDArray[np.generic], params: ImageParams, name: str = "") -> Image:
    """Normalise a whole timepoint, (Z), Y, X, called `name` in the log, and rescale it to the network's input size."""
    return rescale(normalise(image, params.use_median, name), params.input_size)
