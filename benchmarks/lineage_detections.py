"""Detections made from true lineages, as a detector leaves them, and how well they were joined again."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from elephant.tracking.assignment import Indices
from elephant.tracking.linkers import Detections
from elephant.types import FloatArray

NONE = -1
MISSING, FALSE, JITTER = 0.05, 0.05, 1 / 30  # shares of the nuclei; of the spacing


@dataclass(frozen=True, slots=True)
class Detector:
    """What is known of spots besides their positions, and how well.

    Attributes
    ----------
    sizes
        By how much the logs of the radii are jittered; None: radii are not known.
    planes
        How many spacings lie between two planes, to which positions are rounded along Z; 0: they are not.
    flow
        Error, along each axis, of where a flow says that nuclei were at the timepoint before, over the root mean square
        of how far they moved; None: there is no flow.
    intensities
        By how much the logs of the intensities are jittered; None: they are not known.
    """

    sizes: float | None = 0.0
    planes: float = 0.0
    flow: float | None = None
    intensities: float | None = None


PLAIN = Detector()


@dataclass(frozen=True, slots=True, eq=False)
class TrueLineages:
    """Nuclei of a movie, in the order of their timepoints.

    Attributes
    ----------
    timepoints, positions, radii
        Of each, (N,), (N, 3), Z, Y, X, (N,).
    parents
        Index of the mother, or of the same nucleus at an earlier timepoint, or -1, (N,).
    intensities
        Of each, (N,), or None.
    earlier
        Where each, or its mother, was at the timepoint before, (N, 3); NaN at the first one.
    """

    timepoints: NDArray[np.int64]
    positions: FloatArray
    radii: FloatArray
    parents: Indices
    earlier: FloatArray
    intensities: FloatArray | None = None

    @classmethod
    def of(
        cls,
        timepoints: NDArray[np.int64],
        positions: FloatArray,
        radii: FloatArray,
        parents: Indices,
        intensities: FloatArray | None = None,
    ) -> "TrueLineages":
        """Return the lineages of nuclei in the order of their timepoints."""
        earlier = np.where((parents == NONE)[:, None], np.nan, positions[parents])
        return cls(timepoints, positions, radii, parents, earlier, intensities)

    @classmethod
    def read(cls, path: Path) -> "TrueLineages":
        """Read a table with the columns t, id, parent, x, y, z, radius."""
        with path.open(encoding="utf-8", newline="") as file:
            rows = sorted(csv.DictReader(file), key=lambda row: (int(row["t"]), int(row["id"])))
        index = {row["id"]: i for i, row in enumerate(rows)}
        numbers = np.array([[float(row[name]) for name in ("z", "y", "x", "radius")] for row in rows])
        parents = np.array([index.get(row["parent"], NONE) for row in rows], dtype=np.intp)
        return cls.of(np.array([int(row["t"]) for row in rows]), numbers[:, :3], numbers[:, 3], parents)

    def every(self, step: int) -> "TrueLineages":
        """Return each `step`-th timepoint."""
        if step == 1:
            return self
        is_kept = (self.timepoints - self.timepoints[0]) % step == 0
        kept = self._without(~is_kept)
        times = (kept.timepoints - kept.timepoints[0]) // step
        return self.of(times, kept.positions, kept.radii, kept.parents, kept.intensities)

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
            self.earlier[~is_gone],
            None if self.intensities is None else self.intensities[~is_gone],
        )

    def spacing(self) -> float:
        """Return the median distance of nearest neighbours."""
        nearest = [
            cKDTree(here).query(here, k=2)[0][:, 1]
            for here in (self.positions[self.timepoints == t] for t in np.unique(self.timepoints))
            if len(here) > 1
        ]
        return float(np.median(np.concatenate(nearest)))

    def detected(self, seed: int, detector: Detector = PLAIN) -> tuple[Detections, Indices]:
        """Return what a detector may have found, and the true parent of each spot, or -1.

        Some nuclei are missing, some spots are false: they lie about one spacing from nuclei, have radii and
        intensities of others, and move as these do; each position is jittered.
        """
        rng = np.random.default_rng(seed)
        spacing = self.spacing()
        kept = self._without(rng.random(len(self.timepoints)) < MISSING)
        places = kept.positions + rng.normal(size=kept.positions.shape) * spacing * JITTER
        like, found = [np.arange(len(places))], [places]  # the nucleus that each spot is, or, if false, is like
        for t in np.unique(kept.timepoints):
            here = np.flatnonzero(kept.timepoints == t)
            n = rng.poisson(FALSE * len(here))
            like.append(rng.choice(here, n))
            found.append(places[like[-1]] + rng.normal(size=(n, 3)) * spacing)
        of = np.concatenate(like)
        order = np.lexsort((rng.random(len(of)), kept.timepoints[of]))
        new = np.empty_like(order)
        new[order] = np.arange(len(order))
        parents = np.full(len(order), NONE, dtype=np.intp)
        parents[new[: len(kept.parents)]] = np.where(kept.parents == NONE, NONE, new[kept.parents])
        return kept.seen(rng, detector, of[order], np.concatenate(found)[order]), parents

    def seen(self, rng: np.random.Generator, detector: Detector, of: Indices, places: FloatArray) -> Detections:
        """Return spots at places, with what a detector tells of them; each is like one of the nuclei."""
        radii = intensities = earlier = None
        if detector.sizes is not None:
            radii = self.radii[of] * np.exp(rng.normal(size=len(of)) * detector.sizes)
        if detector.intensities is not None and self.intensities is not None:
            intensities = self.intensities[of] * np.exp(rng.normal(size=len(of)) * detector.intensities)
        if detector.flow is not None:
            moved = self.positions - self.earlier
            error = detector.flow * np.sqrt(np.nanmean(moved**2)) * rng.normal(size=places.shape)
            earlier = places - moved[of] + error
        if detector.planes:
            step = detector.planes * self.spacing()
            places[:, 0] = np.round(places[:, 0] / step) * step
        return Detections(self.timepoints[of], places, radii, intensities, earlier)


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
