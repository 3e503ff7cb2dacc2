"""Spots to a mask of the Cell Tracking Challenge, in which each voxel holds the value of its cell.

The form is described at https://celltrackingchallenge.net/datasets.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from elephant.errors import InvalidInputError
from elephant.geometry import Ellipsoid, rasterise
from elephant.reporting import CancelToken
from elephant.types import Shape, Spot, VoxelSize

Mask = NDArray[np.uint16]

LARGEST_VALUE = int(np.iinfo(np.uint16).max)
N_SHELLS = 16
SHELL_STEP = 0.05  # of the semi-axes
MIN_VOXELS = 20


@dataclass(frozen=True, slots=True, eq=False)
class Cell:
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
                f"values of a mask must be 0 to {LARGEST_VALUE}, but {self.value} came, at timepoint {self.spot.t}: "
                "export fewer tracks at a time"
            )


def ctc_mask(shape: Shape, cells: Sequence[Cell], voxel_size: VoxelSize, cancel: CancelToken) -> Mask:
    """Paint the mask of one timepoint.

    Each cell is painted as nested ellipsoids of semi-axes r (1 - 0.05 i), i = 0..15, the outermost shell of all cells
    first, so that cells that touch split evenly. Last comes the voxel at the centre of each cell, so that none
    disappears under others.

    Parameters
    ----------
    shape
        Size of the image, (Z), Y, X.
    cells
        The timepoint's cells; within a shell later ones are painted over earlier ones.
    voxel_size
        Physical.
    cancel
        Asked before each ellipsoid.

    Returns
    -------
    numpy.ndarray
        uint16, (Z), Y, X; 0 where there is no cell.

    Raises
    ------
    InvalidInputError
        A covariance is not positive definite.
    elephant.errors.Cancelled
        `cancel` asked for the end.

    References
    ----------
    Sugawara, Çevrim and Averof, eLife 2022, doi:10.7554/eLife.69380.
    """
    mask: Mask = np.zeros(shape, dtype=np.uint16)
    scale = voxel_size.last(len(shape))
    painted = [(Ellipsoid.from_spot(cell.spot, len(shape)), cell.value) for cell in cells]
    for shell in range(N_SHELLS):
        for ellipsoid, value in painted:
            cancel.check()
            raster = rasterise(ellipsoid.scaled(1 - SHELL_STEP * shell), scale, shape, MIN_VOXELS)
            mask[raster.slices][raster.mask] = value
    for ellipsoid, value in painted:
        # As floats first: a position far outside would overflow an integer.
        nearest = np.floor(ellipsoid.centre / scale + 0.5)
        if ((nearest >= 0) & (nearest < shape)).all():
            mask[tuple(nearest.astype(int))] = value
    return mask
