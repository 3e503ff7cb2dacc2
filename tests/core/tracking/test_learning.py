"""Weights learnt from confirmed links."""

import numpy as np
import pytest

from core.tracking.walkers import NONE, walk
from elephant.tracking.linkers import Corrections, Detections, GlobalLinker, Problem
from elephant.tracking.linkers.learning import LEAST_LINKS, fit_weights, link_examples
from elephant.tracking.linkers.prior import Weights

LINKER = GlobalLinker()


def problem_of(seed: int, *, with_sizes: bool = True) -> tuple[Problem, np.ndarray]:
    movie = walk(40, 12, seed=seed, dividing=0.05)
    spots = movie.detections
    if not with_sizes:
        spots = Detections(spots.timepoints, spots.positions)
    return LINKER.prepare(spots), movie.parents


def confirmed(parents: np.ndarray, n: int) -> Corrections:
    return Corrections(links=frozenset((int(parents[j]), int(j)) for j in np.flatnonzero(parents != NONE)[:n]))


@pytest.mark.parametrize("with_sizes", [True, False])
def test_from_twenty_confirmed_links_on_weights_are_learnt(with_sizes: bool) -> None:
    problem, parents = problem_of(4, with_sizes=with_sizes)
    assert problem.taught(confirmed(parents, LEAST_LINKS // 2)) is problem
    taught = problem.taught(confirmed(parents, 200))
    assert taught.model.prior.links != problem.model.prior.links
    assert taught.model.prior.divisions != problem.model.prior.divisions
    assert "confirmed ones and of divisions from" in taught.model.prior.made_from


def test_what_is_learnt_does_no_harm() -> None:
    problem, parents = problem_of(6)
    before = int((problem.solve().parents != parents).sum())
    taught = problem.taught(confirmed(parents, 150))
    assert int((taught.solve().parents != parents).sum()) <= 1.2 * before + 2


def test_links_to_daughters_do_not_teach_what_links_are_worth() -> None:
    """They lie off where their mother was going, and as links by themselves would make all places tell less."""
    problem, parents = problem_of(6)
    links = np.array(sorted(confirmed(parents, 400).links))
    divides = np.bincount(links[:, 0]) == 2
    assert divides.sum() > 5
    parts, is_right = link_examples(problem.movie, problem.model, links)
    alone = links[~divides[links[:, 0]]]
    assert np.array_equal(parts[is_right], problem.model.link_parts(problem.movie, *alone.T))


def test_links_to_daughters_are_not_counted_among_those_that_teach_links() -> None:
    problem, parents = problem_of(6)
    links = np.array(sorted(confirmed(parents, 400).links))
    divides = np.bincount(links[:, 0]) == 2
    of_divisions = links[divides[links[:, 0]]]
    n_divisions = len(of_divisions) // 2
    assert n_divisions >= LEAST_LINKS // 2
    only_divisions = Corrections(links=frozenset((int(i), int(j)) for i, j in of_divisions))
    prior = problem.taught(only_divisions).model.prior
    assert prior.links == problem.model.prior.links
    assert prior.made_from.endswith(f"; weights of divisions from {n_divisions} confirmed ones")
    times = problem.movie.times
    n_alone = sum(not divides[i] and times[j] - times[i] == 1 for i, j in links)
    prior = problem.taught(Corrections(links=frozenset((int(i), int(j)) for i, j in links))).model.prior
    assert f"weights of links from {n_alone} confirmed ones and of" in prior.made_from


def test_what_tells_nothing_loses_its_weight() -> None:
    rng = np.random.default_rng(0)
    is_right = np.arange(400) < 200
    parts = np.stack([np.where(is_right, 2.0, -2.0) + rng.normal(size=400), 3 * rng.normal(size=400)], axis=1)
    before = Weights(names=("position", "size", "intensity"), weights=(1.0, 1.0, 1.0))
    learnt = fit_weights(before, ("position", "size"), parts, is_right)
    assert learnt.weights[1] < 0.4
    assert learnt.weights[0] > 1.0
    assert learnt.weights[2] == 1.0
    few = np.r_[0:2, 200:202]
    assert fit_weights(before, ("position", "size"), parts[few], is_right[few]).weights[1] > 0.5


def test_weights_that_were_learnt_without_a_part_leave_its_own() -> None:
    prior = Weights(names=("position", "size", "intensity"), weights=(1.0, 1.0, 0.7))
    learnt = Weights(names=("size", "position", "taste"), weights=(0.4, 2.0, 9.0), offset=0.5)
    found = learnt.in_place_of(prior)
    assert (found.names, found.weights, found.offset) == (prior.names, (2.0, 0.4, 0.7), 0.5)
