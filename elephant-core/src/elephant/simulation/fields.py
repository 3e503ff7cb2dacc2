"""Smooth light that is computed on a coarse grid and interpolated."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from elephant.types import FloatArray, Shape

Image = NDArray[np.float32]


def grid(shape: Shape, steps: Sequence[int]) -> FloatArray:
    """Return the indices of every `steps`-th voxel of an image, beyond its end too, ((Z), Y, X, n)."""
    axes = [np.arange(0, size + step, step) for size, step in zip(shape, steps, strict=True)]
    index: FloatArray = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).astype(np.float64)
    return index


def stretched(coarse: FloatArray, shape: Shape, steps: Sequence[int]) -> Image:
    """Interpolate the values at a :func:`grid` linearly to an image of `shape`."""
    for axis, (size, step) in enumerate(zip(shape, steps, strict=True)):
        coarse = _along(coarse, axis, size, step)
    return coarse.astype(np.float32)


def _along(coarse: FloatArray, axis: int, size: int, step: int) -> FloatArray:
    place = np.arange(size) / step
    low = place.astype(int)
    share = (place - low).reshape([-1 if i == axis else 1 for i in range(coarse.ndim)])
    first, second = np.take(coarse, low, axis), np.take(coarse, low + 1, axis)
    blended: FloatArray = first + share * (second - first)
    return blended
