"""How many are true, how many were found, and how many of both are the same."""

import math
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class Counts:
    """What a comparison counted: of nuclei, links or divisions.

    Attributes
    ----------
    n_true, n_found
        How many there are of each.
    n_matched
        How many pairs of a true and a found one; none is in two pairs.
    """

    n_true: int
    n_found: int
    n_matched: int

    @property
    def precision(self) -> float:
        """Share of what was found that is true; 0 where nothing was found, NaN where nothing is true, either."""
        return self._share(self.n_found)

    @property
    def recall(self) -> float:
        """Share of what is true that was found; 0 where nothing is true, NaN where nothing was found, either."""
        return self._share(self.n_true)

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall, NaN where nothing is true and nothing was found.

        References
        ----------
        van Rijsbergen, Information Retrieval, 1979, chapter 7.
        """
        total = self.n_true + self.n_found
        return 2 * self.n_matched / total if total else math.nan

    @property
    def n_missed(self) -> int:
        """How many true ones were not found."""
        return self.n_true - self.n_matched

    @property
    def n_wrong(self) -> int:
        """How many found ones match no true one."""
        return self.n_found - self.n_matched

    def __add__(self, other: Self) -> "Counts":
        """Return the counts of both together."""
        return Counts(self.n_true + other.n_true, self.n_found + other.n_found, self.n_matched + other.n_matched)

    def __str__(self) -> str:
        return f"precision {self.precision:.3f}, recall {self.recall:.3f}, F1 {self.f1:.3f}"

    def _share(self, total: int) -> float:
        if total:
            return self.n_matched / total
        return 0.0 if self.n_true + self.n_found else math.nan


def shown(share: float) -> str:
    """Return a share in three digits, rounded down, so that only what is perfect reads 1; ``-`` for NaN."""
    return "-" if math.isnan(share) else f"{math.floor(share * 1000 + 1e-9) / 1000:.3f}"
