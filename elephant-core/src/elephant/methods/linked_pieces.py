"""What was linked from a timepoint as its stored flow labels say it: voxels that touch and move alike are a nucleus."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from elephant.components import labelled_components
from elephant.methods.pieces import Flags, LabelledPieces, mixed
from elephant.types import Box, FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class LinkedPieces(LabelledPieces):
    """The later nuclei of the links of a timepoint.

    Attributes
    ----------
    displacement
        The earlier position minus the later one, voxels of the stored image, (N, n), (Z), Y, X.
    values
        The same as the labels have it, over the norm, (N, n), X, Y(, Z).
    box_start, box_size
        First voxel and size of the bounding box of each, (N, n).
    """

    displacement: FloatArray
    values: NDArray[np.float32]
    box_start: NDArray[np.int64]
    box_size: NDArray[np.int64]

    @override
    def coordinates(self) -> FloatArray:
        """Return the centres with the displacements as further coordinates, so that another link is another one."""
        return np.column_stack([self.centres, self.displacement])

    def box(self, i: int) -> Box:
        """Return the bounding box of one."""
        return Box(tuple(self.box_start[i].tolist()), tuple(self.box_size[i].tolist()))

    def voxels(self, labels: NDArray[np.float32], i: int) -> NDArray[np.int64]:
        """Return the voxels of one, (M, n), among which may be some of others that touch its box and move as it does.

        Parameters
        ----------
        labels
            Those that the pieces were found in, of its bounding box alone, (n + 1, (Z), Y, X).
        """
        is_own = labels[-1] > 0
        for channel, value in zip(labels[:-1], self.values[i], strict=True):
            is_own &= channel == value
        found: NDArray[np.int64] = np.argwhere(is_own) + self.box_start[i]
        return found


def linked_pieces(labels: NDArray[np.float32], norm: Sequence[float]) -> LinkedPieces:
    """Find what was linked in the flow labels of a timepoint.

    Parameters
    ----------
    labels
        (n + 1, (Z), Y, X): the displacement over the norm, X, Y(, Z), then the weight.
    norm
        Voxels of the stored image, X, Y(, Z).
    """
    at = np.nonzero(labels[-1] > 0)
    given = np.stack([channel[at] for channel in labels[:-1]], axis=1) + np.float32(0)  # no -0
    keys = mixed(given.view(np.int32).astype(np.int64), 0)
    kinds, kind = np.unique(keys, return_inverse=True)
    numbers = np.zeros(labels.shape[1:], dtype=np.int32)
    numbers[at] = kind + 1
    number, pieces = labelled_components(numbers)
    n = numbers.ndim
    values = np.zeros((len(kinds), n), dtype=np.float32)
    values[kind] = given
    values = values[number - 1]
    # A solid ellipsoid with semi-axis r has the second moment r^2 / (n + 2); a voxel has 1/12 itself.
    spread = (n + 2) * (pieces.moments + np.eye(n) / 12)
    is_nucleus: Flags = np.ones(len(number), dtype=bool)
    displacement = (values * np.array(norm))[:, ::-1]
    return LinkedPieces(
        pieces.mean_index, spread, is_nucleus, ~is_nucleus, displacement, values, pieces.box_start, pieces.box_size
    )
