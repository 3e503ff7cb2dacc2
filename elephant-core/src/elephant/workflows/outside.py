"""Spots that lie outside the image: most often the voxel size, or the dataset, is another one than theirs."""

import logging
from collections.abc import Iterable, Sequence

from elephant.geometry import Ellipsoid, block_of
from elephant.types import Link, Shape, Spot, VoxelSize

logger = logging.getLogger(__name__)


def warn_of_outside(spots: Sequence[Spot | Link], voxel_size: VoxelSize, shape: Shape, consequence: str) -> int:
    """Warn where spots have no voxel in the image, with how many of them and where one is; return their number.

    Parameters
    ----------
    spots
        Their covariances are positive definite.
    shape
        Size of the image, (Z), Y, X.
    consequence
        What becomes of them: ``label nothing``.
    """
    edges = voxel_size.last(len(shape))
    ellipsoids = Ellipsoid.from_spots(spots, len(shape))
    outside = [s for s, e in zip(spots, ellipsoids, strict=True) if block_of(e, edges, shape).is_empty]
    if outside:
        first, n = outside[0], len(shape)
        logger.warning(
            "%d of %d spots lie outside the image and %s: the first of them, at timepoint %d, is at %s, but the image "
            "ends at %s (%s, physical). Are the voxel size, %s, and the dataset the right ones?",
            *(len(outside), len(spots), consequence, first.t, _xyz(first.pos[-n:])),
            *(_xyz([edge * (size - 1) for edge, size in zip(edges, shape, strict=True)]), ", ".join("XYZ"[:n])),
            " x ".join(f"{edge:g}" for edge in reversed(edges)),
        )
    return len(outside)


def _xyz(values: Iterable[float]) -> str:
    return f"({', '.join(f'{value:.6g}' for value in reversed(list(values)))})"
