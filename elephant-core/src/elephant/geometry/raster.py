"""Painting an ellipsoid onto the voxel grid."""

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
    while np.count_nonzero(mask) < wanted:
        threshold *= GROWTH
        mask = distance < threshold
    return Raster(box, mask)


def _cut_box(ellipsoid: Ellipsoid, scale: FloatArray, shape: Shape) -> tuple[slice, ...]:
    centre = ellipsoid.centre / scale
    reach = ellipsoid.reach / scale
    limit = np.asarray(shape)
    # Clipped as floats first: a position far outside would overflow an integer.
    start = np.clip(np.floor(centre - reach), 0, limit).astype(int)
    stop = np.clip(np.ceil(centre + reach) + 1, 0, limit).astype(int)
    return tuple(slice(int(a), max(int(a), int(b))) for a, b in zip(start, stop, strict=True))


def _n_voxels(box: tuple[slice, ...]) -> int:
    return int(np.prod([s.stop - s.start for s in box]))


def _squared_distance(ellipsoid: Ellipsoid, scale: FloatArray, box: tuple[slice, ...]) -> FloatArray:
    """Return the squared distance from the centre in units of the semi-axes, over the box."""
    n = len(box)
    projection = ellipsoid.axes / ellipsoid.radii[:, None]
    total: FloatArray = np.zeros([s.stop - s.start for s in box])
    for row in projection:
        along: FloatArray = np.zeros((1,) * n)
        for axis, s in enumerate(box):
            offset = row[axis] * (np.arange(s.start, s.stop) * scale[axis] - ellipsoid.centre[axis])
            along = along + offset.reshape([-1 if a == axis else 1 for a in range(n)])
        total += along**2
    return total
