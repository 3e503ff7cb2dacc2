"""How well found nuclei agree with true ones."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from elephant.types import DetectedSpot, FloatArray, Spot

Nucleus = Spot | DetectedSpot


@dataclass(frozen=True, slots=True)
class Scores:
    """Counts of a comparison.

    Attributes
    ----------
    matches
        Pairs (index of the true nucleus, index of the found one).
    n_true, n_found
        How many there are of each.
    """

    matches: tuple[tuple[int, int], ...]
    n_true: int
    n_found: int

    @property
    def precision(self) -> float:
        """Share of what was found that is true; 0 where nothing was found."""
        return len(self.matches) / self.n_found if self.n_found else 0.0

    @property
    def recall(self) -> float:
        """Share of what is true that was found; 0 where nothing is true."""
        return len(self.matches) / self.n_true if self.n_true else 0.0

    @property
    def f1(self) -> float:
        """Harmonic mean of both."""
        total = self.n_true + self.n_found
        return 2 * len(self.matches) / total if total else 0.0

    @property
    def missed(self) -> set[int]:
        """Indices of true nuclei that were not found."""
        return set(range(self.n_true)) - {true for true, _ in self.matches}

    @property
    def wrong(self) -> set[int]:
        """Indices of detections that match no nucleus."""
        return set(range(self.n_found)) - {found for _, found in self.matches}

    def __str__(self) -> str:
        return f"precision {self.precision:.3f}, recall {self.recall:.3f}, F1 {self.f1:.3f}"


def compare(true: Sequence[Nucleus], found: Sequence[Nucleus], distance: float) -> Scores:
    """Match centres one to one: as many as possible within `distance` (physical), the nearest among those ways."""
    if not true or not found:
        return Scores((), len(true), len(found))
    apart = cdist(_centres(true), _centres(found))
    # A pair that is too far costs more than all others together, so that it never displaces a match.
    cost = np.where(apart <= distance, apart, (distance + 1) * (min(apart.shape) + 1))
    pairs = zip(*linear_sum_assignment(cost), strict=True)
    matches = tuple((int(i), int(j)) for i, j in pairs if apart[i, j] <= distance)
    return Scores(matches, len(true), len(found))


def _centres(spots: Sequence[Nucleus]) -> FloatArray:
    return np.array([spot.pos for spot in spots])
