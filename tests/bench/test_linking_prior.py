"""Simulated lineages, what a detector makes of them, and the prior that is fitted on them."""

import numpy as np
import pytest
from benchmarks.lineage_detections import NONE, Detector, TrueLineages, score
from benchmarks.linking_prior import FIRST_GUESS, FIRST_SEED, examples, fit, fit_belief
from benchmarks.simulated_lineages import simulated

from elephant.tracking.linkers import GlobalLinker
from elephant.tracking.linkers.prior import shipped_prior


@pytest.fixture(scope="module")
def nuclei() -> TrueLineages:
    return simulated(1, 6, nuclei=40, cycle=10.0)


def test_simulated_nuclei_have_parents_where_they_were(nuclei: TrueLineages) -> None:
    later = np.flatnonzero(nuclei.timepoints > 0)
    parents = nuclei.parents[later]
    assert (nuclei.parents[nuclei.timepoints == 0] == NONE).all()
    assert (nuclei.timepoints[parents] == nuclei.timepoints[later] - 1).all()
    assert np.array_equal(nuclei.earlier[later], nuclei.positions[parents])
    is_daughter = np.bincount(parents, minlength=len(nuclei.parents))[parents] == 2
    assert is_daughter.any()
    assert np.median(nuclei.radii[later][is_daughter] / nuclei.radii[parents][is_daughter]) < 0.8


def test_every_second_timepoint_skips_the_others(nuclei: TrueLineages) -> None:
    twice = simulated(1, 3, every=2, nuclei=40, cycle=10.0)
    assert set(twice.timepoints) == {0, 1, 2}
    assert np.array_equal(twice.positions[:40], nuclei.positions[:40])
    moved = [np.nanmean(np.linalg.norm(each.positions - each.earlier, axis=1)) for each in (twice, nuclei)]
    assert moved[0] > 1.3 * moved[1]


def test_a_detector_tells_what_it_is_asked_for(nuclei: TrueLineages) -> None:
    plain, _ = nuclei.detected(3, Detector(None))
    assert plain.radii is None
    assert plain.intensities is None
    assert plain.earlier is None
    spots, true = nuclei.detected(3, Detector(0.0, intensities=0.0, flow=0.0))
    assert spots.earlier is not None
    known = np.flatnonzero(true != NONE)
    known = known[spots.timepoints[known] - spots.timepoints[true[known]] == 1]
    left = np.linalg.norm(spots.earlier[known] - spots.positions[true[known]], axis=1)
    assert np.median(left) < 0.2 * nuclei.spacing()  # the jitter of both positions
    planes, _ = nuclei.detected(3, Detector(None, planes=0.25))
    assert len(np.unique(planes.positions[:, 0].round(6))) < len(planes) / 3
    assert score(true, true).errors == 0


def test_the_prior_follows_from_its_seeds() -> None:
    kinds = [{"cycle": 8.0}]
    once, twice = (next(iter(examples(shipped_prior(), 4, kinds, nuclei=25))) for _ in range(2))
    assert np.array_equal(once.problem.movie.places, twice.problem.movie.places)
    found = fit(4, kinds, nuclei=25)
    assert found.made_from.startswith("8 simulated movies")
    assert found.links.weights + found.divisions.weights == (1.0,) * 8
    assert found.apart == FIRST_GUESS["apart"]
    whole = fit(4, kinds, ("links", "divisions"), nuclei=25)
    assert all(0.2 <= weight <= 3 and weight != 1 for weight in whole.links.weights + whole.divisions.weights)
    assert whole.apart < FIRST_GUESS["apart"]  # daughters of the simulator begin nearer than the first guess says
    spots, true = simulated(FIRST_SEED - 1, 4, nuclei=25).detected(0)
    assert score(GlobalLinker(found).link(spots).parents, true).errors < 0.1 * len(true)


def test_a_belief_says_how_often_marginals_are_right() -> None:
    rng = np.random.default_rng(0)
    odds = rng.normal(size=20_000) * 3
    is_right = rng.random(20_000) < 1 / (1 + np.exp(-(0.5 * odds + 0.4)))
    assert fit_belief(1 / (1 + np.exp(-odds)), is_right) == pytest.approx((0.5, 0.4), abs=0.05)
