"""Which divisions are possible within some timepoints, and what each of them is worth."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from elephant.tracking.assignment import Indices
from elephant.tracking.linkers.base import NONE
from elephant.tracking.linkers.candidates import (
    NO_SPOTS,
    Costs,
    Links,
    Open,
    joined_pairs,
    those,
)
from elephant.tracking.linkers.model import LinkModel
from elephant.tracking.linkers.movie import Movie
from elephant.tracking.linkers.pins import LATEST_DAUGHTER, Pins
from elephant.types import FloatArray

N_MOTHERS = 6  # candidates of a spot
_REACH = 2.5  # spreads of the distance of daughters

# Mothers, their two daughters, and what a link to each of these alone is worth.
Candidates = tuple[Indices, Indices, Indices, FloatArray, FloatArray]


@dataclass(frozen=True, slots=True, eq=False)
class Divisions:
    """Possible divisions, and what each is worth."""

    mothers: Indices
    ones: Indices
    others: Indices
    worth: FloatArray

    def __len__(self) -> int:
        return len(self.worth)

    def take(self, which: NDArray[np.bool_] | Indices) -> "Divisions":
        """Return some of them."""
        return Divisions(self.mothers[which], self.ones[which], self.others[which], self.worth[which])

    @classmethod
    def joined(cls, parts: Sequence["Divisions"]) -> "Divisions":
        """Return those of parts, of which there is one at least."""
        names = ("mothers", "ones", "others", "worth")
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


NO_DIVISIONS = Divisions(NO_SPOTS, NO_SPOTS, NO_SPOTS, np.empty(0))


class Rivals:
    """What divisions have to be better than.

    Parameters
    ----------
    n_spots
        Of the window.
    links
        Those that are possible.
    granted
        Those of them that are taken for granted or confirmed: their children may be one of two daughters.
    pins
        What a person confirmed.
    """

    def __init__(self, n_spots: int, links: Links, granted: Links, pins: Pins) -> None:
        self._n, self._pins = n_spots, pins
        key = self._key(links.parents, links.children)
        order = np.argsort(key, kind="stable")
        # The last one is never asked for: so that there is one.
        self._keys = np.append(key[order], n_spots**2)
        self._worth = np.append(links.worth[order], 0.0)
        self._child = np.full(n_spots, NONE, dtype=np.intp)
        self._child[granted.parents] = granted.children

    def child_of(self, parents: Indices) -> Indices:
        """Return the child of each by a link that is granted, or -1."""
        child: Indices = self._child[parents]
        return child

    def are_confirmed(self, parents: Indices) -> NDArray[np.bool_]:
        """Return which have a child by a link that a person confirmed."""
        return np.isin(parents, self._pins.links[:, 0])

    def worth_of(self, parents: Indices, children: Indices) -> FloatArray:
        """Return what links are worth, 0 where they are not possible."""
        wanted = self._key(parents, children)
        at = np.searchsorted(self._keys, wanted)
        return np.where(self._keys[at] == wanted, self._worth[at], 0.0)

    def allow(self, mothers: Indices, daughters: Indices) -> NDArray[np.bool_]:
        """Return whether a mother may divide, and a daughter be hers, for all that a person confirmed."""
        allowed = np.ones(len(mothers), dtype=bool)
        if len(self._pins.undivided):
            allowed &= ~np.isin(mothers, self._pins.undivided)
        if len(self._pins.cuts):
            allowed &= ~np.isin(self._key(mothers, daughters), self._key(*self._pins.cuts.T))
        return allowed

    def _key(self, parents: Indices, children: Indices) -> Indices:
        return parents * self._n + children


def division_candidates(
    movie: Movie, model: LinkModel, costs: Costs, free: Open, rivals: Rivals, max_gap: int
) -> Divisions:
    """Return the divisions that save more than a link to either daughter alone.

    Parameters
    ----------
    free
        What is not taken by links that are granted.
    max_gap
        If 0, both daughters are at the next timepoint; else one of them, or both, may be at the one after that.
    """
    parts = [NO_DIVISIONS]
    for t in movie.timepoints[:-1]:  # one after the other: all together would take much memory
        latest = min(1 + max_gap, LATEST_DAUGHTER)
        later = [t + k for k in range(1, latest + 1) if t + k in movie.timepoints]
        candidates = _of_mothers(movie, model, t, later, free, rivals)
        parts.append(_divisions_of(movie, model, costs, t, candidates, rivals))
    return Divisions.joined(parts)


def _divisions_of(
    movie: Movie, model: LinkModel, costs: Costs, t: int, candidates: Candidates, rivals: Rivals
) -> Divisions:
    """Return which candidates of the spots of a timepoint save enough."""
    m, a, b, of_a, of_b = candidates
    is_confirmed = rivals.are_confirmed(m)
    if not len(m):
        return NO_DIVISIONS
    late = (movie.times[a] - t - 1) + (movie.times[b] - t - 1)
    n_missed = np.minimum(late, 1)  # where both are late, one thing was missing: the mother herself
    paid = costs.divide[m] + n_missed * costs.miss - costs.end[m] - costs.start[a] - costs.start[b]
    least = paid - np.where(is_confirmed, of_a, np.minimum(np.minimum(of_a, of_b), 0.0))
    kept, odds = model.likely_divisions(movie, (m, a, b), least)
    # A confirmed link is there anyway: a division is worth by how much it is better than the link alone.
    already = np.where(is_confirmed[kept], of_a[kept], 0.0)
    return Divisions(m[kept], a[kept], b[kept], paid[kept] - already - odds)


def _of_mothers(movie: Movie, model: LinkModel, t: int, later: list[int], free: Open, rivals: Rivals) -> Candidates:
    """Return the candidates of a timepoint."""
    mothers = movie.at(t)
    pairs = [_mothers_of(movie, model, mothers, those(movie.at(t_child), free.inward)) for t_child in later]
    of, daughters = joined_pairs(pairs)
    is_allowed = rivals.allow(of, daughters)
    of, daughters = of[is_allowed], daughters[is_allowed]
    worth, first = rivals.worth_of(of, daughters), rivals.child_of(of)
    second, is_open = np.flatnonzero(first != NONE), np.flatnonzero(free.outward[of])
    one, other = (is_open[pair] for pair in _pairs_within(of[is_open]))
    return (
        np.concatenate([of[second], of[one]]),
        np.concatenate([first[second], daughters[one]]),
        np.concatenate([daughters[second], daughters[other]]),
        np.concatenate([rivals.worth_of(of[second], first[second]), worth[one]]),
        np.concatenate([worth[second], worth[other]]),
    )


def _mothers_of(movie: Movie, model: LinkModel, mothers: Indices, daughters: Indices) -> tuple[Indices, Indices]:
    """Return the pairs of mothers and spots that are close enough for a division."""
    if not len(mothers) or not len(daughters):
        return NO_SPOTS, NO_SPOTS
    leap = movie.times[daughters[0]] - movie.times[mothers[0]]
    n = min(N_MOTHERS, len(mothers))
    moved = movie.places[mothers] + leap * model.tendencies.common[mothers]
    spacing = movie.spacing[movie.times[mothers[0]] - movie.start]
    reach = spacing * np.exp(model.shape.apart + _REACH * model.shape.apart_spread) + 3 * model.shape.off
    distance, near = cKDTree(moved).query(movie.places[daughters], k=n, distance_upper_bound=reach)
    distance, near = distance.reshape(len(daughters), n), near.reshape(len(daughters), n)
    is_near = np.isfinite(distance)
    return mothers[near[is_near]], np.repeat(daughters, is_near.sum(axis=1))


def _pairs_within(key: Indices) -> tuple[Indices, Indices]:
    """Return all pairs of what has the same key, by their numbers."""
    order = np.argsort(key, kind="stable")
    key = key[order]
    n = np.bincount(key)[key] if len(key) else NO_SPOTS
    rank = np.arange(len(key)) - np.searchsorted(key, key)
    n_after = n - rank - 1  # each goes with those after it
    one = np.repeat(np.arange(len(key)), n_after)
    start = np.repeat(np.cumsum(n_after) - n_after, n_after)
    other = one + 1 + np.arange(len(one)) - start
    return order[one], order[other]
