"""Which links and divisions are possible within some timepoints, and what each of them is worth.

A spot that starts and one that ends are paid for beforehand, so that the worth of a link is what it saves; the lower,
the better. What saves nothing is never chosen, and left out.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from elephant.tracking.assignment import Indices
from elephant.tracking.linkers.model import LinkModel
from elephant.tracking.linkers.movie import Movie
from elephant.types import FloatArray

N_NEXT, N_LATER, N_MOTHERS = 6, 4, 6  # candidates of a spot: for its child, after a gap, and for its mother
WORST_ODDS = -4.0  # e^4 times less likely than chance: left out
_REACH = 2.5  # spreads of the distance of daughters
_NO_SPOTS = np.empty(0, dtype=np.intp)
MARGIN = 3.0  # by which a link has to beat all that contradicts it to be taken for granted


@dataclass(frozen=True, slots=True, eq=False)
class Costs:
    """What it costs each of the movie's spots, in a window, not to be linked.

    Attributes
    ----------
    start, end
        Of having no parent, and no child, (N,).
    wrong
        What it saves to take a spot for wrong, rather than for one that starts and ends, at most 0, (N,).
    go_on, divide
        Of a child at the next timepoint, and of two, (N,).
    miss
        Of each timepoint that a link leaps.
    """

    start: FloatArray
    end: FloatArray
    wrong: FloatArray
    go_on: FloatArray
    divide: FloatArray
    miss: float

    @classmethod
    def of(cls, movie: Movie, model: LinkModel, whole: range, has_parent: NDArray[np.bool_]) -> "Costs":
        """Return those of a part of a movie.

        Parameters
        ----------
        whole
            The timepoints of the whole movie: at the first of them nothing can have a parent.
        has_parent
            Which spots got a parent before, (N,).
        """
        rates, t = model.rates, movie.times
        start = np.where((t == whole[0]) | has_parent, 0.0, -np.log(rates.appearing))
        end = np.where(t == movie.stop - 1, 0.0, -np.log(rates.disappearing))
        wrong = np.where(has_parent, 0.0, np.minimum(-np.log(rates.wrong) - start - end, 0.0))
        dividing = rates.dividing[t - movie.start]
        go_on = -np.log(np.clip(1 - dividing - rates.disappearing - rates.missing, 0.3, 1.0))
        return cls(start, end, wrong, go_on, -np.log(dividing), -float(np.log(rates.missing)))


@dataclass(frozen=True, slots=True, eq=False)
class Links:
    """Possible links, and what each is worth."""

    parents: Indices
    children: Indices
    worth: FloatArray

    def __len__(self) -> int:
        return len(self.worth)

    def take(self, which: NDArray[np.bool_] | Indices) -> "Links":
        """Return some of them."""
        return Links(self.parents[which], self.children[which], self.worth[which])

    def with_(self, other: "Links") -> "Links":
        """Return these and others."""
        return Links(
            np.concatenate([self.parents, other.parents]),
            np.concatenate([self.children, other.children]),
            np.concatenate([self.worth, other.worth]),
        )


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


NO_LINKS = Links(_NO_SPOTS, _NO_SPOTS, np.empty(0))
NO_DIVISIONS = Divisions(_NO_SPOTS, _NO_SPOTS, _NO_SPOTS, np.empty(0))


@dataclass(frozen=True, slots=True, eq=False)
class Open:
    """Which spots may still get a parent, and a child; over all spots of the movie, (N,) each."""

    inward: NDArray[np.bool_]
    outward: NDArray[np.bool_]

    def without(self, links: Links) -> "Open":
        """Return the same without the parents and the children of links that are taken."""
        inward, outward = self.inward.copy(), self.outward.copy()
        outward[links.parents], inward[links.children] = False, False
        return Open(inward, outward)


def near_pairs_of(movie: Movie, model: LinkModel, before: Indices, now: Indices, n: int) -> tuple[Indices, Indices]:
    """Return pairs of spots of two timepoints: for each of `now` the `n` nearest of `before` after their motion."""
    if not len(before) or not len(now):
        return _NO_SPOTS, _NO_SPOTS
    leap = movie.times[now[0]] - movie.times[before[0]]
    n = min(n, len(before))
    moved = movie.places[before] + leap * model.tendencies.common[before]
    near = before[cKDTree(moved).query(movie.places[now], k=n)[1].reshape(len(now), n)]
    of = np.repeat(now, n).reshape(len(now), n)
    if movie.arrivals is not None and leap == 1:
        is_known = np.isfinite(movie.arrivals[now]).all(axis=1)
        tree = cKDTree(movie.places[before])
        near[is_known] = before[tree.query(movie.arrivals[now[is_known]], k=n)[1].reshape(-1, n)]
    return near.ravel(), of.ravel()


def links_between(
    movie: Movie, model: LinkModel, costs: Costs, pairs: tuple[Indices, Indices], reach: float | None
) -> Links:
    """Return the links of pairs of spots that save something.

    Parameters
    ----------
    reach
        How far a nucleus moves at most in a timepoint, besides what is expected of it; None: any distance.
    """
    i, j = pairs
    odds = model.link_odds(movie, i, j)
    leap = movie.times[j] - movie.times[i]
    worth = costs.go_on[i] + (leap - 1) * costs.miss - odds - costs.end[i] - costs.start[j]
    is_possible = (worth < 0) & (odds > WORST_ODDS)
    if reach is not None and len(i):
        expected, _ = model.motion.expected(movie, model.tendencies, i, j)
        off = np.linalg.norm(movie.places[j] - movie.places[i] - expected, axis=1)
        is_possible &= off <= reach * leap
    return Links(i, j, worth).take(is_possible)


def direct_links(movie: Movie, model: LinkModel, costs: Costs, times: range, free: Open, reach: float | None) -> Links:
    """Return the possible links from timepoints to the next ones."""
    pairs = [
        near_pairs_of(movie, model, _those(movie.at(t), free.outward), _those(movie.at(t + 1), free.inward), N_NEXT)
        for t in times
    ]
    return links_between(movie, model, costs, _joined(pairs), reach)


def gap_links(
    movie: Movie, model: LinkModel, costs: Costs, times: range, free: Open, max_gap: int, reach: float | None
) -> Links:
    """Return the possible links that leap up to `max_gap` timepoints, from timepoints to later ones of `times`.

    The last of `times` is the last timepoint of a child.
    """
    pairs = [
        near_pairs_of(movie, model, _those(movie.at(t), free.outward), _those(movie.at(t + leap), free.inward), N_LATER)
        for leap in range(2, max_gap + 2)
        for t in times[: max(len(times) - leap, 0)]
    ]
    return links_between(movie, model, costs, _joined(pairs), reach)


def _those(spots: Indices, is_open: NDArray[np.bool_]) -> Indices:
    return spots[is_open[spots]]


def _joined(pairs: list[tuple[Indices, Indices]]) -> tuple[Indices, Indices]:
    if not pairs:
        return _NO_SPOTS, _NO_SPOTS
    return np.concatenate([i for i, _ in pairs]), np.concatenate([j for _, j in pairs])


def certain_of(links: Links, costs: Costs, n_spots: int) -> NDArray[np.bool_]:
    """Return which links beat all that contradicts them by so much that they are taken for granted.

    A link that is worth more than the best other link of its parent and the best other one of its child together is
    in the best solution, since it could take their place. What it saves to take a spot for wrong is paid half by its
    parent's side, half by its child's.
    """
    if not len(links):
        return np.zeros(0, dtype=bool)
    next_out, of_parent = _two_best(links.parents, links.worth, n_spots)
    next_in, of_child = _two_best(links.children, links.worth, n_spots)
    own = np.arange(len(links))
    is_best = (of_parent[links.parents] == own) & (of_child[links.children] == own)
    out = np.minimum(next_out[links.parents], costs.wrong[links.parents] / 2)
    inward = np.minimum(next_in[links.children], costs.wrong[links.children] / 2)
    certain: NDArray[np.bool_] = is_best & (links.worth + MARGIN <= out + inward)
    return certain


def _two_best(key: Indices, worth: FloatArray, n: int) -> tuple[FloatArray, Indices]:
    """Return the next best worth of each key, 0 where there is none, and which is the best, or -1."""
    best, following = np.full(n, np.inf), np.zeros(n)
    np.minimum.at(best, key, worth)
    of_best = np.flatnonzero(worth == best[key])[::-1]
    which = np.full(n, -1, dtype=np.intp)
    which[key[of_best]] = of_best  # of those that are worth the same, the first
    is_other = np.ones(len(key), dtype=bool)
    is_other[which[which != -1]] = False
    np.minimum.at(following, key[is_other], worth[is_other])
    return following, which


def division_candidates(
    movie: Movie, model: LinkModel, costs: Costs, times: range, free: Open, granted: Indices, max_gap: int
) -> Divisions:
    """Return the possible divisions of the spots of timepoints.

    Parameters
    ----------
    times
        The last of them is the last timepoint of a daughter.
    free
        What is not taken by links that are granted.
    granted
        The child of each spot by these links, or -1, (N,): it may be one of two daughters.
    max_gap
        If 0, both daughters are at the next timepoint; else one of them, or both, may be at the one after that.
    """
    parts = [NO_DIVISIONS]
    for t in times[:-1]:  # one after the other: all together would take much memory
        later = [t + k for k in (1, 2)[: 1 + min(max_gap, 1)] if t + k in times]
        m, a, b = _of_mothers(movie, model, t, later, free, granted)
        if not len(m):
            continue
        late = (movie.times[a] - t - 1) + (movie.times[b] - t - 1)
        n_missed = np.minimum(late, 1)  # where both are late, one thing was missing: the mother herself
        paid = costs.divide[m] + n_missed * costs.miss - costs.end[m] - costs.start[a] - costs.start[b]
        kept, odds = model.likely_divisions(movie, (m, a, b), paid)
        parts.append(Divisions(m[kept], a[kept], b[kept], paid[kept] - odds))
    return Divisions.joined(parts)


def _of_mothers(
    movie: Movie, model: LinkModel, t: int, later: list[int], free: Open, granted: Indices
) -> tuple[Indices, Indices, Indices]:
    mothers = movie.at(t)
    pairs = [_mothers_of(movie, model, mothers, _those(movie.at(t_child), free.inward)) for t_child in later]
    of, daughters = _joined(pairs)
    first = granted[of]
    has_child = first != -1
    is_open = free.outward[of]
    two = _pairs_within(of[is_open], daughters[is_open])
    return (
        np.concatenate([of[has_child], two[0]]),
        np.concatenate([first[has_child], two[1]]),
        np.concatenate([daughters[has_child], two[2]]),
    )


def _mothers_of(movie: Movie, model: LinkModel, mothers: Indices, daughters: Indices) -> tuple[Indices, Indices]:
    """Return the pairs of mothers and spots that are close enough for a division."""
    if not len(mothers) or not len(daughters):
        return _NO_SPOTS, _NO_SPOTS
    leap = movie.times[daughters[0]] - movie.times[mothers[0]]
    n = min(N_MOTHERS, len(mothers))
    moved = movie.places[mothers] + leap * model.tendencies.common[mothers]
    distance, near = cKDTree(moved).query(movie.places[daughters], k=n)
    spacing = movie.spacing[movie.times[mothers[0]] - movie.start]
    reach = spacing * np.exp(model.shape.apart + _REACH * model.shape.apart_spread) + 3 * model.shape.off
    is_near = distance.reshape(len(daughters), n) <= reach
    of = np.repeat(daughters, n).reshape(len(daughters), n)
    return mothers[near.reshape(len(daughters), n)[is_near]], of[is_near]


def _pairs_within(key: Indices, values: Indices) -> tuple[Indices, Indices, Indices]:
    """Return all pairs of values that have the same key."""
    order = np.argsort(key, kind="stable")
    key, values = key[order], values[order]
    n = np.bincount(key)[key] if len(key) else _NO_SPOTS
    rank = np.arange(len(key)) - np.searchsorted(key, key)
    n_after = n - rank - 1  # each goes with those after it
    one = np.repeat(np.arange(len(key)), n_after)
    start = np.repeat(np.cumsum(n_after) - n_after, n_after)
    other = one + 1 + np.arange(len(one)) - start
    return key[one], values[one], values[other]
