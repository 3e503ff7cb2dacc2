"""Weights of links and of divisions, learnt from links that a person confirmed.

Only how much each part of the log odds counts is learnt, and an offset, by logistic regression that is drawn to the
prior: few links change little. What is confirmed is compared with what it contradicts.

References
----------
J. Platt, Probabilistic outputs for support vector machines, 1999.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.spatial import cKDTree

from elephant.tracking.assignment import Indices
from elephant.tracking.linkers.base import Corrections
from elephant.tracking.linkers.model import LinkModel
from elephant.tracking.linkers.movie import Movie
from elephant.tracking.linkers.prior import Prior, Weights
from elephant.types import FloatArray

LEAST_LINKS, LEAST_DIVISIONS = 20, 5
_N_OTHERS = 5  # spots nearby that each confirmed link is compared with, on either side
_PULL = 100.0  # of the prior on each weight, in examples: with 10, thirty links misled
_BOUNDS = (0.2, 3.0)


def learnt_prior(movie: Movie, model: LinkModel, corrections: Corrections) -> Prior:
    """Return the prior of a model, with weights that confirmed links teach: the same as long as there are few.

    Parameters
    ----------
    corrections
        From 20 links to the next timepoint on, the weights of links are learnt from those that belong to no division;
        from 5 divisions on, those of divisions.
    """
    prior = model.prior
    links = _next(movie, np.array(sorted(corrections.links), dtype=np.intp).reshape(-1, 2))
    if len(links) < LEAST_LINKS:
        return prior
    learnt, words = {}, []
    if n_alone := len(_alone(links)):
        learnt["links"] = fit_weights(prior.links, movie.part_names, *link_examples(movie, model, links))
        words.append(f"of links from {n_alone} confirmed ones")
    divisions = divisions_among(links)
    if len(divisions) >= LEAST_DIVISIONS:
        parts, is_right = division_examples(movie, model, divisions)
        learnt["divisions"] = fit_weights(prior.divisions, movie.division_names, parts, is_right)
        words.append(f"of divisions from {len(divisions)} confirmed ones")
    if not learnt:
        return prior
    return prior.model_copy(update={**learnt, "made_from": f"{prior.made_from}; weights {' and '.join(words)}"})


def link_examples(movie: Movie, model: LinkModel, links: Indices) -> tuple[FloatArray, NDArray[np.bool_]]:
    """Return the parts of the log odds of links to the next timepoint, (L, 2), and of those that they contradict.

    Returns
    -------
    tuple
        Parts, (examples, parts), and which examples are right, (examples,).
    """
    i, j = _others(movie, links)
    alone = _alone(links)
    parts = model.link_parts(movie, np.concatenate([alone[:, 0], i]), np.concatenate([alone[:, 1], j]))
    return parts, np.arange(len(parts)) < len(alone)


def division_examples(movie: Movie, model: LinkModel, divisions: Indices) -> tuple[FloatArray, NDArray[np.bool_]]:
    """Return the same of divisions, (D, 3): a mother and her daughters each."""
    parts = model.division_parts(movie, *np.concatenate([divisions, _other_divisions(movie, divisions)]).T)
    return parts, np.arange(len(parts)) < len(divisions)


def fit_weights(prior: Weights, names: tuple[str, ...], parts: FloatArray, is_right: NDArray[np.bool_]) -> Weights:
    """Return the weights that tell right from wrong best, and are near to those of a prior.

    Parameters
    ----------
    names
        Of the parts: weights of others stay as they are.
    parts
        Log odds of examples, (examples, names).
    is_right
        Which of them are right; both kinds count the same, however many there are.
    """
    before = np.array([prior.weights[prior.names.index(name)] for name in names])
    counts = np.where(is_right, 1.0, is_right.sum() / max((~is_right).sum(), 1))

    def loss(tried: FloatArray) -> tuple[float, FloatArray]:
        odds = parts @ tried + prior.offset
        value = counts @ (np.logaddexp(0, odds) - is_right * odds) + _PULL * ((tried - before) ** 2).sum() / 2
        p = 1 / (1 + np.exp(-np.clip(odds, -50, 50)))
        return float(value), parts.T @ (counts * (p - is_right)) + _PULL * (tried - before)

    solved = minimize(loss, before, jac=True, method="L-BFGS-B", bounds=[_BOUNDS] * len(before)).x
    new = dict(zip(names, map(float, solved), strict=True))
    weights = tuple(new.get(name, weight) for name, weight in zip(prior.names, prior.weights, strict=True))
    return prior.model_copy(update={"weights": weights})


def _alone(links: Indices) -> Indices:
    """Return the links that are no part of a division.

    A daughter is judged with her division: she lies far from where a link by itself would take her mother.
    """
    found: Indices = links[np.bincount(links[:, 0])[links[:, 0]] == 1]
    return found


def _next(movie: Movie, links: Indices) -> Indices:
    found: Indices = links[movie.times[links[:, 1]] - movie.times[links[:, 0]] == 1]
    return found


def _others(movie: Movie, links: Indices) -> tuple[Indices, Indices]:
    """Return links that confirmed ones contradict: of their children to other parents nearby."""
    right = {(int(i), int(j)) for i, j in links}
    found = [
        (i, int(j))
        for t in np.unique(movie.times[links[:, 1]])
        for j, near in _near(movie, links[movie.times[links[:, 1]] == t, 1], t - 1)
        for i in near
        if (i, int(j)) not in right
    ]
    i, j = np.array(found, dtype=np.intp).reshape(-1, 2).T
    return i, j


def _near(movie: Movie, spots: Indices, t: int) -> list[tuple[int, list[int]]]:
    """Return for each spot those of a timepoint that are nearest to it."""
    there = movie.at(t)
    near = cKDTree(movie.places[there]).query(movie.places[spots], k=min(_N_OTHERS, len(there)))[1]
    return [(int(j), there[which].tolist()) for j, which in zip(spots, near.reshape(len(spots), -1), strict=True)]


def divisions_among(links: Indices) -> Indices:
    """Return mothers with two confirmed children, (divisions, 3)."""
    children: dict[int, list[int]] = {}
    for i, j in links:
        children.setdefault(int(i), []).append(int(j))
    found = [(i, *both) for i, both in children.items() if len(both) == 2]
    return np.array(found, dtype=np.intp).reshape(-1, 3)


def _other_divisions(movie: Movie, divisions: Indices) -> Indices:
    """Return divisions that confirmed ones contradict: with another mother, or with another spot for a daughter."""
    wrong = []
    for m, a, b in divisions.tolist():
        t = int(movie.times[a])
        wrong += [(i, a, b) for _, near in _near(movie, np.array([a]), t - 1) for i in near if i != m]
        wrong += [(m, a, j) for _, near in _near(movie, np.array([b]), t) for j in near if j not in (a, b)]
    return np.array(wrong, dtype=np.intp).reshape(-1, 3)
