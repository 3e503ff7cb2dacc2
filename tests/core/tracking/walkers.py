"""Small movies of nuclei that wander and divide, with what a detector misses and makes up."""

from dataclasses import dataclass

import numpy as np

from elephant.tracking.assignment import Indices
from elephant.tracking.linkers import Detections
from elephant.types import FloatArray

NONE = -1


@dataclass(frozen=True, eq=False)
class Walk:
    """Detections and the true parent of each, or -1."""

    detections: Detections
    parents: Indices

    def errors(self, parents: Indices) -> int:
        """Count links that are missing and those that are wrong."""
        is_other = parents != self.parents
        return int((is_other & (self.parents != NONE)).sum() + (is_other & (parents != NONE)).sum())

    def divisions(self, parents: Indices | None = None) -> set[tuple[int, ...]]:
        """Return mothers with their daughters."""
        found: dict[int, list[int]] = {}
        for child, parent in enumerate(self.parents if parents is None else parents):
            if parent != NONE:
                found.setdefault(int(parent), []).append(child)
        return {(parent, *children) for parent, children in found.items() if len(children) > 1}


def walk(
    n: int = 40,
    n_timepoints: int = 12,
    *,
    seed: int = 0,
    dividing: float = 0.02,
    missing: float = 0.05,
    false: float = 0.05,
    n_dims: int = 3,
    speed: float = 0.8,
    drift: float = 0.0,
    start: int = 0,
    jitter: float = 0.03,
) -> Walk:
    """Return a movie of nuclei about 8 apart, of radius 3, that move by `speed` along each axis and by a `drift`.

    `jitter` is by how much radii are wrong, as a log.
    """
    rng = np.random.default_rng(seed)
    side = 8.0 * n ** (1 / n_dims)
    alive = [(rng.uniform(0, side, n_dims), 3.0, NONE) for _ in range(n)]
    rows: list[tuple[int, FloatArray, float, int]] = []
    for t in range(n_timepoints):
        following = []
        for place, radius, last in alive:
            seen = last
            if rng.random() >= missing:
                seen = len(rows)
                rows.append((t + start, place, radius * np.exp(rng.normal() * jitter), last))
            moved = place + rng.normal(size=n_dims) * speed + drift
            if rng.random() < dividing:
                away = rng.normal(size=n_dims)
                away *= 3.0 / np.linalg.norm(away)
                following += [(moved + away, radius * 0.8, seen), (moved - away, radius * 0.8, seen)]
            else:
                following.append((moved, min(3.0, radius * 1.05), seen))
        rows += [
            (t + start, rng.uniform(0, side, n_dims) + drift * t, 3.0 * np.exp(rng.normal() * 0.1), NONE)
            for _ in range(rng.poisson(false * len(alive)))
        ]
        alive = following
    places = np.zeros((len(rows), 3))
    places[:, 3 - n_dims :] = np.array([place for _, place, _, _ in rows])
    times = np.array([t for t, *_ in rows], dtype=np.int64)
    radii = np.array([radius for _, _, radius, _ in rows])
    return Walk(Detections(times, places, radii), np.array([parent for *_, parent in rows], dtype=np.intp))
