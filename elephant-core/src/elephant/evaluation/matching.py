"""Which found nucleus is which true one: one to one, by the distance of their centres or by how far they overlap."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from elephant.evaluation.counts import Counts
from elephant.evaluation.overlap import overlapping_pairs
from elephant.tracking.assignment import Indices, assign, near_pairs
from elephant.types import DetectedSpot, FloatArray, Spot

Nucleus = Spot | DetectedSpot


@dataclass(frozen=True, slots=True, eq=False)
class Matching:
    """True and found nuclei of one timepoint, in pairs.

    Attributes
    ----------
    pairs
        Indices of a true nucleus and of the found one that it is, (N, 2).
    distances
        Between the centres of each pair, physical, (N,).
    n_true, n_found
        How many nuclei there are of each.
    """

    pairs: Indices
    distances: FloatArray
    n_true: int
    n_found: int

    @property
    def counts(self) -> Counts:
        """How many nuclei there are, and how many pairs."""
        return Counts(self.n_true, self.n_found, len(self.pairs))

    @property
    def missed(self) -> set[int]:
        """Indices of true nuclei that were not found."""
        return set(range(self.n_true)) - set(self.pairs[:, 0].tolist())

    @property
    def wrong(self) -> set[int]:
        """Indices of found nuclei that are no true one."""
        return set(range(self.n_found)) - set(self.pairs[:, 1].tolist())


@dataclass(frozen=True, slots=True, eq=False)
class TimepointScores:
    """The nuclei of one timepoint.

    Attributes
    ----------
    t
        The timepoint.
    true, found
        The nuclei that count.
    matching
        Which of them are the same.
    """

    t: int
    true: Sequence[Nucleus]
    found: Sequence[Nucleus]
    matching: Matching


def match_by_distance(true: Sequence[Nucleus], found: Sequence[Nucleus], distance: float) -> Matching:
    """Pair nuclei whose centres are at most `distance` apart, physical.

    There are as many pairs as possible; among the ways to have as many, those whose distances have the smallest sum.

    Raises
    ------
    InvalidInputError
        `distance` is so large that nearly every nucleus is near to every other.
    """
    meaning = "a distance within which a nucleus has few others, such as its radius"
    i, j, apart = near_pairs(_centres(true), _centres(found), distance, meaning)
    return _matching(true, found, *assign(i, j, apart, distance))


def match_by_overlap(true: Sequence[Nucleus], found: Sequence[Nucleus], least: float, n_dims: int) -> Matching:
    """Pair nuclei whose intersection is at least the share `least` of their union, as ellipsoids.

    There are as many pairs as possible; among the ways to have as many, those whose shares have the largest sum.

    Parameters
    ----------
    least
        Above 0, at most 1.
    n_dims
        3, or 2 for ellipses over Y and X.

    Raises
    ------
    InvalidInputError
        A nucleus is not an ellipsoid.

    References
    ----------
    Weigert et al., WACV 2020, doi:10.1109/WACV45572.2020.9093435, for masks.
    """
    i, j, share = overlapping_pairs(true, found, least, n_dims)
    return _matching(true, found, *assign(i, j, 1 - share, 1.0))


def _matching(true: Sequence[Nucleus], found: Sequence[Nucleus], i: Indices, j: Indices) -> Matching:
    order = np.argsort(i, kind="stable")
    pairs = np.stack([i[order], j[order]], axis=1)
    apart = np.linalg.norm(_centres(true)[pairs[:, 0]] - _centres(found)[pairs[:, 1]], axis=1)
    return Matching(pairs, apart, len(true), len(found))


def _centres(nuclei: Sequence[Nucleus]) -> FloatArray:
    return np.array([nucleus.pos for nucleus in nuclei], dtype=np.float64).reshape(-1, 3)
