"""How likely links and divisions are, as log odds against chance: from distance, size, intensity and shape.

Each part is the log of how much more often it is seen in a link than between spots that have nothing to do with each
other: a spot of the next timepoint lies at any place with the density of its surroundings. Such odds have no unit, so
that no threshold needs to be known.
"""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from elephant.tracking.assignment import Indices
from elephant.tracking.linkers.motion import Motion, Tendencies
from elephant.tracking.linkers.movie import Movie
from elephant.tracking.linkers.prior import Prior
from elephant.tracking.linkers.student import STRICT_FREEDOM, log_student
from elephant.types import FloatArray

_TINY = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class Shape:
    """What divisions of a movie look like: middles and spreads.

    Attributes
    ----------
    off
        By how far the middle of the daughters misses the mother, physical.
    apart, apart_spread
        Log of half of the daughters' distance over the spacing.
    shrinking, shrinking_spread
        Log of the radius of a daughter of mean volume over the mother's.
    evenness
        Spread of the log of the ratio of the daughters' radii.
    """

    off: float
    apart: float
    apart_spread: float
    shrinking: float
    shrinking_spread: float
    evenness: float


@dataclass(frozen=True, slots=True, eq=False)
class Rates:
    """How often what happens.

    Attributes
    ----------
    dividing
        Share of the spots of each timepoint that divide before the next, (T,).
    missing
        Share of the nuclei that have no spot at a timepoint.
    wrong
        Share of the spots that are no nuclei.
    appearing, disappearing
        Share of the spots whose nucleus was not there before, or is not there afterwards.
    """

    dividing: FloatArray
    missing: float
    wrong: float
    appearing: float
    disappearing: float


@dataclass(frozen=True, slots=True, eq=False)
class LinkModel:
    """All that is estimated of a movie.

    Attributes
    ----------
    tendencies, motion, shape, rates
        What it is made of.
    prior
        Weights of the parts of the log odds.
    """

    tendencies: Tendencies
    motion: Motion
    shape: Shape
    rates: Rates
    prior: Prior

    def part(self, movie: Movie, first: int, stop: int) -> Self:
        """Return what concerns some timepoints, for that part of the movie."""
        here, times = movie.slice_of(first, stop), slice(first - movie.start, stop - movie.start)
        known = self.tendencies
        return replace(
            self,
            tendencies=Tendencies(known.common[here], known.past[here], known.future[here]),
            motion=replace(self.motion, by_time=self.motion.by_time[times]),
            rates=replace(self.rates, dividing=self.rates.dividing[times]),
        )

    def link_parts(self, movie: Movie, parents: Indices, children: Indices) -> FloatArray:
        """Return the log odds of links by position and by each trait, (links, 1 + k)."""
        expected, scale = self.motion.expected(movie, self.tendencies, parents, children)
        left = (movie.places[children] - movie.places[parents] - expected) / scale
        by_place = log_student((left**2).sum(axis=1), movie.n_dims) - np.log(scale).sum(axis=1)
        parts = [by_place - movie.log_density[children]]
        duration = movie.times[children] - movie.times[parents]
        for k, change in enumerate(self.motion.changes):
            spread = change * np.sqrt(duration)
            left = (movie.traits[children, k] - movie.traits[parents, k]) / spread
            parts.append(log_student(left**2, 1) - np.log(spread) - movie.trait_odds[children, k])
        return np.stack(parts, axis=1)

    def link_odds(self, movie: Movie, parents: Indices, children: Indices) -> FloatArray:
        """Return the log odds of links, (links,)."""
        return self.prior.links.odds(movie.part_names, self.link_parts(movie, parents, children))

    def division_parts(self, movie: Movie, mothers: Indices, ones: Indices, others: Indices) -> FloatArray:
        """Return the log odds of divisions by place, distance and sizes of the daughters, (divisions, 2 or 4)."""
        n, t = movie.n_dims, movie.times[mothers] - movie.start
        middle, half, duration = self._geometry(movie, mothers, ones, others)
        scale = self.shape.off * self.motion.by_time[t] * np.sqrt(duration)
        by_place = log_student((middle**2).sum(axis=1) / scale**2, n) - n * np.log(scale)
        # Two spots anywhere, against a middle and a half distance: their volumes differ by a factor of 2 per axis.
        by_place -= movie.log_density[ones] + n * np.log(2)
        off = (np.log(half / movie.spacing[t]) - self.shape.apart) / self.shape.apart_spread
        surface = np.log(4 * np.pi * half**2) if n == 3 else np.log(2 * np.pi * half)
        apart = log_student(off**2, 1, STRICT_FREEDOM) - np.log(self.shape.apart_spread * half) - surface
        parts = [by_place, apart + np.log(2) - movie.log_density[others]]
        if movie.has_sizes:
            parts += self._sizes(movie, mothers, ones, others)
        return np.stack(parts, axis=1)

    def division_odds(self, movie: Movie, mothers: Indices, ones: Indices, others: Indices) -> FloatArray:
        """Return the log odds of divisions, (divisions,)."""
        parts = self.division_parts(movie, mothers, ones, others)
        return self.prior.divisions.odds(self.prior.divisions.names[: parts.shape[1]], parts)

    def _geometry(
        self, movie: Movie, mothers: Indices, ones: Indices, others: Indices
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return by how much the middle misses where the mother was going, half of the distance, and the duration."""
        duration = (movie.times[ones] + movie.times[others]) / 2 - movie.times[mothers]
        going = going_of(self.tendencies, self.motion, mothers)
        middle = (movie.places[ones] + movie.places[others]) / 2 - movie.places[mothers] - going * duration[:, None]
        half = np.linalg.norm(movie.places[ones] - movie.places[others], axis=1) / 2 + _TINY
        return middle, half, duration

    def _sizes(self, movie: Movie, mothers: Indices, ones: Indices, others: Indices) -> list[FloatArray]:
        shrinking, unevenness = sizes_of(movie, mothers, ones, others)
        spread = self.shape.shrinking_spread
        small = log_student(((shrinking - self.shape.shrinking) / spread) ** 2, 1, STRICT_FREEDOM) - np.log(spread)
        even = log_student((unevenness / self.shape.evenness) ** 2, 1, STRICT_FREEDOM) - np.log(self.shape.evenness)
        odds = movie.trait_odds[:, 0]
        return [small - odds[ones], even - odds[others]]


def going_of(tendencies: Tendencies, motion: Motion, mothers: Indices) -> FloatArray:
    """Return the motion that is expected of mothers, from the common motion and their past, (divisions, n)."""
    common, past = tendencies.common[mothers], tendencies.past[mothers]
    is_known = np.isfinite(past[:, 0])
    shares = motion.shares[is_known.astype(np.intp)]
    going: FloatArray = shares[:, :1] * common + shares[:, 1:2] * np.nan_to_num(past - common)
    return going


def sizes_of(movie: Movie, mothers: Indices, ones: Indices, others: Indices) -> tuple[FloatArray, FloatArray]:
    """Return by how much daughters are smaller than the mother, and how much they differ: logs of ratios of radii."""
    one, other = movie.traits[ones, 0], movie.traits[others, 0]
    return np.logaddexp(3 * one, 3 * other) / 3 - np.log(2) / 3 - movie.traits[mothers, 0], one - other
