"""Ellipsoids on the voxel grid, and rasterising them."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from elephant.errors import InvalidInputError
from elephant.progress import CancelToken, NeverCancelled
from elephant.types import FloatArray, Link, Shape, Spot


@dataclass(frozen=True, slots=True, eq=False)
class Ellipsoid:
    """A solid ellipsoid over the last n axes of an image.

    Attributes
    ----------
    centre
        Physical position, (n,), (Z), Y, X.
    radii
        Semi-axes in physical units, (n,), ascending.
    axes
        Unit vectors of the semi-axes as rows, (n, n), each (Z), Y, X.
    """

    centre: FloatArray
    radii: FloatArray
    axes: FloatArray

    @classmethod
    def from_spot(cls, spot: Spot | Link, n_dims: int) -> Self:
        """Decompose the covariance of a spot, or of a link's later one, keeping its last `n_dims` axes.

        Raises
        ------
        InvalidInputError
            The covariance is not positive definite over these axes.
        """
        return cls.from_spots([spot], n_dims)[0]

    @classmethod
    def from_spots(cls, spots: Sequence[Spot | Link], n_dims: int) -> list[Self]:
        """Decompose the covariances of many spots at once, keeping their last `n_dims` axes; each only the first time.

        Raises
        ------
        InvalidInputError
            A covariance is not positive definite over these axes.
        """
        new = [spot for spot in spots if spot.decomposed is None or len(spot.decomposed[0]) != n_dims]
        if new:
            _decompose(new, n_dims)
        return [cls(spot.pos[3 - n_dims :], *spot.decomposed) for spot in spots if spot.decomposed is not None]

    def scaled(self, factor: float) -> "Ellipsoid":
        """Return the ellipsoid with its semi-axes times `factor`."""
        return Ellipsoid(self.centre, self.radii * factor, self.axes)

    @property
    def reach(self) -> FloatArray:
        """Half the size of the axis-parallel box around the oriented box of half-widths `radii`, (n,), physical."""
        reach: FloatArray = np.abs(self.axes).T @ self.radii
        return reach


def _decompose(spots: Sequence[Spot | Link], n_dims: int) -> None:
    """Let spots know their semi-axes over the last `n_dims` axes."""
    covariances = np.stack([spot.covariance[3 - n_dims :, 3 - n_dims :] for spot in spots])
    eigenvalues, eigenvectors = np.linalg.eigh(covariances / 2 + covariances.swapaxes(1, 2) / 2)
    is_sound = (eigenvalues[:, 0] > 0) & (eigenvalues[:, -1] < np.inf)  # nor where numbers end
    if not is_sound.all():
        wrong = int(np.argmin(is_sound))
        spot, values = spots[wrong], eigenvalues[wrong]
        raise InvalidInputError(
            f"the spot at timepoint {spot.t}, position {spot.pos[::-1].tolist()} (X, Y, Z), needs a positive definite "
            f"covariance, but its eigenvalues are {values.tolist()}: delete it and draw it again"
        )
    for spot, *found in zip(spots, np.sqrt(eigenvalues), eigenvectors.swapaxes(1, 2), strict=True):
        object.__setattr__(spot, "decomposed", tuple(found))


GROWTH = 1.1
DEFAULT_MIN_VOXELS = 9
_MOST_AT_ONCE = 1 << 22  # voxels: distances take three times eight bytes each


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """The part of an image in which the voxels of one ellipsoid lie.

    Attributes
    ----------
    slices
        One slice per axis.
    """

    slices: tuple[slice, ...]

    @property
    def is_empty(self) -> bool:
        """Whether no voxel of the image belongs to the ellipsoid."""
        return _n_voxels(self.slices) == 0


@dataclass(frozen=True, slots=True, eq=False)
class Raster(Block):
    """The voxels of one ellipsoid: a mask over a block of the image.

    Attributes
    ----------
    slices
        The block in the image, one slice per axis.
    mask
        True where a voxel of the block belongs to the ellipsoid.
    """

    mask: NDArray[np.bool_]

    def indices(self) -> NDArray[np.int64]:
        """Return the indices of the voxels in the image, (voxels, n), in C order."""
        return np.argwhere(self.mask) + np.array([s.start for s in self.slices], dtype=np.int64)


def block_of(ellipsoid: Ellipsoid, scale: Sequence[float], shape: Shape) -> Block:
    """Return the part of an image that holds the voxels that :func:`rasterise` finds for an ellipsoid."""
    return Block(_grown(ellipsoid, np.asarray(scale, dtype=np.float64), shape, DEFAULT_MIN_VOXELS)[1])


def rasterise(
    ellipsoid: Ellipsoid,
    scale: Sequence[float],
    shape: Shape,
    min_voxels: int = DEFAULT_MIN_VOXELS,
    cancel: CancelToken | None = None,
) -> Raster:
    """Find the voxels of an image that belong to an ellipsoid.

    A voxel i belongs to it if ``sum_k ((axes_k . (i * scale - centre)) / r_k)^2 < 1``. Small ellipsoids grow: first the
    semi-axes are multiplied by 1.1 while their bounding box, cut to the image, has fewer than `min_voxels` voxels, then
    the threshold is, while fewer voxels qualify. An ellipsoid whose box does not touch the image has no voxels.

    Parameters
    ----------
    ellipsoid
        Physical, over n axes.
    scale
        Voxel size, n values, (Z), Y, X.
    shape
        Size of the image, n values, (Z), Y, X.
    min_voxels
        The least number of voxels, if the image has that many.
    cancel
        Asked before each few million voxels.

    Raises
    ------
    elephant.errors.Cancelled
        From `cancel`.

    References
    ----------
    Sugawara, Çevrim and Averof, eLife 2022, doi:10.7554/eLife.69380.
    """
    edges, token = np.asarray(scale, dtype=np.float64), cancel or NeverCancelled()
    ellipsoid, box = _grown(ellipsoid, edges, shape, min_voxels)
    mask = np.zeros([s.stop - s.start for s in box], dtype=bool)
    if mask.size == 0:
        return Raster(box, mask)

    def slabs() -> Iterator[tuple[slice, FloatArray]]:
        """Yield the squared distances of a box in slabs along its first axis."""
        step = max(1, _MOST_AT_ONCE * len(mask) // mask.size)
        for start in range(0, len(mask), step):
            token.check()
            slab = slice(start, min(start + step, len(mask)))
            part = slice(box[0].start + slab.start, box[0].start + slab.stop)
            yield slab, _squared_distance(ellipsoid, edges, (part, *box[1:]))

    only = list(slabs()) if mask.size <= _MOST_AT_ONCE else None
    for slab, distance in only or slabs():
        np.less(distance, 1.0, out=mask[slab])
    wanted = min(min_voxels, mask.size)
    if np.count_nonzero(mask) < wanted:
        threshold = _threshold(np.concatenate([_smallest(d, wanted) for _, d in only or slabs()]), wanted)
        for slab, distance in only or slabs():
            # For extremely flat ellipsoids distances overflow: all of these are treated as equally far.
            np.less(np.minimum(distance, _FARTHEST), threshold, out=mask[slab])
    return Raster(box, mask)


_FARTHEST = np.finfo(np.float64).max


def _smallest(distance: FloatArray, n: int) -> FloatArray:
    """Return the n smallest distances, or all if there are fewer."""
    flat = np.minimum(distance, _FARTHEST).ravel()
    return flat if flat.size <= n else np.partition(flat, n - 1)[:n]


def _threshold(distances: FloatArray, wanted: int) -> float:
    """Return the first threshold, grown from 1, below which there are enough distances."""
    needed = float(np.partition(distances, wanted - 1)[wanted - 1])
    threshold = 1.0
    while threshold <= needed:
        threshold *= GROWTH
    return threshold


def _grown(
    ellipsoid: Ellipsoid, scale: FloatArray, shape: Shape, min_voxels: int
) -> tuple[Ellipsoid, tuple[slice, ...]]:
    """Return an ellipsoid that is large enough, and its box, which is empty if it does not touch the image."""
    box = _cut_box(ellipsoid, scale, shape)
    if _n_voxels(box) == 0:
        return ellipsoid, tuple(slice(0, 0) for _ in shape)
    while _n_voxels(box) < min_voxels and any(b.start > 0 or b.stop < n for b, n in zip(box, shape, strict=True)):
        ellipsoid = ellipsoid.scaled(GROWTH)
        box = _cut_box(ellipsoid, scale, shape)
    return ellipsoid, box


def _cut_box(ellipsoid: Ellipsoid, scale: FloatArray, shape: Shape) -> tuple[slice, ...]:
    # With thousands of ellipsoids of three numbers each, Python is faster than NumPy.
    centres, reaches = (ellipsoid.centre / scale).tolist(), (ellipsoid.reach / scale).tolist()
    box = []
    for centre, reach, limit in zip(centres, reaches, shape, strict=True):
        # Clipped as floats first: a position far outside may not fit into an integer.
        start = math.floor(min(max(centre - reach, 0.0), limit))
        stop = min(max(math.ceil(min(max(centre + reach, -1.0), limit)) + 1, 0), limit)
        box.append(slice(start, max(start, stop)))
    return tuple(box)


def _n_voxels(box: tuple[slice, ...]) -> int:
    return math.prod(s.stop - s.start for s in box)


def _squared_distance(ellipsoid: Ellipsoid, scale: FloatArray, box: tuple[slice, ...]) -> FloatArray:
    """Return the squared distance from the centre in units of the semi-axes, over the box."""
    projection = ellipsoid.axes / ellipsoid.radii[:, None]
    offsets = [np.arange(s.start, s.stop) * edge for s, edge in zip(box, scale.tolist(), strict=True)]
    # Along all semi-axes at once: most boxes are so small that every call counts.
    shares = [
        column[:, None] * (offset - centre)
        for column, offset, centre in zip(projection.T, offsets, ellipsoid.centre.tolist(), strict=True)
    ]
    along = shares[0]
    for axis, share in enumerate(shares[1:], start=1):
        along = along[..., None] + share.reshape(len(share), *[1] * axis, -1)
    with np.errstate(over="ignore"):
        along *= along
        total: FloatArray = along[0]
        for square in along[1:]:
            total += square
    return total
