"""Painting an ellipsoid onto the voxel grid."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from elephant.geometry.ellipsoid import Ellipsoid
from elephant.types import FloatArray, Shape

GROWTH = 1.1
DEFAULT_MIN_VOXELS = 9


@dataclass(frozen=True, slots=True, eq=False)
class Raster:
    """The voxels of one ellipsoid: a mask over a block of the image.

    Attributes
    ----------
    slices
        Where the block lies in the image, one slice per axis.
    mask
        True where a voxel of the block belongs to the ellipsoid.
    """

    slices: tuple[slice, ...]
    mask: NDArray[np.bool_]

    @property
    def is_empty(self) -> bool:
        """Whether no voxel of the image belongs to the ellipsoid."""
        return self.mask.size == 0

    def indices(self) -> NDArray[np.int64]:
        """Return the indices of the voxels in the image, (voxels, n), in C order."""
        return np.argwhere(self.mask) + np.array([s.start for s in self.slices], dtype=np.int64)


def rasterise(
    ellipsoid: Ellipsoid, scale: Sequence[float], shape: Shape, min_voxels: int = DEFAULT_MIN_VOXELS
) -> Raster:
    """Find the voxels of an image that belong to an ellipsoid.

    A voxel i belongs to it where ``sum_k ((axes_k . (i * scale - centre)) / r_k)^2 < 1``. Small ellipsoids grow: first
    the semi-axes by 1.1 while their bounding box, cut to the image, holds fewer than `min_voxels`, then the threshold
    by 1.1 while fewer voxels qualify. An ellipsoid whose box does not touch the image has no voxels.

    Parameters
    ----------
    ellipsoid
        Physical, over n axes.
    scale
        Voxel size, n values, (Z), Y, X.
    shape
        Size of the image, n values, (Z), Y, X.
    min_voxels
        The least number of voxels, where the image has as many.

    References
    ----------
    Sugawara, Çevrim and Averof, eLife 2022, doi:10.7554/eLife.69380.
    """
    edges = np.asarray(scale, dtype=np.float64)
    box = _cut_box(ellipsoid, edges, shape)
    if _n_voxels(box) == 0:
        return Raster(tuple(slice(0, 0) for _ in shape), np.zeros((0,) * len(shape), dtype=bool))
    while _n_voxels(box) < min_voxels and any(b.start > 0 or b.stop < n for b, n in zip(box, shape, strict=True)):
        ellipsoid = ellipsoid.scaled(GROWTH)
        box = _cut_box(ellipsoid, edges, shape)
    distance = _squared_distance(ellipsoid, edges, box)
    wanted = min(min_voxels, distance.size)
    threshold = 1.0
    mask = distance < threshold
    if np.count_nonzero(mask) < wanted:
        # What is flatter than any nucleus is further away than numbers go: all of that is equally far.
        distance = np.minimum(distance, np.finfo(np.float64).max)
        needed = float(np.partition(distance, wanted - 1, axis=None)[wanted - 1])
        while threshold <= needed:
            threshold *= GROWTH
        mask = distance < threshold
    return Raster(box, mask)


def _cut_box(ellipsoid: Ellipsoid, scale: FloatArray, shape: Shape) -> tuple[slice, ...]:
    # There are thousands of ellipsoids, and these are three numbers each: Python is faster here than NumPy.
    centres, reaches = (ellipsoid.centre / scale).tolist(), (ellipsoid.reach / scale).tolist()
    box = []
    for centre, reach, limit in zip(centres, reaches, shape, strict=True):
        # Clipped as floats first: a position far outside need not have an integer.
        start = math.floor(min(max(centre - reach, 0.0), limit))
        stop = min(max(math.ceil(min(max(centre + reach, -1.0), limit)) + 1, 0), limit)
        box.append(slice(start, max(start, stop)))
    return tuple(box)


def _n_voxels(box: tuple[slice, ...]) -> int:
    return math.prod(s.stop - s.start for s in box)


def _squared_distance(ellipsoid: Ellipsoid, scale: FloatArray, box: tuple[slice, ...]) -> FloatArray:
    """Return the squared distance from the centre in units of the semi-axes, over the box."""
    n = len(box)
    projection = ellipsoid.axes / ellipsoid.radii[:, None]
    offsets = [
        (np.arange(s.start, s.stop) * scale[axis] - ellipsoid.centre[axis]).reshape((-1,) + (1,) * (n - 1 - axis))
        for axis, s in enumerate(box)
    ]
    total: FloatArray = np.zeros([s.stop - s.start for s in box])
    for row in projection:
        along = row[0] * offsets[0]
        for factor, offset in zip(row[1:], offsets[1:], strict=True):
            along = along + factor * offset
        with np.errstate(over="ignore"):
            along *= along
            total += along
    return total
