"""Rasterising the nested ellipsoids of many nuclei, for all nuclei and all shells at once.

Painting them one by one takes a dozen NumPy calls per shell of each nucleus, for a few hundred voxels. Here one
distance gives all shells of a voxel, and nuclei with boxes of the same size are measured together. The result is that
of :func:`elephant.geometry.rasterise` for each shell, voxel for voxel: where rounding could make a difference, and
where a shell is so small that it grows, the distance is computed as there.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from elephant.geometry import GROWTH, Ellipsoid
from elephant.progress import CancelToken
from elephant.types import FloatArray, Shape

N_SHELLS = 16
SHELL_STEP = 0.05  # of the semi-axes
MIN_VOXELS = 20
FACTORS = np.array([1 - SHELL_STEP * shell for shell in range(N_SHELLS)])

# Voxels that are computed at once: they stay in the processor's cache, and an abort is noticed within milliseconds.
BLOCK_VOXELS = 1 << 18
# Rounding errors are far below this fraction of a shell; voxels that are nearer to a shell's edge are measured again.
_NEARLY = 1e-6
# Sums of squares lose digits if a nucleus is this much longer than thick.
_LARGEST_RATIO = 1e3

Indices = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Ellipsoids:
    """N ellipsoids over n axes, (Z), Y, X, as of :class:`elephant.geometry.Ellipsoid`.

    Attributes
    ----------
    centre, radii
        (N, n), physical.
    axes
        (N, n, n).
    """

    centre: FloatArray
    radii: FloatArray
    axes: FloatArray

    @classmethod
    def of(cls, ellipsoids: Sequence[Ellipsoid], n_dims: int) -> Self:
        """Stack ellipsoids into arrays."""
        n = len(ellipsoids)
        return cls(
            np.array([e.centre for e in ellipsoids], dtype=np.float64).reshape(n, n_dims),
            np.array([e.radii for e in ellipsoids], dtype=np.float64).reshape(n, n_dims),
            np.array([e.axes for e in ellipsoids], dtype=np.float64).reshape(n, n_dims, n_dims),
        )

    def __len__(self) -> int:
        return len(self.centre)

    def take(self, which: Indices | slice) -> "Ellipsoids":
        """Return some of them."""
        return Ellipsoids(self.centre[which], self.radii[which], self.axes[which])

    def scaled(self, factor: FloatArray | float) -> "Ellipsoids":
        """Return them with their semi-axes multiplied by a factor, one for all or (N,)."""
        return Ellipsoids(self.centre, self.radii * np.reshape(factor, (-1, 1)), self.axes)

    def boxes(self, grid: "Grid") -> tuple[Indices, Indices]:
        """Return the first voxel of each bounding box and the first after it, (N, n), cut to the image."""
        reach = (np.abs(self.axes) * self.radii[:, :, None]).sum(axis=1) / grid.scale
        centre, limit = self.centre / grid.scale, np.array(grid.shape, dtype=np.float64)
        # Clipped as floats first: a position far outside may not fit into an integer.
        start = np.floor(np.clip(centre - reach, 0, limit)).astype(np.int64)
        stop = np.clip(np.ceil(np.clip(centre + reach, -1, limit)).astype(np.int64) + 1, 0, grid.shape)
        return start, np.maximum(start, stop)


@dataclass(frozen=True, slots=True, eq=False)
class Grid:
    """The voxels of an image.

    Attributes
    ----------
    shape
        (Z), Y, X.
    scale
        Voxel size, (n,), physical.
    """

    shape: Shape
    scale: FloatArray

    @property
    def strides(self) -> Indices:
        """Distances in the flat image between neighbours along each axis, (n,)."""
        return np.cumprod([1, *self.shape[:0:-1]], dtype=np.int64)[::-1]

    def offsets(self, size: Sequence[int]) -> Indices:
        """Return the offsets of a box's voxels in the flat image from its first voxel, in C order."""
        total = np.zeros(1, dtype=np.int64)
        for length, stride in zip(size, self.strides, strict=True):
            total = (total[:, None] + np.arange(length) * stride).ravel()
        return total


@dataclass(frozen=True, slots=True, eq=False)
class Layer:
    """Voxels that belong to shells; a voxel may occur several times.

    Attributes
    ----------
    voxel
        Index into the flat image, (M,).
    cell
        Index of the nucleus, (M,).
    shell
        The shell, 0 is the outermost, (M,).
    """

    voxel: Indices
    cell: Indices
    shell: NDArray[np.uint8]


def shells(cells: Ellipsoids, grid: Grid, cancel: CancelToken) -> Iterator[Layer]:
    """Yield the voxels of all shells of some nuclei, in blocks and in no particular order.

    Of a nucleus' shells that hold a voxel, only the innermost matters: the others may be omitted.

    Parameters
    ----------
    cells
        The nuclei.
    grid
        The image.
    cancel
        Asked before each block.
    """
    start, stop = cells.boxes(grid)
    touching = np.flatnonzero((stop > start).all(axis=1))
    # The first shell of each nucleus that has too few voxels and therefore grows, as all shells inside it do.
    first_small = np.zeros(len(cells), dtype=np.int64)
    plain = touching[_is_plain(cells.take(touching), start[touching], stop[touching], grid)]
    for some, corner, size in _blocks(plain, *_rounded_up(start[plain], stop[plain], grid)):
        if np.prod(size) <= BLOCK_VOXELS:
            cancel.check()
            layer, first_small[some] = _Plain(cells.take(some), corner, size, grid).all()
            yield Layer(layer.voxel, some[layer.cell], layer.shell)
        else:
            one = int(some[0])
            blocks = [_Plain(cells.take(some), *part, grid) for part in _parts(corner, size)]
            first_small[one] = _count(blocks, cancel)
            for block in blocks:
                cancel.check()
                layer = block.up_to(first_small[some])
                yield Layer(layer.voxel, some[layer.cell], layer.shell)
    which, shell = np.nonzero(np.arange(N_SHELLS) >= first_small[touching][:, None])
    yield from _grown(cells, touching[which], shell, grid, cancel)


def _is_plain(cells: Ellipsoids, start: Indices, stop: Indices, grid: Grid) -> NDArray[np.bool_]:
    """Return for which nuclei sums of squares are exact enough, (N,)."""
    farthest = np.maximum(np.abs(start * grid.scale - cells.centre), np.abs((stop - 1) * grid.scale - cells.centre))
    with np.errstate(over="ignore", invalid="ignore"):
        ratio = (np.abs(cells.axes / cells.radii[:, :, None]) * farthest[:, None, :]).sum(axis=2).max(axis=1, initial=0)
        is_plain: NDArray[np.bool_] = ratio < _LARGEST_RATIO
    return is_plain


def _rounded_up(start: Indices, stop: Indices, grid: Grid) -> tuple[Indices, Indices]:
    """Return corners and sizes of larger boxes with fewer distinct sizes, so that more can be measured together."""
    size = stop - start
    step = np.where(size > 8, 4, 2)
    size = np.minimum(-(-size // step) * step, grid.shape)
    return np.minimum(start, np.array(grid.shape) - size), size


def _blocks(which: Indices, corner: Indices, size: Indices) -> Iterator[tuple[Indices, Indices, tuple[int, ...]]]:
    """Yield the nuclei, corners and size of boxes of equal size, in groups that are computed at once."""
    if not len(which):
        return
    order = np.lexsort(size.T)
    which, corner, size = which[order], corner[order], size[order]
    edges = np.flatnonzero((size[1:] != size[:-1]).any(axis=1)) + 1
    for first, last in zip([0, *edges.tolist()], [*edges.tolist(), len(which)], strict=True):
        shape = tuple(size[first].tolist())
        n = max(1, BLOCK_VOXELS // int(np.prod(shape)))
        for begin in range(first, last, n):
            part = slice(begin, min(begin + n, last))
            yield which[part], corner[part], shape


def _parts(corner: Indices, size: tuple[int, ...], axis: int = 0) -> Iterator[tuple[Indices, tuple[int, ...]]]:
    """Cut one large box into parts, each of which is computed at once."""
    n = max(1, BLOCK_VOXELS // int(np.prod(size[axis + 1 :])))
    for begin in range(0, size[axis], n):
        part, length = corner.copy(), min(n, size[axis] - begin)
        part[:, axis] += begin
        cut = (*size[:axis], length, *size[axis + 1 :])
        if np.prod(cut) > BLOCK_VOXELS and axis + 1 < len(size):
            yield from _parts(part, cut, axis + 1)
        else:
            yield part, cut


def _count(blocks: Sequence["_Plain"], cancel: CancelToken) -> int:
    """Return the first shell with too few voxels of a nucleus that is cut into many blocks."""
    counts = np.zeros(N_SHELLS, dtype=np.int64)
    for block in blocks:
        cancel.check()
        counts += block.counts()[0]
        if counts.min() >= MIN_VOXELS:
            break
    return int((counts >= MIN_VOXELS).sum())


class _Plain:
    """G nuclei in boxes of one size, and the shells of their voxels if no shell grows."""

    def __init__(self, cells: Ellipsoids, corner: Indices, size: tuple[int, ...], grid: Grid) -> None:
        self._cells, self._corner, self._size, self._grid = cells, corner, size, grid

    def all(self) -> tuple[Layer, Indices]:
        """Return the voxels, and for each nucleus the first shell with too few, (G,)."""
        found = self._measure()
        first_small = (self._counts(*found[1:]) >= MIN_VOXELS).sum(axis=1)
        return self._layer(first_small, *found), first_small

    def counts(self) -> Indices:
        """Return the number of voxels of each shell of each nucleus, (G, shells)."""
        return self._counts(*self._measure()[1:])

    def up_to(self, first_small: Indices) -> Layer:
        """Return the voxels of the shells outside of the first that grows, (G,)."""
        return self._layer(first_small, *self._measure())

    def _layer(self, first_small: Indices, voxel: Indices, cell: Indices, shell: Indices) -> Layer:
        shell = np.minimum(shell, first_small[cell] - 1)
        kept = shell >= 0
        voxel, cell, shell = voxel[kept], cell[kept], shell[kept]
        base = self._corner @ self._grid.strides
        return Layer(base[cell] + self._grid.offsets(self._size)[voxel], cell, shell.astype(np.uint8))

    def _counts(self, cell: Indices, shell: Indices) -> Indices:
        n = len(self._cells)
        exactly = np.bincount(cell * N_SHELLS + shell, minlength=n * N_SHELLS).reshape(n, N_SHELLS)
        return exactly[:, ::-1].cumsum(axis=1)[:, ::-1]

    def _measure(self) -> tuple[Indices, Indices, Indices]:
        """Return the voxels in the outermost shell: index in the box, index of the nucleus, innermost shell."""
        squared = _squared_distances(self._cells, self._corner, self._size, self._grid)
        flat = np.flatnonzero(squared < 1 + _NEARLY)
        cell, voxel = np.divmod(flat, int(np.prod(self._size)))
        steps = (1 - np.sqrt(np.maximum(squared.ravel()[flat], 0))) / SHELL_STEP
        edge = np.rint(steps)
        shell = np.minimum(np.ceil(steps), N_SHELLS).astype(np.int64) - 1
        near = np.flatnonzero((np.abs(steps - edge) < _NEARLY) & (edge < N_SHELLS))
        if len(near):
            edges = edge[near].astype(np.int64)
            shell[near] = edges - ~self._is_inside(voxel[near], cell[near], edges)
        inside = shell >= 0
        return voxel[inside], cell[inside], shell[inside]

    def _is_inside(self, voxel: Indices, cell: Indices, shell: Indices) -> NDArray[np.bool_]:
        """Return whether voxels are inside a shell, by the rule of :func:`elephant.geometry.rasterise`."""
        index = self._corner[cell] + np.stack(np.unravel_index(voxel, self._size), axis=1)
        cells = self._cells.take(cell).scaled(FACTORS[shell])
        offset = index * self._grid.scale - cells.centre
        inside: NDArray[np.bool_] = (
            _exact_distances(cells, [offset[:, i, None] for i in range(offset.shape[1])])[:, 0] < 1
        )
        return inside


def _squared_distances(cells: Ellipsoids, corner: Indices, size: tuple[int, ...], grid: Grid) -> FloatArray:
    """Return the squared distances from the centres in units of the semi-axes, (G, voxels of the box).

    Along the last axis they are a quadratic function, whose coefficients are computed for each line of voxels.
    """
    projection = cells.axes / cells.radii[:, :, None]
    offset = [
        (corner[:, i, None] + np.arange(length)) * grid.scale[i] - cells.centre[:, i, None]
        for i, length in enumerate(size)
    ]
    n = len(size)
    lines = np.zeros((len(cells), n, 1))  # along each semi-axis, at X = 0
    for i in range(n - 1):
        step = projection[:, :, i, None] * offset[i][:, None, :]
        lines = (lines[..., None] + step[:, :, None, :]).reshape(len(cells), n, -1)
    constant = (lines * lines).sum(axis=1)
    linear = 2 * (lines * projection[:, :, n - 1, None]).sum(axis=1)
    square = (projection[:, :, n - 1] ** 2).sum(axis=1)[:, None] * offset[-1] ** 2
    total: FloatArray = linear[:, :, None] * offset[-1][:, None, :]
    total += constant[:, :, None]
    total += square[:, None, :]
    return total.reshape(len(cells), -1)


def _exact_distances(cells: Ellipsoids, offset: Sequence[FloatArray]) -> FloatArray:
    """Return the squared distances in the order of operations of :func:`elephant.geometry.rasterise`.

    Parameters
    ----------
    offset
        For each axis the physical offsets from the centres, such that they broadcast to (G, ...).
    """
    n, trailing = len(offset), (1,) * (np.ndim(offset[0]) - 1)
    projection = cells.axes / cells.radii[:, :, None]
    factor = [[projection[:, k, i].reshape(-1, *trailing) for i in range(n)] for k in range(n)]
    total: FloatArray | float = 0.0
    with np.errstate(over="ignore"):
        for row in factor:
            along = row[0] * offset[0]
            for one, other in zip(row[1:], offset[1:], strict=True):
                along = along + one * other
            along *= along
            total = total + along
    return np.asarray(total)


def _grown(cells: Ellipsoids, which: Indices, shell: Indices, grid: Grid, cancel: CancelToken) -> Iterator[Layer]:
    """Yield the voxels of shells that grow until they have enough.

    Parameters
    ----------
    which, shell
        Nucleus and number of each of these shells, (S,).
    """
    grown = cells.take(which).scaled(FACTORS[shell])
    start, stop = grown.boxes(grid)
    growing = np.flatnonzero((stop > start).all(axis=1))
    while len(growing := growing[_is_too_small(start[growing], stop[growing], grid)]):
        grown.radii[growing] *= GROWTH
        start[growing], stop[growing] = grown.take(growing).boxes(grid)
    touching = np.flatnonzero((stop > start).all(axis=1))
    for some, corner, size in _blocks(touching, *_rounded_up(start[touching], stop[touching], grid)):
        boxes = _Boxes(grown.take(some), start[some], stop[some], grid)
        for flat, index in boxes.voxels(corner, size, cancel):
            yield Layer(flat, which[some[index]], shell[some[index]].astype(np.uint8))


def _is_too_small(start: Indices, stop: Indices, grid: Grid) -> NDArray[np.bool_]:
    """Return which boxes have too few voxels and can still grow, (N,)."""
    n_voxels: Indices = (stop - start).prod(axis=1)
    is_cut: NDArray[np.bool_] = np.any((start > 0) | (stop < np.array(grid.shape)), axis=1)
    return is_cut & (n_voxels < MIN_VOXELS)


@dataclass(frozen=True, slots=True, eq=False)
class _Boxes:
    """Ellipsoids and their boxes; voxels outside of the boxes are ignored."""

    cells: Ellipsoids
    start: Indices
    stop: Indices
    grid: Grid

    def voxels(self, corner: Indices, size: tuple[int, ...], cancel: CancelToken) -> Iterator[tuple[Indices, Indices]]:
        """Yield the voxels of each ellipsoid, enlarged if needed: index into the flat image, index of the ellipsoid."""
        if np.prod(size) <= BLOCK_VOXELS:
            cancel.check()
            squared = self._distances(corner, size)
            yield self._below(_thresholds(_nearest(squared)), squared, corner, size)
            return
        parts = list(_parts(corner, size))
        nearest = np.empty((len(corner), 0))
        for part in parts:
            cancel.check()
            nearest = _nearest(np.concatenate([nearest, self._distances(*part)], axis=1))
        for part in parts:
            cancel.check()
            yield self._below(_thresholds(nearest), self._distances(*part), *part)

    def _below(
        self, threshold: FloatArray, squared: FloatArray, corner: Indices, size: tuple[int, ...]
    ) -> tuple[Indices, Indices]:
        n_voxels = squared.shape[1]
        index, voxel = np.divmod(np.flatnonzero(squared < threshold[:, None]), n_voxels)
        return (corner @ self.grid.strides)[index] + self.grid.offsets(size)[voxel], index

    def _distances(self, corner: Indices, size: tuple[int, ...]) -> FloatArray:
        """Return the squared distances in units of the semi-axes, (G, voxels from `corner` on), NaN outside."""
        n, offsets = len(size), []
        for i, length in enumerate(size):
            index = corner[:, i, None] + np.arange(length)
            offset = index * self.grid.scale[i] - self.cells.centre[:, i, None]
            offset[(index < self.start[:, i, None]) | (index >= self.stop[:, i, None])] = np.nan
            offsets.append(offset.reshape(len(corner), *(1,) * i, length, *(1,) * (n - 1 - i)))
        # For extremely flat ellipsoids distances overflow: all of these are treated as equally far.
        squared = _exact_distances(self.cells, offsets).reshape(len(corner), -1)
        return np.minimum(squared, np.finfo(np.float64).max, out=squared)


def _nearest(squared: FloatArray) -> FloatArray:
    """Return the distances of the nearest voxels, as many as are needed, (G, voxels); NaN sorts last."""
    if squared.shape[1] <= MIN_VOXELS:
        return squared
    return np.partition(squared, MIN_VOXELS - 1, axis=1)[:, :MIN_VOXELS]


def _thresholds(nearest: FloatArray) -> FloatArray:
    """Return the squared distance below which each ellipsoid has enough voxels, (G,)."""
    needed = nearest.max(axis=1)
    threshold = np.ones(len(needed))
    while (low := threshold <= needed).any():
        threshold[low] *= GROWTH
    return threshold
