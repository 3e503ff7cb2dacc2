"""How far ellipsoids overlap: the share that their intersection has of their union."""

from collections.abc import Sequence

import numpy as np

from elephant.errors import InvalidInputError
from elephant.tracking.assignment import Indices, near_pairs
from elephant.types import DetectedSpot, FloatArray, Spot

_N_POINTS = 1024
_PAIRS_AT_ONCE = 128  # of which all points are in memory


def overlapping_pairs(
    first: Sequence[Spot | DetectedSpot], second: Sequence[Spot | DetectedSpot], least: float, n_dims: int
) -> tuple[Indices, Indices, FloatArray]:
    """Find pairs of ellipsoids whose intersection is at least the share `least` of their union.

    The intersection is estimated from 1024 points spread evenly in either ellipsoid: the share is right to about 0.01,
    and that of an ellipsoid with itself is exactly 1.

    Parameters
    ----------
    least
        Above 0, at most 1.
    n_dims
        3, or 2 for ellipses over Y and X.

    Returns
    -------
    tuple
        Indices into both, and the share of each pair.

    Raises
    ------
    InvalidInputError
        A covariance is not positive definite.

    References
    ----------
    The points are those of an additive recurrence (Kronecker sequence): Niederreiter, Random Number Generation and
    Quasi-Monte Carlo Methods, SIAM 1992, chapter 3.
    """
    if not first or not second:
        return np.empty(0, np.intp), np.empty(0, np.intp), np.empty(0)
    one, other = _Shapes(first, n_dims), _Shapes(second, n_dims)
    meaning = "nuclei of which few touch each other; check their sizes"
    i, j, apart = near_pairs(one.centres, other.centres, float(one.reach.max() + other.reach.max()), meaning)
    # What cannot overlap enough is left out before anything is counted.
    smaller, larger = np.minimum(one.size[i], other.size[j]), np.maximum(one.size[i], other.size[j])
    is_possible = (apart < one.reach[i] + other.reach[j]) & (smaller >= least * larger)
    i, j, smaller = i[is_possible], j[is_possible], smaller[is_possible]
    common = (_common(one, i, other, j, n_dims) + _common(other, j, one, i, n_dims)) / 2
    common = np.minimum(common, smaller)
    share = common / (one.size[i] + other.size[j] - common)
    is_near = share >= least
    return i[is_near], j[is_near], share[is_near]


class _Shapes:
    """Ellipsoids as matrices that make them of a unit ball, and back; without Z in 2D."""

    def __init__(self, spots: Sequence[Spot | DetectedSpot], n_dims: int) -> None:
        self.centres = np.array([spot.pos for spot in spots])
        if n_dims == 2:
            self.centres = self.centres * (0, 1, 1)
        covariances = np.array([spot.covariance[3 - n_dims :, 3 - n_dims :] for spot in spots])
        values, vectors = np.linalg.eigh(covariances / 2 + covariances.swapaxes(1, 2) / 2)
        if not (values > 0).all():
            wrong = int(np.argmin(values.min(axis=1)))
            raise InvalidInputError(
                f"expected nuclei with a positive definite covariance, got one at {spots[wrong].pos[::-1].tolist()} "
                f"(X, Y, Z) whose eigenvalues are {values[wrong].tolist()}: match by distance, or leave it out"
            )
        radii = np.sqrt(values)
        self.from_ball = vectors * radii[:, None, :]
        self.to_ball = vectors.swapaxes(1, 2) / radii[:, :, None]
        self.reach = radii.max(axis=1)
        self.size = radii.prod(axis=1)  # in volumes of the unit ball


def _common(inside: _Shapes, i: Indices, around: _Shapes, j: Indices, n_dims: int) -> FloatArray:
    """Return how much of each ellipsoid `inside` is in the other one, in volumes of the unit ball."""
    points = _even_points(n_dims)
    share: FloatArray = np.empty(len(i))
    for first in range(0, len(i), _PAIRS_AT_ONCE):
        some = slice(first, first + _PAIRS_AT_ONCE)
        a, b = i[some], j[some]
        turn = around.to_ball[b] @ inside.from_ball[a]
        offset = inside.centres[a, 3 - n_dims :] - around.centres[b, 3 - n_dims :]
        shift = around.to_ball[b] @ offset[:, :, None]
        moved = turn @ points + shift
        share[some] = ((moved * moved).sum(axis=1) <= 1 + 1e-9).mean(axis=1)
    common: FloatArray = share * inside.size[i]
    return common


def _even_points(n_dims: int) -> FloatArray:
    """Return points that fill a unit ball, or disk, evenly, (n_dims, points)."""
    # The positive root of x^(n + 1) = x + 1; its inverse powers make the sequence even along all axes at once.
    root = {2: 1.324717957244746, 3: 1.2207440846057596}[n_dims]
    steps = (1 / root) ** np.arange(1, n_dims + 1)
    even = (0.5 + np.outer(steps, np.arange(_N_POINTS))) % 1
    radius, angle = even[0] ** (1 / n_dims), 2 * np.pi * even[1]
    directions: FloatArray = np.stack([np.cos(angle), np.sin(angle)])
    if n_dims == 3:
        height = 2 * even[2] - 1
        directions = np.concatenate([height[None], np.sqrt(1 - height**2) * directions])
    points: FloatArray = radius * directions
    return points
