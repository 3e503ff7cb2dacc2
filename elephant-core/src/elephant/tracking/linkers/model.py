"""How likely links and divisions are, as log odds against chance: from distance, size, intensity and shape.

Each part is the log of how much more often it is seen in a link than between spots that have nothing to do with each
other: a spot of the next timepoint lies at any place with the density of its surroundings. Such odds have no unit, so
that no threshold needs to be known.
"""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from elephant.tracking.assignment import Indices
from elephant.tracking.linkers.motion import Motion, Tendencies
from elephant.tracking.linkers.movie import Movie
from elephant.tracking.linkers.prior import Prior
from elephant.tracking.linkers.student import STRICT_FREEDOM, log_student
from elephant.types import FloatArray

_TINY = 1e-9

Division = tuple[Indices, Indices, Indices]  # mothers, and one daughter and the other of each


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
    dimming, dimming_spread
        Log of the intensity of a daughter over the mother's.
    """

    off: float
    apart: float
    apart_spread: float
    shrinking: float
    shrinking_spread: float
    evenness: float
    dimming: float
    dimming_spread: float


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
        """Return the log odds of divisions by place, distance and traits of the daughters, (divisions, 2 to 5)."""
        return np.hstack([self._places(movie, mothers, ones, others), self._traits(movie, mothers, ones, others)])

    def likely_divisions(self, movie: Movie, divisions: Division, least: FloatArray) -> tuple[Indices, FloatArray]:
        """Return which divisions have log odds above `least`, and these odds.

        Each part is looked at only where those before it leave it open, which is in ever fewer.

        Parameters
        ----------
        divisions
            Mothers and their two daughters, (divisions,) each.
        least
            For each of them, (divisions,).
        """
        weights, names = self.prior.divisions, movie.division_names
        of_middle, of_apart = weights.of(names[:2])
        at_most = self._most_of_traits(movie, divisions)
        apart = self._apart(movie, *divisions)
        most_of_middle = self._most_of_middle(movie, divisions, of_middle)
        kept = np.flatnonzero(weights.offset + of_apart * apart + most_of_middle + at_most > least)
        left, apart = _taken(divisions, kept), apart[kept]
        odds = weights.offset + of_apart * apart + of_middle * self._middle(movie, left, apart)
        is_likely = odds + at_most[kept] > least[kept]
        kept, odds, left = kept[is_likely], odds[is_likely], _taken(left, is_likely)
        odds = odds + self._traits(movie, *left) @ weights.of(names[2:])
        is_likely = odds > least[kept]
        return kept[is_likely], odds[is_likely]

    def _places(self, movie: Movie, mothers: Indices, ones: Indices, others: Indices) -> FloatArray:
        """Return the log odds of divisions by the daughters' middle and by their distance, (divisions, 2)."""
        apart = self._apart(movie, mothers, ones, others)
        return np.stack([self._middle(movie, (mothers, ones, others), apart), apart], axis=1)

    def _middle(self, movie: Movie, divisions: Division, apart: FloatArray) -> FloatArray:
        """Return the log odds of divisions by the daughters' middle, (divisions,), given those by their distance."""
        mothers, ones, others = divisions
        duration = (movie.times[ones] + movie.times[others]) / 2 - movie.times[mothers]
        first = mothers.min(initial=len(movie))
        going = going_of(self.tendencies, self.motion, slice(first, mothers.max(initial=0) + 1))[mothers - first]
        middle = (movie.places[ones] + movie.places[others]) / 2 - movie.places[mothers] - going * duration[:, None]
        squares = (_lengths(middle) / self._scale(movie, divisions)) ** 2
        odds = log_student(squares, movie.n_dims) + self._scaled(movie, divisions)
        if movie.arrivals is not None:
            odds += self._more_by_flow(movie, movie.arrivals, divisions, odds + apart)
        return odds

    def _most_of_middle(self, movie: Movie, divisions: Division, weight: float) -> FloatArray | float:
        """Return what the daughters' middle, with its weight, adds to the log odds at most, (divisions,)."""
        if movie.arrivals is not None or weight < 0:
            return np.inf
        return weight * (self._scaled(movie, divisions) + float(log_student(np.zeros(1), movie.n_dims)[0]))

    def _scale(self, movie: Movie, divisions: Division) -> FloatArray:
        """Return by how far the daughters' middle may miss the mother, (divisions,)."""
        mothers, ones, others = divisions
        duration = (movie.times[ones] + movie.times[others]) / 2 - movie.times[mothers]
        return np.asarray(self.shape.off * self.motion.by_time[movie.times[mothers] - movie.start] * np.sqrt(duration))

    def _scaled(self, movie: Movie, divisions: Division) -> FloatArray:
        """Return the log of how much rarer other spots' middles are, but for their distance in scales, (divisions,)."""
        n = movie.n_dims
        # Two spots anywhere, against a middle and a half distance: their volumes differ by a factor of 2 per axis.
        return np.asarray(-n * np.log(2 * self._scale(movie, divisions)) - movie.log_density[divisions[1]])

    def _apart(self, movie: Movie, mothers: Indices, ones: Indices, others: Indices) -> FloatArray:
        """Return the log odds of divisions by the daughters' distance, (divisions,)."""
        log_half = np.log(_lengths(movie.places[ones] - movie.places[others]) / 2 + _TINY)
        log_spacing = np.log(movie.spacing)[movie.times[mothers] - movie.start]
        off = (log_half - log_spacing - self.shape.apart) / self.shape.apart_spread
        surface = np.log(4 * np.pi) + 2 * log_half if movie.n_dims == 3 else np.log(2 * np.pi) + log_half
        apart = log_student(off**2, 1, STRICT_FREEDOM) - np.log(self.shape.apart_spread)
        return np.asarray(apart - log_half - surface + np.log(2) - movie.log_density[others])

    def _more_by_flow(self, movie: Movie, arrivals: FloatArray, division: Division, odds: FloatArray) -> FloatArray:
        """Return what a flow adds to the log odds of divisions by place, saying where daughters were.

        A flow that has learnt divisions takes both to her; another one tells nothing. Each is as likely.
        """
        mothers, ones, others = division
        by_flow = self._by_flow_alone(movie, arrivals, mothers, ones)
        by_flow += self._by_flow_alone(movie, arrivals, mothers, others)
        is_known = np.isfinite(by_flow)
        more: FloatArray = np.logaddexp(odds, np.where(is_known, by_flow, odds)) - np.log(2) - odds
        return np.where(is_known, more, 0.0)

    def _by_flow_alone(self, movie: Movie, arrivals: FloatArray, mothers: Indices, daughters: Indices) -> FloatArray:
        """Return the log odds of links by where a flow says that daughters were, NaN where it does not."""
        scale = self.motion.scales[0] * self.motion.by_time[movie.times[mothers] - movie.start][:, None]
        # All of the flow counts, not the share that suits small motions best: daughters come from afar.
        left = (arrivals[daughters] - movie.places[mothers]) / scale
        odds = log_student((left**2).sum(axis=1), movie.n_dims) - np.log(scale).sum(axis=1)
        is_next = movie.times[daughters] - movie.times[mothers] == 1
        return np.where(is_next, odds - movie.log_density[daughters], np.nan)

    def _traits(self, movie: Movie, mothers: Indices, ones: Indices, others: Indices) -> FloatArray:
        """Return the log odds of divisions by sizes and intensities, as far as they are known, (divisions, 0 to 3).

        Sizes: the daughters' against the mother's, and against each other.
        """
        odds, parts = movie.trait_odds, []
        if movie.has_sizes:
            shrinking, unevenness = sizes_of(movie, mothers, ones, others)
            small = _odds(shrinking, self.shape.shrinking, self.shape.shrinking_spread)
            parts += [small - odds[ones, 0], _odds(unevenness, 0.0, self.shape.evenness) - odds[others, 0]]
        if "dimming" in movie.division_names:
            middle, spread = self.shape.dimming, self.shape.dimming_spread
            dimming = [_odds(each, middle, spread) for each in dimming_of(movie, mothers, ones, others)]
            parts.append(sum(dimming) - odds[ones, -1] - odds[others, -1])
        return np.stack(parts, axis=1) if parts else np.empty((len(mothers), 0))

    def _most_of_traits(self, movie: Movie, divisions: Division) -> FloatArray:
        """Return what the traits add to the log odds of divisions at most, (divisions,)."""
        _, ones, others = divisions
        if not (names := movie.division_names[2:]):
            return np.zeros(len(ones))
        weights = dict(zip(names, self.prior.divisions.of(names), strict=True))
        most = np.full(len(ones), np.inf if min(weights.values()) < 0 else 0.0)
        shape, odds = self.shape, movie.trait_odds
        highest = float(log_student(np.zeros(1), 1, STRICT_FREEDOM)[0])
        if movie.has_sizes:
            most += weights["smaller"] * (highest - np.log(shape.shrinking_spread) - odds[:, 0])[ones]
            most += weights["even"] * (highest - np.log(shape.evenness) - odds[:, 0])[others]
        if "dimming" in weights:
            of_one = weights["dimming"] * (highest - np.log(shape.dimming_spread) - odds[:, -1])
            most += of_one[ones] + of_one[others]
        return most


def _taken(divisions: Division, which: Indices | NDArray[np.bool_]) -> Division:
    mothers, ones, others = divisions
    return mothers[which], ones[which], others[which]


def _odds(values: FloatArray, middle: float, spread: float) -> FloatArray:
    odds: FloatArray = log_student(((values - middle) / spread) ** 2, 1, STRICT_FREEDOM) - np.log(spread)
    return odds


def _lengths(vectors: FloatArray) -> FloatArray:
    return np.asarray(np.sqrt(np.einsum("ij,ij->i", vectors, vectors)))


def going_of(tendencies: Tendencies, motion: Motion, spots: slice) -> FloatArray:
    """Return the motion that is expected of spots if they divide, from the common motion and their past, (spots, n)."""
    common, past = tendencies.common[spots], tendencies.past[spots]
    is_known = np.isfinite(past[:, 0])
    shares = motion.shares[is_known.astype(np.intp)]
    going: FloatArray = shares[:, :1] * common + shares[:, 1:2] * np.nan_to_num(past - common)
    return going


def sizes_of(movie: Movie, mothers: Indices, ones: Indices, others: Indices) -> tuple[FloatArray, FloatArray]:
    """Return by how much daughters are smaller than the mother, and how much they differ: logs of ratios of radii."""
    one, other = movie.traits[ones, 0], movie.traits[others, 0]
    return np.logaddexp(3 * one, 3 * other) / 3 - np.log(2) / 3 - movie.traits[mothers, 0], one - other


def dimming_of(movie: Movie, mothers: Indices, ones: Indices, others: Indices) -> tuple[FloatArray, FloatArray]:
    """Return by how much each daughter is brighter than the mother: logs of ratios of intensities."""
    intensity = movie.traits[:, -1]
    return intensity[ones] - intensity[mothers], intensity[others] - intensity[mothers]
