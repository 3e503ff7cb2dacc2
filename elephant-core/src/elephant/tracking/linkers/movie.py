"""The detections of a movie, prepared for linking: neighbours, densities and traits of each spot."""

from collections.abc import Mapping, Sequence
from copy import copy
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from elephant.tracking.assignment import Indices
from elephant.tracking.linkers.base import NONE, Detections
from elephant.tracking.linkers.student import log_student, robust_spread
from elephant.types import FloatArray

N_NEIGHBOURS = 8
_N_DENSITY = 6  # the neighbour to which a density is measured
_LEAST_SPREAD = 0.05  # of the logs of radii or intensities
_TINY = 1e-9
_ARRAYS = ("times", "firsts", "places", "arrivals", "traits", "trait_odds", "log_density", "spacing")


def ball_volume(n_dims: int) -> float:
    """Return the volume of the unit ball, in 2D the area of the unit disk."""
    return 4 / 3 * np.pi if n_dims == 3 else float(np.pi)


class Movie:
    """Detections with what surrounds them.

    Parameters
    ----------
    detections
        At least one.

    Attributes
    ----------
    times
        Timepoint of each of the N spots.
    firsts
        The first spot of each timepoint, and N, (T + 1,).
    places
        Physical, (N, n), along the axes that the movie has: those along which positions differ.
    arrivals
        Where each was at the timepoint before, by a flow; (N, n), NaN where it is not known, or None.
    traits
        Logs of radii and intensities, as far as known, (N, k).
    has_sizes
        Whether the first trait is the radius.
    part_names
        What the log odds of links are made of: position, and each trait that is known.
    trait_odds
        Log density of each trait in its timepoint, (N, k).
    neighbours
        The nearest spots of the same timepoint, (N, 8), or -1.
    log_density
        Log of the spots per volume around each, (N,).
    spacing
        Median distance of nearest neighbours of each timepoint, (T,).
    """

    def __init__(self, detections: Detections) -> None:
        self.times = detections.timepoints
        self.start, self.stop = int(self.times[0]), int(self.times[-1]) + 1
        self.firsts = np.searchsorted(self.times, np.arange(self.start, self.stop + 1))
        axes = self._axes(detections)
        self.places = np.ascontiguousarray(detections.positions[:, axes])
        self.arrivals = None if detections.earlier is None else np.ascontiguousarray(detections.earlier[:, axes])
        self.has_sizes = detections.radii is not None
        traits = {"size": detections.radii, "intensity": detections.intensities}
        known = {name: values for name, values in traits.items() if values is not None}
        self.part_names: tuple[str, ...] = ("position", *known)
        self.traits = np.log(np.stack(list(known.values()), axis=1)) if known else np.empty((len(self), 0))
        self.trait_odds = np.zeros_like(self.traits)
        self.neighbours = np.full((len(self), N_NEIGHBOURS), NONE, dtype=np.int32)
        self.log_density = np.zeros(len(self))
        self.spacing = np.ones(self.stop - self.start)
        nearest = np.full(len(self), np.nan)
        for t in self.timepoints:
            self._survey(t, nearest)
        self.spacing = self._spacings(nearest)

    def __len__(self) -> int:
        return len(self.times)

    @property
    def n_dims(self) -> int:
        """3 or 2."""
        return int(self.places.shape[1])

    @property
    def division_names(self) -> tuple[str, ...]:
        """What the log odds of divisions are made of."""
        sizes = ("smaller", "even") if self.has_sizes else ()
        return ("middle", "apart", *sizes, *(("dimming",) if "intensity" in self.part_names else ()))

    @property
    def timepoints(self) -> range:
        """All timepoints from the first to the last spot."""
        return range(self.start, self.stop)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return what :meth:`restored` makes the movie of, by name; but for who the neighbours of spots are."""
        return {name: array for name in _ARRAYS if (array := getattr(self, name)) is not None}

    @classmethod
    def restored(cls, arrays: Mapping[str, NDArray[Any]], part_names: Sequence[str]) -> Self:
        """Return a movie of its :meth:`arrays` and its `part_names`: it can be solved, and nothing estimated of it."""
        movie = cls.__new__(cls)
        for name in _ARRAYS:
            setattr(movie, name, arrays.get(name))
        movie.start = int(movie.times[0])
        movie.stop = movie.start + len(movie.spacing)
        movie.part_names = tuple(part_names)
        movie.has_sizes = "size" in movie.part_names
        movie.neighbours = np.empty((0, N_NEIGHBOURS), dtype=np.int32)
        return movie

    def part(self, first: int, stop: int) -> Self:
        """Return some timepoints; what spots know of their surroundings stays, but not who their neighbours are."""
        here = self.slice_of(first, stop)
        part = copy(self)
        part.times, part.places = self.times[here], self.places[here]
        part.arrivals = None if self.arrivals is None else self.arrivals[here]
        part.traits, part.trait_odds = self.traits[here], self.trait_odds[here]
        part.neighbours = self.neighbours[:0]
        part.log_density = self.log_density[here]
        part.spacing = self.spacing[first - self.start : stop - self.start]
        part.start, part.stop = first, stop
        part.firsts = np.searchsorted(part.times, np.arange(first, stop + 1))
        return part

    def slice_of(self, first: int, stop: int) -> slice:
        """Return the spots of some timepoints."""
        a, b = (int(np.clip(t, self.start, self.stop)) - self.start for t in (first, stop))
        return slice(int(self.firsts[a]), int(self.firsts[b]))

    def at(self, t: int) -> Indices:
        """Return the indices of the spots of a timepoint."""
        found = self.slice_of(t, t + 1)
        return np.arange(found.start, found.stop)

    def count(self) -> NDArray[np.int64]:
        """Return the number of spots of each timepoint, (T,)."""
        return np.diff(self.firsts)

    @staticmethod
    def _axes(detections: Detections) -> list[int]:
        if len(detections) and np.ptp(detections.positions[:, 0]) == 0:
            return [1, 2]
        return [0, 1, 2]

    def _survey(self, t: int, nearest: FloatArray) -> None:
        here = self.at(t)
        if len(here) > 1:
            n_near = min(N_NEIGHBOURS + 1, len(here))
            distance, which = cKDTree(self.places[here]).query(self.places[here], k=n_near)
            self.neighbours[here[:, None], np.arange(n_near - 1)] = here[which[:, 1:]]
            nearest[here] = distance[:, 1]
            n = min(_N_DENSITY, n_near - 1)
            reach = distance[:, n] + _TINY
            self.log_density[here] = np.log(n / ball_volume(self.n_dims)) - self.n_dims * np.log(reach)
        for k in range(self.traits.shape[1]):
            values = self.traits[here, k]
            spread = robust_spread(values, _LEAST_SPREAD)
            middle = np.median(values) if len(values) else 0.0
            self.trait_odds[here, k] = log_student(((values - middle) / spread) ** 2, 1) - np.log(spread)

    def _spacings(self, nearest: FloatArray) -> FloatArray:
        known = nearest[np.isfinite(nearest)]
        whole = max(float(np.median(known)), _TINY) if len(known) else 1.0
        of_each = np.full(self.stop - self.start, whole)
        for t in self.timepoints:
            here = nearest[self.slice_of(t, t + 1)]
            here = here[np.isfinite(here)]
            if len(here) >= N_NEIGHBOURS:
                of_each[t - self.start] = max(float(np.median(here)), _TINY)
        self.log_density[np.isnan(nearest)] = -np.log(ball_volume(self.n_dims)) - self.n_dims * np.log(whole)
        return of_each
