"""Annotations by timepoint, and those that lie outside of the image."""

import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

from elephant.errors import InvalidInputError
from elephant.geometry import Ellipsoid, block_of
from elephant.types import Link, Shape, Spot, VoxelSize

logger = logging.getLogger(__name__)

A = TypeVar("A", Spot, Link)


def by_timepoint(spots: Iterable[A], n_timepoints: int) -> Mapping[int, Sequence[A]]:
    """Sort spots, or links, by their timepoints, keeping their order within each.

    Raises
    ------
    InvalidInputError
        A spot is outside of the movie.
    """
    groups: dict[int, list[A]] = defaultdict(list)
    for spot in spots:
        if not 0 <= spot.t < n_timepoints:
            raise InvalidInputError(
                f"a spot is at timepoint {spot.t}, but the dataset has timepoints 0 to {n_timepoints - 1}: choose the "
                "dataset that these spots belong to"
            )
        groups[spot.t].append(spot)
    return dict(sorted(groups.items()))


def in_words(found: Sequence[int]) -> str:
    """Return timepoints, in order, as a person would name them."""
    if len(found) == 1:
        return f"timepoint {found[0]}"
    return f"{len(found)} timepoints from {found[0]} to {found[-1]}" if found else "no timepoint"


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
            "%d of %d spots are outside the image and %s: the first, at timepoint %d, is at %s, but the image "
            "ends at %s (%s, physical). Are the voxel size, %s, and the dataset correct?",
            *(len(outside), len(spots), consequence, first.t, _xyz(first.pos[-n:])),
            *(_xyz([edge * (size - 1) for edge, size in zip(edges, shape, strict=True)]), ", ".join("XYZ"[:n])),
            " x ".join(f"{edge:g}" for edge in reversed(edges)),
        )
    return len(outside)


def _xyz(values: Iterable[float]) -> str:
    return f"({', '.join(f'{value:.6g}' for value in reversed(list(values)))})"
