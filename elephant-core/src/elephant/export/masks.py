"""Painting spots into a mask of the Cell Tracking Challenge, in which each voxel holds the value of its cell.

The format is described at https://celltrackingchallenge.net/datasets.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from elephant.errors import InvalidInputError
from elephant.export.shells import N_SHELLS, Ellipsoids, Grid, Layer, shells
from elephant.geometry import Ellipsoid
from elephant.progress import CancelToken
from elephant.types import Shape, Spot, VoxelSize

Mask = NDArray[np.uint16]

LARGEST_VALUE = int(np.iinfo(np.uint16).max)
# At most this many voxels, and cells, are sorted together; shell and cell fit into 16 bits.
_MOST_VOXELS = 1 << 22
_MOST_CELLS = (1 << 16) // N_SHELLS
_FIELDS = ("voxel", "cell", "shell")


@dataclass(frozen=True, slots=True, eq=False)
class MarkedNucleus:
    """A spot and the value that marks it, 0 to 65535.

    Raises
    ------
    InvalidInputError
        The value does not fit into 16 bits.
    """

    spot: Spot
    value: int

    def __post_init__(self) -> None:
        if not 0 <= self.value <= LARGEST_VALUE:
            raise InvalidInputError(
                f"expected mask values of 0 to {LARGEST_VALUE}, got {self.value} at timepoint {self.spot.t}: "
                "export fewer tracks at a time"
            )


def ctc_mask(shape: Shape, cells: Sequence[MarkedNucleus], voxel_size: VoxelSize, cancel: CancelToken) -> Mask:
    """Paint the mask of one timepoint.

    Each cell is painted as nested ellipsoids with semi-axes r (1 - 0.05 i), i = 0..15, the outermost shells of all
    cells first, so that touching cells are divided evenly. Last, the voxel at each cell's centre is painted, so that no
    cell is entirely covered.

    Parameters
    ----------
    shape
        Size of the image, (Z), Y, X.
    cells
        The timepoint's cells; within a shell later ones are painted over earlier ones.
    voxel_size
        Physical.
    cancel
        Asked every few milliseconds.

    Returns
    -------
    numpy.ndarray
        uint16, (Z), Y, X; 0 where there is no cell.

    Raises
    ------
    InvalidInputError
        A covariance is not positive definite.
    elephant.errors.Cancelled
        From `cancel`.

    References
    ----------
    Sugawara, Çevrim and Averof, eLife 2022, doi:10.7554/eLife.69380.
    """
    mask: Mask = np.zeros(shape, dtype=np.uint16)
    if not cells:
        return mask
    grid = Grid(tuple(shape), np.array(voxel_size.last(len(shape))))
    ellipsoids = Ellipsoids.of(Ellipsoid.from_spots([cell.spot for cell in cells], len(shape)), len(shape))
    values = np.array([cell.value for cell in cells], dtype=np.uint16)
    canvas = _Canvas(mask)
    for some in _chunks(ellipsoids, grid):
        canvas.paint(shells(ellipsoids.take(some), grid, cancel), values[some])
    _paint_centres(mask, ellipsoids, values, grid)
    return mask


class _Canvas:
    """A mask, and for each of its voxels the innermost shell that was painted there.

    Painting the outermost shells of all cells first is the same as giving each voxel to the innermost shell that holds
    it, and among equal shells to the last cell.
    """

    def __init__(self, mask: Mask) -> None:
        self._mask = mask.reshape(-1)
        self._shell = np.zeros(mask.size, dtype=np.uint8)

    def paint(self, layers: Iterator[Layer], values: Mask) -> None:
        """Paint the layers of cells that follow all cells painted before."""
        if len(values) == 1:
            # A single cell may be of any size: its layers are not collected.
            for layer in layers:
                self._put(layer, values)
        elif found := list(layers):
            voxel, cell, shell = (np.concatenate([getattr(each, n) for each in found]) for n in _FIELDS)
            self._put(Layer(voxel, cell, shell), values)

    def _put(self, layer: Layer, values: Mask) -> None:
        kept = np.flatnonzero(layer.shell >= self._shell[layer.voxel])
        voxel, cell, shell = layer.voxel[kept], layer.cell[kept], layer.shell[kept]
        # 16-bit numbers are sorted in linear time. The last value assigned to a voxel remains.
        order = np.argsort(shell.astype(np.uint16) * np.uint16(_MOST_CELLS) + cell.astype(np.uint16), kind="stable")
        voxel = voxel[order]
        self._mask[voxel] = values[cell[order]]
        self._shell[voxel] = shell[order]


def _chunks(cells: Ellipsoids, grid: Grid) -> Iterator[slice]:
    """Cut the cells into runs whose voxels are sorted together; a very large cell is a run of its own."""
    start, stop = cells.boxes(grid)
    sizes = (stop - start).prod(axis=1, dtype=np.float64).tolist()
    begin, total = 0, 0.0
    for index, size in enumerate(sizes):
        if index > begin and (index - begin == _MOST_CELLS or total + size > _MOST_VOXELS):
            yield slice(begin, index)
            begin, total = index, 0.0
        total += size
    yield slice(begin, len(sizes))


def _paint_centres(mask: Mask, cells: Ellipsoids, values: Mask, grid: Grid) -> None:
    # Compared as floats: a position far outside would overflow an integer.
    nearest = np.floor(cells.centre / grid.scale + 0.5)
    inside = ((nearest >= 0) & (nearest < mask.shape)).all(axis=1)
    mask[tuple(nearest[inside].astype(np.int64).T)] = values[inside]
