"""Shape and rates of divisions, and of what is missing and wrong, estimated from lineages of the movie itself."""

import numpy as np
from numpy.typing import NDArray

from elephant.tracking.assignment import Indices
from elephant.tracking.linkers.base import NONE
from elephant.tracking.linkers.model import Rates, Shape, dimming_of, going_of, sizes_of
from elephant.tracking.linkers.motion import Motion, Tendencies
from elephant.tracking.linkers.movie import Movie
from elephant.tracking.linkers.prior import Prior
from elephant.tracking.linkers.student import robust_spread, scale_of
from elephant.types import FloatArray

# How many divisions, and spots, the first guess counts as.
_SAME_DIVISIONS, _SAME_SPOTS = 20, 100
_LEAST_DIVISIONS = 3
_KERNEL = (0.5, 1.0, 0.5)  # divisions come in waves: those of the timepoints before and after count for half
_TINY = 1e-9
_DIVIDING, _MOST = (1e-4, 0.45), 0.4


def first_shape(movie: Movie, prior: Prior) -> Shape:
    """Return what divisions look like as long as nothing is known of them."""
    off = prior.off * float(np.median(movie.spacing))
    return Shape(
        off,
        prior.apart,
        prior.apart_spread,
        prior.shrinking,
        prior.shrinking_spread,
        prior.evenness,
        prior.dimming,
        prior.dimming_spread,
    )


def first_rates(movie: Movie, prior: Prior) -> Rates:
    """Return how often what happens as long as nothing is known of it."""
    dividing = np.full(movie.stop - movie.start, prior.dividing)
    return Rates(dividing, prior.missing, prior.wrong, prior.appearing, prior.disappearing)


def divisions_of(movie: Movie, parents: Indices) -> tuple[Indices, Indices, Indices]:
    """Return mothers with their two daughters."""
    children = np.flatnonzero(parents != NONE)
    of = parents[children]
    mothers = np.flatnonzero(np.bincount(of, minlength=len(movie)) == 2)
    order = np.argsort(of, kind="stable")
    first = np.searchsorted(of[order], mothers)
    return mothers, children[order][first], children[order][first + 1]


def fit_shape(movie: Movie, parents: Indices, tendencies: Tendencies, motion: Motion, prior: Prior) -> Shape:
    """Estimate what divisions look like; where there are few, the first guess counts for more."""
    mothers, ones, others = divisions_of(movie, parents)
    is_next = (movie.times[ones] - movie.times[mothers] == 1) & (movie.times[others] == movie.times[ones])
    mothers, ones, others = mothers[is_next], ones[is_next], others[is_next]
    before = first_shape(movie, prior)
    n = len(mothers)
    if n < _LEAST_DIVISIONS:
        return before
    t = movie.times[mothers] - movie.start
    middle = (movie.places[ones] + movie.places[others]) / 2 - movie.places[mothers]
    squares = ((middle - going_of(tendencies, motion, slice(None))[mothers]) ** 2).sum(axis=1) / motion.by_time[t] ** 2
    half = np.linalg.norm(movie.places[ones] - movie.places[others], axis=1) / 2 + _TINY
    apart = _drawn(np.log(half / movie.spacing[t]), before.apart, before.apart_spread)
    shrinking, evenness = (before.shrinking, before.shrinking_spread), before.evenness
    dimming = before.dimming, before.dimming_spread
    if movie.has_sizes:
        smaller, uneven = sizes_of(movie, mothers, ones, others)
        shrinking = _drawn(smaller, *shrinking)
        evenness = _mean_spread(robust_spread(np.concatenate([uneven, -uneven]), 0.0), n, before.evenness)
    if "dimming" in movie.division_names:
        dimming = _drawn(np.mean(dimming_of(movie, mothers, ones, others), axis=0), *dimming)
    return Shape(_mean_spread(scale_of(squares, movie.n_dims), n, before.off), *apart, *shrinking, evenness, *dimming)


def _drawn(values: FloatArray, middle: float, spread: float) -> tuple[float, float]:
    n = len(values)
    drawn = (n * float(np.median(values)) + _SAME_DIVISIONS * middle) / (n + _SAME_DIVISIONS)
    return drawn, _mean_spread(robust_spread(values, 0.0), n, spread)


def _mean_spread(found: float, n: int, before: float) -> float:
    return float(np.sqrt((n * found**2 + _SAME_DIVISIONS * before**2) / (n + _SAME_DIVISIONS)))


def fit_rates(movie: Movie, parents: Indices, prior: Prior, covered: NDArray[np.bool_]) -> Rates:
    """Count how often what happens; where there are few spots, the first guess counts for more.

    Parameters
    ----------
    covered
        Which timepoints the lineages of `parents` cover, (T,).
    """
    n_times, t = movie.stop - movie.start, movie.times - movie.start
    padded = np.concatenate([[False], covered, [False]])
    here, after_some, before_some = covered[t], padded[t] & covered[t], padded[t + 2] & covered[t]
    n_spots = int(here.sum())
    children = np.flatnonzero(parents != NONE)
    n_children = np.bincount(parents[children], minlength=len(movie))
    is_alone = (n_children == 0) & (parents == NONE)
    skipped = int((movie.times[children] - movie.times[parents[children]] - 1).sum())

    def share(n: int, before: float) -> float:
        return (n + before * _SAME_SPOTS) / (n_spots + _SAME_SPOTS)

    counted = np.bincount(t[n_children == 2], minlength=n_times)
    of_all = share(int(counted.sum()), prior.dividing)
    near, near_spots = (np.convolve(n, _KERNEL)[1:-1] for n in (counted, np.bincount(t[here], minlength=n_times)))
    return Rates(
        np.clip((near + of_all * _SAME_SPOTS) / (near_spots + _SAME_SPOTS), *_DIVIDING),
        min(share(skipped, prior.missing), _MOST),
        min(share(int((is_alone & here).sum()), prior.wrong), _MOST),
        share(int(((parents == NONE) & after_some & ~is_alone).sum()), prior.appearing),
        share(int(((n_children == 0) & before_some & ~is_alone).sum()), prior.disappearing),
    )
