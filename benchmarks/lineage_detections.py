"""Detections made from true lineages, as a detector leaves them, and how well they were joined again."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from elephant.tracking.assignment import Indices
from elephant.tracking.linkers import Detections
from elephant.types import FloatArray

NONE = -1
MISSING, FALSE, JITTER = 0.05, 0.05, 1 / 30  # shares of the nuclei; of the spacing


@dataclass(frozen=True, slots=True, eq=False)
class TrueLineages:
    """Nuclei of a movie, in the order of their timepoints.

    Attributes
    ----------
    timepoints, positions, radii
        Of each, (N,), (N, 3), Z, Y, X, (N,).
    parents
        Index of the mother, or of the same nucleus at an earlier timepoint, or -1, (N,).
    """

    timepoints: NDArray[np.int64]
    positions: FloatArray
    radii: FloatArray
    parents: Indices

    @classmethod
    def read(cls, path: Path) -> "TrueLineages":
        """Read a table with the columns t, id, parent, x, y, z, radius."""
        with path.open(encoding="utf-8", newline="") as file:
            rows = sorted(csv.DictReader(file), key=lambda row: (int(row["t"]), int(row["id"])))
        index = {row["id"]: i for i, row in enumerate(rows)}
        numbers = np.array([[float(row[name]) for name in ("z", "y", "x", "radius")] for row in rows])
        parents = np.array([index.get(row["parent"], NONE) for row in rows], dtype=np.intp)
        return cls(np.array([int(row["t"]) for row in rows]), numbers[:, :3], numbers[:, 3], parents)

    def every(self, step: int) -> "TrueLineages":
        """Return each `step`-th timepoint."""
        if step == 1:
            return self
        is_kept = (self.timepoints - self.timepoints[0]) % step == 0
        kept = self._without(~is_kept)
        return replace(kept, timepoints=(kept.timepoints - kept.timepoints[0]) // step)

    def _without(self, is_gone: NDArray[np.bool_]) -> "TrueLineages":
        """Return the others, each with the last one before it that is not gone as its parent."""
        parents = self.parents.copy()
        for i in range(len(parents)):  # in the order of time, so that that of a parent is right
            if parents[i] != NONE and is_gone[parents[i]]:
                parents[i] = parents[parents[i]]
        new = np.cumsum(~is_gone) - 1
        kept = parents[~is_gone]
        return TrueLineages(
            self.timepoints[~is_gone],
            self.positions[~is_gone],
            self.radii[~is_gone],
            np.where(kept == NONE, NONE, new[kept]),
        )

    def spacing(self) -> float:
        """Return the median distance of nearest neighbours."""
        nearest = [
            cKDTree(here).query(here, k=2)[0][:, 1]
            for here in (self.positions[self.timepoints == t] for t in np.unique(self.timepoints))
            if len(here) > 1
        ]
        return float(np.median(np.concatenate(nearest)))

    def detected(self, seed: int, sizes: float | None = 0.0, planes: float = 0.0) -> tuple[Detections, Indices]:
        """Return what a detector may have found, and the true parent of each spot, or -1.

        Some nuclei are missing, some spots are false: they lie about one spacing from nuclei, and have radii of
        others; each position is jittered.

        Parameters
        ----------
        sizes
            By how much the logs of the radii are jittered; None: radii are not known.
        planes
            How many spacings lie between two planes, to which positions are rounded along Z; 0: they are not.
        """
        rng = np.random.default_rng(seed)
        spacing = self.spacing()
        kept = self._without(rng.random(len(self.timepoints)) < MISSING)
        places = kept.positions + rng.normal(size=kept.positions.shape) * spacing * JITTER
        times, radii = [kept.timepoints], [kept.radii]
        found = [places]
        for t in np.unique(kept.timepoints):
            here = np.flatnonzero(kept.timepoints == t)
            n = rng.poisson(FALSE * len(here))
            found.append(places[rng.choice(here, n)] + rng.normal(size=(n, 3)) * spacing)
            times.append(np.full(n, t))
            radii.append(kept.radii[rng.choice(here, n)])
        all_times = np.concatenate(times)
        order = np.lexsort((rng.random(len(all_times)), all_times))
        new = np.empty_like(order)
        new[order] = np.arange(len(order))
        parents = np.full(len(order), NONE, dtype=np.intp)
        parents[new[: len(kept.parents)]] = np.where(kept.parents == NONE, NONE, new[kept.parents])
        radius = np.concatenate(radii)[order] * np.exp(rng.normal(size=len(order)) * (sizes or 0.0))
        places = np.concatenate(found)[order]
        if planes:
            places[:, 0] = np.round(places[:, 0] / (planes * spacing)) * planes * spacing
        spots = Detections(all_times[order], places, None if sizes is None else radius)
        return spots, parents


@dataclass(frozen=True, slots=True)
class Scores:
    """How well spots were joined.

    Attributes
    ----------
    n_links
        True links: of each spot to the last one of its nucleus, or of its mother, that was detected.
    missing, wrong
        True links that were not found, and found ones that are not true.
    n_divisions
        Spots with two true children.
    division_f1
        Harmonic mean of precision and recall; right is a division with its mother and both daughters.
    """

    n_links: int
    missing: int
    wrong: int
    n_divisions: int
    division_f1: float

    @property
    def errors(self) -> int:
        """Wrong or missing links."""
        return self.missing + self.wrong


def score(parents: Sequence[int] | Indices, true: Indices) -> Scores:
    """Compare parents with true ones, by the indices of spots."""
    found, right = _links(parents), _links(true)
    divided, divisions = _divisions(parents), _divisions(true)
    n = len(divided) + len(divisions)
    f1 = 2 * len(divided & divisions) / n if n else 1.0
    return Scores(len(right), len(right - found), len(found - right), len(divisions), f1)


def _links(parents: Sequence[int] | Indices) -> set[tuple[int, int]]:
    return {(int(parent), child) for child, parent in enumerate(parents) if parent != NONE}


def _divisions(parents: Sequence[int] | Indices) -> set[tuple[int, ...]]:
    children: dict[int, list[int]] = {}
    for parent, child in sorted(_links(parents)):
        children.setdefault(parent, []).append(child)
    return {(parent, *found) for parent, found in children.items() if len(found) > 1}


def mean_scores(scores: Sequence[Scores]) -> Mapping[str, float]:
    """Return the mean of what several seeds gave."""
    return {
        "links": float(np.mean([s.n_links for s in scores])),
        "errors": float(np.mean([s.errors for s in scores])),
        "missing": float(np.mean([s.missing for s in scores])),
        "wrong": float(np.mean([s.wrong for s in scores])),
        "division F1": float(np.mean([s.division_f1 for s in scores])),
    }
