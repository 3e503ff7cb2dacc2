"""Which links are possible within some timepoints, and what each of them is worth.

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

N_NEXT, N_LATER = 6, 4  # candidates of a spot: for its child, and after a gap
WORST_ODDS = -4.0  # e^4 times less likely than chance: left out
NO_SPOTS = np.empty(0, dtype=np.intp)
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
        return Links.joined([self, other])

    @classmethod
    def joined(cls, parts: Sequence["Links"]) -> "Links":
        """Return those of all parts."""
        names = ("parents", "children", "worth")
        return cls(*(np.concatenate([getattr(part, name) for part in [NO_LINKS, *parts]]) for name in names))


NO_LINKS = Links(NO_SPOTS, NO_SPOTS, np.empty(0))


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
        return NO_SPOTS, NO_SPOTS
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
    worth = _worth(movie, costs, pairs, odds)
    is_possible = (worth < 0) & (odds > WORST_ODDS)
    if reach is not None and len(i):
        expected, _ = model.motion.expected(movie, model.tendencies, i, j)
        off = np.linalg.norm(movie.places[j] - movie.places[i] - expected, axis=1)
        is_possible &= off <= reach * (movie.times[j] - movie.times[i])
    return Links(i, j, worth).take(is_possible)


def confirmed_links(movie: Movie, model: LinkModel, costs: Costs, pairs: Indices) -> Links:
    """Return links that a person confirmed, (k, 2), whatever each is worth."""
    i, j = pairs.T
    return Links(i, j, _worth(movie, costs, pairs.T, model.link_odds(movie, i, j)))


def _worth(movie: Movie, costs: Costs, pairs: tuple[Indices, Indices] | Indices, odds: FloatArray) -> FloatArray:
    """Return what links are worth."""
    i, j = pairs
    n_missed = movie.times[j] - movie.times[i] - 1
    worth: FloatArray = costs.go_on[i] + n_missed * costs.miss - odds - costs.end[i] - costs.start[j]
    return worth


def direct_links(movie: Movie, model: LinkModel, costs: Costs, times: range, free: Open, reach: float | None) -> Links:
    """Return the possible links from timepoints to the next ones."""
    steps = [(t, t + 1) for t in times]
    return _links_of_steps(movie, model, costs, steps, free, (N_NEXT, reach))


def gap_links(
    movie: Movie, model: LinkModel, costs: Costs, times: range, free: Open, max_gap: int, reach: float | None
) -> Links:
    """Return the possible links that leap up to `max_gap` timepoints, from timepoints to later ones of `times`.

    The last of `times` is the last timepoint of a child.
    """
    steps = [(t, t + leap) for leap in range(2, max_gap + 2) for t in times[: max(len(times) - leap, 0)]]
    return _links_of_steps(movie, model, costs, steps, free, (N_LATER, reach))


def _links_of_steps(
    movie: Movie,
    model: LinkModel,
    costs: Costs,
    steps: list[tuple[int, int]],
    free: Open,
    limits: tuple[int, float | None],
) -> Links:
    """Return the possible links from one timepoint to another, of several such; `limits`: nearest spots, and reach."""
    n_near, reach = limits

    def links_of(step: tuple[int, int]) -> Links:
        before, now = those(movie.at(step[0]), free.outward), those(movie.at(step[1]), free.inward)
        return links_between(movie, model, costs, near_pairs_of(movie, model, before, now, n_near), reach)

    return Links.joined([links_of(step) for step in steps])


def those(spots: Indices, is_open: NDArray[np.bool_]) -> Indices:
    """Return the spots that are open."""
    return spots[is_open[spots]]


def joined_pairs(pairs: list[tuple[Indices, Indices]]) -> tuple[Indices, Indices]:
    """Return all pairs of some lists."""
    if not pairs:
        return NO_SPOTS, NO_SPOTS
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
