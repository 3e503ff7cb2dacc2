"""Ellipsoids on the voxel grid, and rasterising them."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
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

    @property
    def mean_radius(self) -> float:
        """The radius of the ball, or in 2D of the disk, of the same volume."""
        return float(np.exp(np.log(self.radii).mean()))

    def scaled(self, factor: float) -> "Ellipsoid":
        """Return the ellipsoid with its semi-axes times `factor`."""
        return Ellipsoid(self.centre, self.radii * factor, self.axes)

    @property
    def reach(self) -> FloatArray:
        """Half the size of the axis-parallel box around the oriented box of half-widths `radii`, (n,), physical."""
        reach: FloatArray = np.abs(self.axes).T @ self.radii
        return reach


def mean_radii(covariances: FloatArray) -> FloatArray:
    """Return the radius of the ball, or in 2D of the disk, of the volume of each ellipsoid, (N,).

    Parameters
    ----------
    covariances
        (N, n, n), physical; where one is that of no ellipsoid, its radius is NaN.
    """
    determinants = np.linalg.det(covariances)
    positive = np.where(determinants > 0, determinants, np.nan)
    radii: FloatArray = positive ** (1 / (2 * covariances.shape[-1]))
    return radii


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
_MOST_SIDE_BY_SIDE = 1 << 15  # voxels of small ellipsoids: their distances stay in the cache
_BATCH = 256  # ellipsoids whose masks are held at once


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


def blocks_of(ellipsoids: Iterable[Ellipsoid], scale: Sequence[float], shape: Shape) -> Iterator[Block]:
    """Yield the part of an image that holds the voxels that :func:`rasterise` finds, for each ellipsoid."""
    edges = np.asarray(scale, dtype=np.float64)
    for batch in _batches(ellipsoids):
        for ellipsoid, box in zip(batch, _cut_boxes(batch, edges, shape), strict=True):
            is_large = _n_voxels(box) >= DEFAULT_MIN_VOXELS
            yield Block(box if is_large else _grown(ellipsoid, edges, shape, DEFAULT_MIN_VOXELS)[1])


def rasterise_each(
    ellipsoids: Iterable[Ellipsoid], scale: Sequence[float], shape: Shape, cancel: CancelToken | None = None
) -> Iterator[Raster]:
    """Yield for each ellipsoid what :func:`rasterise` finds; small ones are computed side by side, which is faster.

    Raises
    ------
    elephant.errors.Cancelled
        From `cancel`.
    """
    edges, token = np.asarray(scale, dtype=np.float64), cancel or NeverCancelled()
    for batch in _batches(ellipsoids):
        boxes = _cut_boxes(batch, edges, shape)
        found: dict[int, Raster] = {}
        for group in _small(boxes):
            token.check()
            found |= zip(group, _rasters([batch[i] for i in group], edges, [boxes[i] for i in group]), strict=True)
        for i, ellipsoid in enumerate(batch):
            yield found[i] if i in found else rasterise(ellipsoid, scale, shape, cancel=token)


def _batches(ellipsoids: Iterable[Ellipsoid]) -> Iterator[list[Ellipsoid]]:
    remaining = iter(ellipsoids)
    while batch := list(islice(remaining, _BATCH)):
        yield batch


def _small(boxes: Sequence[tuple[slice, ...]]) -> Iterator[list[int]]:
    """Yield the places of small boxes in groups of similar size."""
    sizes = {i: n for i, n in enumerate(map(_n_voxels, boxes)) if DEFAULT_MIN_VOXELS <= n <= _MOST_SIDE_BY_SIDE}
    group: list[int] = []
    largest = [0] * len(boxes[0])
    for i in sorted(sizes, key=lambda i: sizes[i]):
        largest = [max(n, s.stop - s.start) for n, s in zip(largest, boxes[i], strict=True)]
        if group and (len(group) + 1) * math.prod(largest) > _MOST_SIDE_BY_SIDE:
            yield group
            group, largest = [], [s.stop - s.start for s in boxes[i]]
        group.append(i)
    if group:
        yield group


def _rasters(ellipsoids: Sequence[Ellipsoid], scale: FloatArray, boxes: Sequence[tuple[slice, ...]]) -> list[Raster]:
    """Find the voxels of ellipsoids in their boxes, computed as if all were as large as the largest."""
    starts = np.array([[s.start for s in box] for box in boxes])
    sizes = np.array([[s.stop for s in box] for box in boxes]) - starts
    distances = _squared_distances(ellipsoids, scale, starts, sizes.max(axis=0).tolist())
    inside = distances < 1.0
    rasters = []
    for box, size, distance, near in zip(boxes, sizes.tolist(), distances, inside, strict=True):
        part = tuple(slice(n) for n in size)
        is_large = np.count_nonzero(near[part]) >= DEFAULT_MIN_VOXELS
        rasters.append(Raster(box, near[part] if is_large else _nearest(distance[part], DEFAULT_MIN_VOXELS)))
    return rasters


def _nearest(distance: FloatArray, wanted: int) -> NDArray[np.bool_]:
    """Return where the threshold, grown until there are enough voxels, leaves some."""
    # For extremely flat ellipsoids distances overflow: all of these are treated as equally far.
    distance = np.minimum(distance, _FARTHEST)
    return np.asarray(distance < _threshold(distance.ravel(), wanted))


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
            starts, sizes = zip(*((s.start, s.stop - s.start) for s in (part, *box[1:])), strict=True)
            yield slab, _squared_distances([ellipsoid], edges, np.array([starts]), sizes)[0]

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
    (box,) = _cut_boxes([ellipsoid], scale, shape)
    if _n_voxels(box) == 0:
        return ellipsoid, tuple(slice(0, 0) for _ in shape)
    while _n_voxels(box) < min_voxels and any(b.start > 0 or b.stop < n for b, n in zip(box, shape, strict=True)):
        ellipsoid = ellipsoid.scaled(GROWTH)
        (box,) = _cut_boxes([ellipsoid], scale, shape)
    return ellipsoid, box


def _cut_boxes(ellipsoids: Sequence[Ellipsoid], scale: FloatArray, shape: Shape) -> list[tuple[slice, ...]]:
    """Return the boxes of ellipsoids, cut to the image."""
    centres = np.stack([ellipsoid.centre for ellipsoid in ellipsoids]) / scale
    reaches = np.stack([ellipsoid.reach for ellipsoid in ellipsoids]) / scale
    # Clipped as floats first: a position far outside may not fit into an integer.
    starts = np.floor(np.clip(centres - reaches, 0, shape)).astype(np.int64)
    ends = np.ceil(np.clip(centres + reaches, -1, shape)).astype(np.int64)
    stops = np.maximum(starts, np.clip(ends + 1, 0, shape))
    return [tuple(map(slice, start, stop)) for start, stop in zip(starts.tolist(), stops.tolist(), strict=True)]


def _n_voxels(box: tuple[slice, ...]) -> int:
    return math.prod(s.stop - s.start for s in box)


def _squared_distances(
    ellipsoids: Sequence[Ellipsoid], scale: FloatArray, starts: NDArray[np.int64], size: Sequence[int]
) -> FloatArray:
    """Return the squared distances from the centres in units of the semi-axes, (N, (Z), Y, X).

    Parameters
    ----------
    starts
        First voxel of a box for each ellipsoid, (N, n).
    size
        Size of all boxes, (Z), Y, X.
    """
    centres = np.stack([ellipsoid.centre for ellipsoid in ellipsoids])
    projections = np.stack([ellipsoid.axes / ellipsoid.radii[:, None] for ellipsoid in ellipsoids])
    # Along all semi-axes at once: most boxes are so small that every call counts.
    shares = [
        projections[:, :, axis].T[..., None]
        * ((starts[:, axis, None] + np.arange(length)) * edge - centres[:, axis, None])
        for axis, (length, edge) in enumerate(zip(size, scale.tolist(), strict=True))
    ]
    along: FloatArray = shares[0]
    for axis, share in enumerate(shares[1:], start=1):
        along = along[..., None] + share.reshape(*share.shape[:2], *[1] * axis, -1)
    with np.errstate(over="ignore"):
        along *= along
        total: FloatArray = along[0]
        for square in along[1:]:
            total += square
    return total
