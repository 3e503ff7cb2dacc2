"""A flow to where spots were.

References
----------
Sugawara, Çevrim and Averof, eLife 2022, doi:10.7554/eLife.69380.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from elephant.geometry import Block, Raster
from elephant.types import Box, FloatArray, Spot, VoxelSize


@dataclass(frozen=True, slots=True, eq=False)
class EarlierSpot:
    """Where a spot was at the timepoint before.

    Attributes
    ----------
    id
        The client's name of the spot.
    pos
        Its earlier centre, physical, (3,), Z, Y, X; in 2D Z stays.
    sqdisp
        The squared physical distance to where it is.
    """

    id: int
    pos: FloatArray
    sqdisp: float


@dataclass(frozen=True, slots=True, eq=False)
class FlowField:
    """A flow over a box of the stored image.

    Attributes
    ----------
    box
        Where it lies, (Z), Y, X.
    voxels
        The earlier position minus the later one, voxels, (n, (Z), Y, X), channels X, Y(, Z).
    """

    box: Box
    voxels: NDArray[np.floating]

    def displacement(self, raster: Raster) -> FloatArray:
        """Return the mean over the voxels of a spot that :func:`covers` holds for, voxels, (n,), (Z), Y, X."""
        origin = self.box.origin
        inside = tuple(slice(s.start - o, s.stop - o) for s, o in zip(raster.slices, origin, strict=True))
        values = self.voxels[(slice(None), *inside)][:, raster.mask]
        mean: FloatArray = values.mean(axis=1, dtype=np.float64)[::-1]
        return mean


def covers(box: Box, block: Block) -> bool:
    """Tell whether a box holds the whole block of a spot's voxels, and there are some."""
    return not block.is_empty and all(
        o <= s.start and s.stop <= e for s, o, e in zip(block.slices, box.origin, box.end, strict=True)
    )


def moved(spot: Spot, displacement: FloatArray, voxel_size: VoxelSize) -> EarlierSpot:
    """Return where a spot was, given its displacement in voxels, (n,), (Z), Y, X."""
    n_dims = len(displacement)
    physical = displacement * voxel_size.last(n_dims)
    pos = spot.pos.copy()
    pos[3 - n_dims :] += physical
    return EarlierSpot(spot.id, pos, float((physical**2).sum()))


def unmoved(spot: Spot) -> EarlierSpot:
    """Return a spot as it is."""
    return EarlierSpot(spot.id, spot.pos, 0.0)
