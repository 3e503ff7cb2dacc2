"""Spots and links as a person gives them: by timepoint, outside of the image, objects or rows of numbers."""

import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from elephant.errors import InvalidInputError
from elephant.geometry import Ellipsoid, blocks_of
from elephant.types import DetectedSpot, Link, Shape, Spot, Tag, VoxelSize

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
    outside = [s for s, block in zip(spots, blocks_of(ellipsoids, edges, shape), strict=True) if block.is_empty]
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


Found = Sequence[Spot] | Mapping[int, Sequence[DetectedSpot]] | Sequence[Sequence[DetectedSpot]]


def annotated_spots(spots: Sequence[Spot] | NDArray[np.number], n_dims: int) -> list[Spot]:
    """Return annotated spots; those of an array are true positives.

    Parameters
    ----------
    spots
        Spots, or an array, (N, 2 + n): t, the position, (z), y, x, and the radius, physical.
    n_dims
        3 or 2.

    Raises
    ------
    InvalidInputError
        They are neither, or no spot has a tag.
    """
    found = [spot for spot in spots if isinstance(spot, Spot)]
    if not found or len(found) < len(spots):
        return _spots_in_table(spots, n_dims)
    if all(spot.tag is Tag.UNLABELED for spot in found):
        raise InvalidInputError(
            f"expected spots with a tag, such as elephant.types.Tag.TP, got {len(found)} unlabeled ones, which label "
            "nothing: give them a tag, or an array"
        )
    return found


def _spots_in_table(rows: Any, n_dims: int) -> list[Spot]:
    columns = ("t", *"zyx"[3 - n_dims :], "radius")
    expected = f"spots: expected Spot objects, or an array (N, {len(columns)}) of {', '.join(columns)}"
    try:
        table = np.asarray(rows, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InvalidInputError(f"{expected}, got {type(rows).__name__} ({error})") from error
    if table.ndim != 2 or table.shape[1] != len(columns) or not len(table):
        raise InvalidInputError(f"{expected}, got the shape {table.shape}")
    is_right = np.isfinite(table).all(axis=1) & (table[:, 0] == np.floor(table[:, 0])) & (table[:, -1] > 0)
    if not is_right.all():
        wrong = int(np.argmin(is_right))
        raise InvalidInputError(
            f"{expected}, with whole t and radii above 0, got {table[wrong].tolist()} in row {wrong}"
        )
    balls = [DetectedSpot.ball(row[1:-1], float(row[-1])) for row in table]
    return [Spot(int(t), ball.pos, ball.covariance, Tag.TP) for t, ball in zip(table[:, 0], balls, strict=True)]


def found_spots(found: Found) -> list[Spot]:
    """Return spots with their timepoints.

    Raises
    ------
    InvalidInputError
        Something is no spot.
    """
    groups: Iterable[tuple[int, Any]] = found.items() if isinstance(found, Mapping) else enumerate(found)
    spots: list[Spot] = []
    for t, group in groups:
        members: Sequence[Spot | DetectedSpot] = [group] if isinstance(group, Spot) else group
        spots += [_spot_of(t, spot) for spot in members]
    return spots


def _spot_of(t: int, spot: Spot | DetectedSpot) -> Spot:
    if isinstance(spot, Spot):
        return spot
    if not isinstance(spot, DetectedSpot):
        raise InvalidInputError(
            f"spots: expected Spot objects, or the nuclei of each timepoint as a model finds them, got {spot!r}"
        )
    return Spot(t, spot.pos, spot.covariance)
