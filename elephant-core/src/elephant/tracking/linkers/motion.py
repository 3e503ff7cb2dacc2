"""How nuclei move in a movie, estimated from the movie: common motion, persistence, and what is left."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from elephant.tracking.assignment import Indices
from elephant.tracking.linkers.base import NONE
from elephant.tracking.linkers.movie import Movie
from elephant.tracking.linkers.student import robust_spread, scale_of
from elephant.types import FloatArray

# A link may know where its spot came from and where the next one goes: 1 is added for the one, 2 for the other.
_N_KINDS = 4
_PAST, _FUTURE = 1, 2
_LEAST_LINKS = 50  # from which a share or a scale is estimated
# Of a shift of the sample: spots that it is seen at, the nearest ones that each may have been, and the distance,
# in spacings, to which displacements are alike.
_LEAST_SHIFTED, _MOST_SHIFTED, _N_SHIFTS, _NEAR, _CLEARLY = 8, 100, 24, 0.3, 1.2
_ENOUGH = 250  # links of a timepoint
_ROUNDS = 4
_LEAST_SCALE = 1e-3  # of the spacing
_TYPICAL = 20  # links by which a timepoint is drawn to the whole movie
_LEAST_CHANGE = 0.04  # of the log of a radius or an intensity: no detector finds them better than that
# Positions lie on a grid where so many of them are each shared by so many spots: in whole voxels, above all along Z.
_ON_GRID, _SHARED_BY, _SAME_PLACE = 0.3, 3, 1e-5  # the last one of the spacing
# A difference of two rounded positions has this standard deviation in steps, which a scale of rarer steps may lack.
_ROUNDED = 1 / np.sqrt(6)


@dataclass(frozen=True, slots=True, eq=False)
class Tendencies:
    """What each spot's surroundings say of its motion, physical per timepoint, (N, n); NaN where nothing is known.

    Attributes
    ----------
    common
        Median motion of the neighbours to the next timepoint; never NaN.
    past, future
        The spot's own motion from its parent and to its only child.
    """

    common: FloatArray
    past: FloatArray
    future: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class Motion:
    """A linear prediction of motions, with the scale of what it leaves.

    Attributes
    ----------
    shares
        Of the common motion, and of what the past and the future add to it, for each kind of link, (4, 3).
    scales
        Of the residuals, along each axis, for each kind of link, (4, n), physical per timepoint.
    by_time
        Factor of the scales at each timepoint, (T,).
    changes
        Scale of the change of each trait, (k,).
    """

    shares: FloatArray
    scales: FloatArray
    by_time: FloatArray
    changes: FloatArray

    def expected(
        self, movie: Movie, tendencies: Tendencies, parents: Indices, children: Indices
    ) -> tuple[FloatArray, FloatArray]:
        """Return the displacement that is expected of links, and its scale, both (links, n)."""
        parts, kind = _parts(movie, tendencies, parents, children)
        duration = (movie.times[children] - movie.times[parents]).astype(np.float64)
        shares = self.shares[kind]
        moved = sum(shares[:, k, None] * part for k, part in enumerate(parts)) * duration[:, None]
        factor = self.by_time[movie.times[parents] - movie.start] * np.sqrt(duration)
        return np.asarray(moved), self.scales[kind] * factor[:, None]


def shifts_of(movie: Movie) -> FloatArray:
    """Return the motion of the whole sample from each timepoint to the next, for each spot, (N, n).

    It is the displacement that most pairs of spots share, if clearly more do than stayed where they were.
    """
    shift = np.zeros_like(movie.places)
    for t in movie.timepoints[:-1]:
        before, now = movie.at(t), movie.at(t + 1)
        if len(before) >= _LEAST_SHIFTED and len(now) >= _LEAST_SHIFTED:
            shift[before] = _shift(movie.places[before], movie.places[now], _NEAR * movie.spacing[t - movie.start])
    return shift


def _shift(before: FloatArray, now: FloatArray, near: float) -> FloatArray:
    some = now[:: max(len(now) // _MOST_SHIFTED, 1)]
    n = min(_N_SHIFTS, len(before))
    which = cKDTree(before).query(some, k=n)[1]
    moved = (some[:, None] - before[which]).reshape(-1, before.shape[1])
    tree = cKDTree(moved)
    alike = tree.query_ball_point(moved, near, return_length=True)
    best = int(np.argmax(alike))
    stayed = len(tree.query_ball_point(np.zeros(before.shape[1]), near))
    if alike[best] <= _CLEARLY * stayed:
        return np.zeros(before.shape[1])
    shift: FloatArray = np.median(moved[tree.query_ball_point(moved[best], near)], axis=0)
    return shift


def mutual_links(movie: Movie, common: FloatArray) -> Indices:
    """Return parents at the timepoint before: spots that are nearest to each other after the common motion, or -1."""
    parents = np.full(len(movie), NONE, dtype=np.intp)
    for t in movie.timepoints[:-1]:
        before, now = movie.at(t), movie.at(t + 1)
        if not len(before) or not len(now):
            continue
        expected, found = movie.places[before] + common[before], movie.places[now]
        if movie.arrivals is not None:
            expected, found = _by_flow(movie, movie.arrivals[now], expected, before, now)
        forward = cKDTree(found).query(expected)[1]
        backward = cKDTree(expected).query(found)[1]
        is_mutual = backward[forward] == np.arange(len(before))
        parents[now[forward[is_mutual]]] = before[is_mutual]
    return parents


def _by_flow(
    movie: Movie, arrivals: FloatArray, expected: FloatArray, before: Indices, now: Indices
) -> tuple[FloatArray, FloatArray]:
    """Return positions to compare where a flow says where the later spots were: both at the earlier timepoint."""
    is_known = np.isfinite(arrivals[:, 0])
    shift = np.median(expected - movie.places[before], axis=0)
    return movie.places[before], np.where(is_known[:, None], arrivals, movie.places[now] - shift)


def single_links(movie: Movie, parents: Indices) -> tuple[Indices, Indices]:
    """Return parents and children of the links to an only child."""
    children = np.flatnonzero(parents != NONE)
    n_children = np.bincount(parents[children], minlength=len(movie))
    children = children[n_children[parents[children]] == 1]
    return parents[children], children


def tendencies_of(movie: Movie, parents: Indices) -> Tendencies:
    """Return what links say of the motion around each spot."""
    i, j = single_links(movie, parents)
    velocity = (movie.places[j] - movie.places[i]) / (movie.times[j] - movie.times[i])[:, None]
    past, future = np.full_like(movie.places, np.nan), np.full_like(movie.places, np.nan)
    past[j], future[i] = velocity, velocity
    common = np.zeros_like(movie.places)
    for t in movie.timepoints:
        here = movie.slice_of(t, t + 1)
        common[here] = _common(movie.neighbours[here], future, future[here])
    return Tendencies(common, past, future)


def _common(neighbours: NDArray[np.int32], future: FloatArray, of_all: FloatArray) -> FloatArray:
    """Return the median motion of the neighbours of each spot; of all spots where none of them has one."""
    moved = np.where((neighbours != NONE)[:, :, None], future[neighbours], np.nan)
    n_known = np.isfinite(moved[:, :, 0]).sum(axis=1)
    ordered = np.sort(moved, axis=1)  # NaN last
    rows = np.arange(len(moved))
    low, high = np.maximum(n_known - 1, 0) // 2, n_known // 2
    middle: FloatArray = (ordered[rows, low] + ordered[rows, np.minimum(high, moved.shape[1] - 1)]) / 2
    known = of_all[np.isfinite(of_all[:, 0])]
    middle[n_known == 0] = np.median(known, axis=0) if len(known) else 0.0
    return middle


def _parts(
    movie: Movie, tendencies: Tendencies, parents: Indices, children: Indices
) -> tuple[tuple[FloatArray, FloatArray, FloatArray], Indices]:
    """Return what motions are predicted from, (links, n) each, 0 where it is unknown, and the kind of each link."""
    common = tendencies.common[parents]
    if movie.arrivals is not None:
        flow = movie.places[children] - movie.arrivals[children]
        common = np.where(np.isfinite(flow), flow, common)
    past, future = tendencies.past[parents], tendencies.future[children]
    has_past, has_future = np.isfinite(past[:, 0]), np.isfinite(future[:, 0])
    past, future = (
        np.where(known[:, None], own - common, 0.0) for own, known in ((past, has_past), (future, has_future))
    )
    return (common, past, future), has_past * _PAST + has_future * _FUTURE


def fit_motion(movie: Movie, parents: Indices, tendencies: Tendencies) -> Motion:
    """Estimate the motion from links to the next timepoint, by least squares that outliers do not sway."""
    i, j = single_links(movie, parents)
    is_next = movie.times[j] - movie.times[i] == 1
    i, j = _some(i[is_next], movie.times[j[is_next]]), _some(j[is_next], movie.times[j[is_next]])
    parts, kind = _parts(movie, tendencies, i, j)
    moved = movie.places[j] - movie.places[i]
    least = np.maximum(_ROUNDED * steps_of(movie), _LEAST_SCALE * movie.spacing.mean())
    shares = np.zeros((_N_KINDS, 3))
    scales = np.tile(movie.spacing.mean() / 4, (_N_KINDS, movie.n_dims))
    for k in range(_N_KINDS):
        use = (kind & k) == k
        if use.sum() < _LEAST_LINKS:
            use = np.ones(len(i), dtype=bool)
        names = [0, *([1] if k & _PAST else []), *([2] if k & _FUTURE else [])]
        shares[k, 0] = 1
        if use.sum() >= _LEAST_LINKS:
            shares[k] = _shares([parts[name][use] for name in names], names, moved[use])
            left = moved[use] - sum(shares[k, n] * parts[n][use] for n in range(3))
            scales[k] = _scales(left, least)
    motion = Motion(shares, scales, np.ones(movie.stop - movie.start), _changes(movie, i, j))
    expected, scale = motion.expected(movie, tendencies, i, j)
    # What rounding hides of the motion is added, so that a timepoint at which nothing seems to move has a scale, too.
    squares = (((moved - expected) / scale) ** 2 + (least / scale) ** 2).sum(axis=1)
    return Motion(shares, scales, _by_time(movie, movie.times[i] - movie.start, squares), motion.changes)


def _some(links: Indices, t: Indices) -> Indices:
    """Return links of each timepoint, spread over all of them: enough to estimate from."""
    order = np.argsort(t, kind="stable")
    first = np.searchsorted(t[order], t[order])
    n = np.searchsorted(t[order], t[order], side="right") - first
    rank = np.arange(len(links)) - first
    some: Indices = links[order[rank % np.maximum(n // _ENOUGH, 1) == 0]]
    return some


def _shares(parts: list[FloatArray], names: list[int], moved: FloatArray) -> FloatArray:
    columns = np.stack(parts, axis=-1).reshape(-1, len(parts))
    target = moved.reshape(-1)
    weights = np.ones(len(target))
    solved = np.zeros(len(parts), dtype=np.float64)
    for _ in range(_ROUNDS):
        solved[:] = np.linalg.lstsq(columns * weights[:, None], target * weights, rcond=None)[0]
        left = target - columns @ solved
        weights = 1 / np.sqrt(1 + (left / (2 * robust_spread(left, 1e-12))) ** 2)
    shares = np.zeros(3)
    shares[names] = solved
    return shares


def steps_of(movie: Movie) -> FloatArray:
    """Return the step of the grid that positions lie on along each axis, physical, (n,); 0 where they lie on none."""
    same = _SAME_PLACE * movie.spacing.mean()
    return np.array([_step(np.round(along / same)) * same for along in movie.places.T])


def _step(places: FloatArray) -> float:
    values, counts = np.unique(places, return_counts=True)
    values, counts = values[counts >= _SHARED_BY], counts[counts >= _SHARED_BY]
    if counts.sum() < _ON_GRID * len(places):
        return 0.0
    # The middle of two planes is a common place, too, but fewer spots share it.
    typical = np.median(np.repeat(counts, counts))
    gaps = np.diff(values[2 * counts >= typical])
    return float(np.median(gaps)) if len(gaps) else 0.0


def _scales(left: FloatArray, least: FloatArray) -> FloatArray:
    """Return the scale along each axis, of what is left of motions, (links, n), at least `least`.

    Where positions are rounded to voxels, most motions along Z may be none at all, and their median says nothing of the
    rest, which is a whole voxel each.
    """
    along = np.maximum(np.median(np.abs(left), axis=0), least)
    scales: FloatArray = along * scale_of(((left / along) ** 2).sum(axis=1), left.shape[1])
    return np.maximum(scales, least)


def _by_time(movie: Movie, t: Indices, squares: FloatArray) -> FloatArray:
    """Return by how much motions of each timepoint and its neighbours are larger than those of the whole movie."""
    factors = np.ones(movie.stop - movie.start)
    if not len(squares):
        return factors
    whole = max(float(np.median(squares)), 1e-12)
    order = np.argsort(t, kind="stable")
    firsts = np.searchsorted(t[order], np.arange(len(factors) + 2))
    for k in range(len(factors)):
        near = squares[order[firsts[max(k - 1, 0)] : firsts[k + 2] if k + 2 < len(firsts) else None]]
        drawn = np.median(np.concatenate([near, np.full(_TYPICAL, whole)]))
        factors[k] = np.sqrt(drawn / whole)
    return factors


def _changes(movie: Movie, i: Indices, j: Indices) -> FloatArray:
    if len(i) < _LEAST_LINKS:
        return np.full(movie.traits.shape[1], 0.15)
    change = np.abs(movie.traits[j] - movie.traits[i])
    changes: FloatArray = np.maximum(1.35 * np.median(change, axis=0), _LEAST_CHANGE)
    return changes
