"""Spots as a script has them: objects, rows of numbers, or what a model has found at each timepoint."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elephant.errors import InvalidInputError
from elephant.types import DetectedSpot, Spot, Tag

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
