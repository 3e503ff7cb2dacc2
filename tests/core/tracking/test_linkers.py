"""Lineages of whole movies: what is found, what is kept, and what is solved again."""

import os
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.tracking.walkers import NONE, Walk, walk
from elephant.errors import Cancelled, InvalidInputError
from elephant.tracking.linkers import Corrections, Detections, GlobalLinker, Problem
from elephant.tracking.linkers.assembly import Kept
from elephant.tracking.linkers.belief import marginals
from elephant.tracking.linkers.candidates import Links, Open
from elephant.tracking.linkers.divisions import Divisions
from elephant.tracking.linkers.motion import steps_of
from elephant.tracking.linkers.movie import Movie
from elephant.tracking.linkers.nearest import NearestLinker
from elephant.tracking.linkers.registry import linker_named
from elephant.tracking.linkers.solver import Choices, solve

LINKER = GlobalLinker()


@pytest.fixture(scope="module")
def movie() -> Walk:
    return walk(40, 25, seed=3)


@pytest.fixture(scope="module")
def problem(movie: Walk) -> Problem:
    return LINKER.prepare(movie.detections)


def test_lineages_are_found_without_a_threshold(movie: Walk, problem: Problem) -> None:
    found = problem.solve()
    nearest = min(
        movie.errors(NearestLinker(max_distance=d).link(movie.detections).parents) for d in (2.0, 3.0, 4.0, 5.0)
    )
    assert movie.errors(found.parents) < nearest / 2
    right = movie.divisions() & movie.divisions(found.parents)
    assert len(right) > 0.8 * len(movie.divisions())
    assert len(right) > 0.8 * len(movie.divisions(found.parents))


def test_units_do_not_matter(movie: Walk, problem: Problem) -> None:
    given_in_nanometres = Detections(
        movie.detections.timepoints, movie.detections.positions * 1000, movie.detections.radii * 1000
    )
    assert np.mean(LINKER.link(given_in_nanometres).parents == problem.solve().parents) > 0.999


def test_a_flat_movie_that_does_not_begin_at_0() -> None:
    flat = walk(50, 15, n_dims=2, start=7, false=0.02, missing=0.02, speed=0.5)
    assert flat.errors(LINKER.link(flat.detections).parents) < 0.05 * len(flat.parents)


def test_a_sample_that_shifts_by_more_than_the_spacing() -> None:
    still, moving = walk(seed=5), walk(seed=5, drift=9.0)
    assert moving.errors(LINKER.link(moving.detections).parents) < 2 * still.errors(
        LINKER.link(still.detections).parents
    )


@pytest.mark.parametrize(
    ("steps", "speed", "drift"),
    [((2.0, 0.0, 0.0), 0.4, 0.0), ((0.5, 0.5, 0.5), 0.08, 0.0), ((1.0, 1.0, 1.0), 0.15, 5.3), ((0.01,) * 3, 0.8, 0.0)],
)
def test_positions_in_whole_voxels(steps: tuple[float, ...], speed: float, drift: float) -> None:
    """Most nuclei seem to stay in their plane, and some move by all of a voxel: no such step is out of the question."""
    exact = walk(60, 12, seed=2, speed=speed, drift=drift)
    places = exact.detections.positions.copy()
    for axis, step in enumerate(steps):
        if step:
            places[:, axis] = np.round(places[:, axis] / step) * step
    rounded = Detections(exact.detections.timepoints, places, exact.detections.radii)
    known, found = exact.errors(LINKER.link(exact.detections).parents), exact.errors(LINKER.link(rounded).parents)
    assert found <= known + 0.03 * len(exact.parents)


def test_the_grid_that_positions_lie_on() -> None:
    there = walk(60, 12).detections
    halves = there.positions.copy()
    halves[:, 0] = np.round(halves[:, 0] / 2) * 2
    halves[::5, 0] += 1.0  # in two planes
    assert steps_of(Movie(Detections(there.timepoints, halves))) == pytest.approx([2.0, 0.0, 0.0], rel=1e-3)


def test_a_flow_says_where_nuclei_were() -> None:
    there = walk(40, 8, seed=1, speed=2.5)
    known = there.parents != NONE
    earlier = np.full_like(there.detections.positions, np.nan)
    earlier[known] = there.detections.positions[there.parents[known]]
    given_flow = Detections(
        there.detections.timepoints, there.detections.positions, there.detections.radii, earlier=earlier
    )
    assert there.errors(LINKER.link(given_flow).parents) < there.errors(LINKER.link(there.detections).parents) / 2


@pytest.mark.parametrize("error", [0.05, 0.5])
def test_a_flow_takes_no_division_away(error: float) -> None:
    """A link to one of two daughters is worth much where a flow says that she was the mother, and so is the other."""
    there = walk(40, 15, seed=1, dividing=0.04)
    spots, rng = there.detections, np.random.default_rng(0)
    earlier = np.where((there.parents != NONE)[:, None], spots.positions[there.parents], np.nan)
    earlier += error * rng.normal(size=earlier.shape)
    found = LINKER.link(Detections(spots.timepoints, spots.positions, earlier=earlier)).parents
    right = there.divisions() & there.divisions(found)
    assert len(right) > 0.8 * len(there.divisions())
    assert len(right) > 0.8 * len(there.divisions(found))


def test_radii_are_not_believed_to_the_last_digit() -> None:
    """Those of one nucleus that hardly differ made each other link of its size worth more than any place could."""
    exact = [walk(50, 14, seed=seed, speed=2.0, jitter=0.0) for seed in (4, 5, 6)]
    with_radii = sum(there.errors(LINKER.link(there.detections).parents) for there in exact)
    alone = sum(there.errors(LINKER.link(replace(there.detections, radii=None)).parents) for there in exact)
    assert with_radii < alone


def test_intensities_speak_for_divisions_as_for_links() -> None:
    """Where both were not weighed, a link to one of two daughters of the right brightness was worth more."""
    there = walk(60, 15, seed=1, dividing=0.05, speed=1.5)
    parents, rng = there.parents, np.random.default_rng(1)
    divides = np.bincount(parents[parents != NONE], minlength=len(parents)) == 2
    log = np.zeros(len(parents))
    for i, parent in enumerate(parents):
        log[i] = rng.normal(0, 0.4) if parent == NONE else log[parent] - 0.4 * divides[parent] + rng.normal(0, 0.1)
    plain = replace(there.detections, radii=None)
    bright = replace(plain, intensities=np.exp(log))
    found = LINKER.link(bright).parents
    assert there.errors(found) < there.errors(LINKER.link(plain).parents) / 2
    right = there.divisions() & there.divisions(found)
    assert len(right) > 0.85 * (len(there.divisions()) + len(there.divisions(found))) / 2


def test_gaps_are_bridged_up_to_a_length(movie: Walk) -> None:
    times = movie.detections.timepoints
    for max_gap in (0, 1):
        parents = GlobalLinker(max_gap=max_gap).link(movie.detections).parents
        linked = np.flatnonzero(parents != NONE)
        assert (times[linked] - times[parents[linked]]).max() == max_gap + 1


def test_without_divisions_nothing_has_two_children(movie: Walk) -> None:
    assert movie.divisions()
    assert not movie.divisions(GlobalLinker(n_children=1).link(movie.detections).parents)


def test_what_a_person_sets_is_used(movie: Walk) -> None:
    parents = GlobalLinker(max_distance=0.5, n_children=1).link(movie.detections).parents
    n_free = (LINKER.link(movie.detections).parents == NONE).sum()
    assert (parents == NONE).sum() > 2 * n_free


@pytest.mark.parametrize(("n", "n_timepoints"), [(1, 6), (2, 2), (5, 1)])
def test_very_small_movies(n: int, n_timepoints: int) -> None:
    tiny = walk(n, n_timepoints, missing=0, false=0, dividing=0, speed=0.1)
    assert tiny.errors(LINKER.link(tiny.detections).parents) == 0


def test_timepoints_without_spots() -> None:
    whole = walk(30, 12, missing=0, false=0, dividing=0)
    kept = ~np.isin(whole.detections.timepoints, (4, 5, 6, 7))
    spots = Detections(whole.detections.timepoints[kept], whole.detections.positions[kept])
    found = LINKER.link(spots).parents
    assert (found[spots.timepoints == 8] == NONE).all()
    assert (found[spots.timepoints == 9] != NONE).mean() > 0.9


def test_a_movie_without_spots() -> None:
    nothing = Detections(np.empty(0, dtype=np.int64), np.empty((0, 3)))
    assert len(LINKER.link(nothing).parents) == 0
    with pytest.raises(InvalidInputError, match="at least one spot"):
        LINKER.prepare(nothing)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"timepoints": np.array([1, 0])}, "in the order of their timepoints"),
        ({"positions": np.full((2, 3), np.nan)}, "finite numbers"),
        ({"positions": np.zeros((2, 2))}, r"shape \(2, 3\)"),
        ({"radii": np.array([1.0, 0.0])}, "2 radii above 0"),
    ],
)
def test_detections_that_are_none(fields: dict[str, np.ndarray], words: str) -> None:
    with pytest.raises(InvalidInputError, match=words):
        Detections(**{"timepoints": np.array([0, 1]), "positions": np.zeros((2, 3)), **fields})


def test_what_is_improbable_is_more_often_wrong(movie: Walk, problem: Problem) -> None:
    found = problem.solve()
    is_right = found.parents == movie.parents
    assert found.probability.min() >= 0
    assert found.probability.max() <= 1
    assert is_right[found.probability > 0.99].mean() > 0.98
    doubtful = found.probability < 0.9
    assert is_right[doubtful].mean() < is_right[~doubtful].mean() - 0.1


def test_doubtful_divisions_come_first_and_missed_ones_are_suspected(movie: Walk, problem: Problem) -> None:
    found = problem.solve()
    doubts = [abs(each.probability - 0.5) for each in found.divisions]
    assert doubts == sorted(doubts)
    chosen = {(d.mother, *sorted(d.daughters)) for d in found.divisions if d.is_chosen}
    assert chosen == movie.divisions(found.parents)
    assert all(d.probability >= 0.05 for d in found.divisions if not d.is_chosen)


# Corrections


def corrections(problem: Problem, before: np.ndarray) -> st.SearchStrategy[Corrections]:
    """Return corrections that do not contradict one another: of spots close to one another in time, right or wrong.

    Some links are cut that are there without corrections: those of `before`.
    """
    times = problem.movie.times
    spots = st.integers(0, len(times) - 1)

    @st.composite
    def made(draw: st.DrawFn) -> Corrections:
        links: set[tuple[int, int]] = set()
        with_parent: set[int] = set()
        for _ in range(draw(st.integers(0, 5))):
            parent = draw(spots)
            longest = draw(st.sampled_from([1, 1, 1, 2, 4]))
            later = np.flatnonzero((times > times[parent]) & (times <= times[parent] + longest))
            if not len(later) or sum(i == parent for i, _ in links) == 2:
                continue
            child = int(later[draw(st.integers(0, len(later) - 1))])
            if child not in with_parent:
                links.add((parent, child))
                with_parent.add(child)
        linked = {spot for pair in links for spot in pair}
        wrong = {spot for spot in draw(st.sets(spots, max_size=3)) if spot not in linked}
        ends = draw(st.sets(spots, max_size=3)) - {i for i, _ in links}
        starts = draw(st.sets(spots, max_size=3)) - with_parent
        cuts = {(int(before[j]), j) for j in draw(st.sets(spots, max_size=3)) if before[j] != NONE} - links
        mothers = np.flatnonzero(np.bincount(before[before != NONE]) > 1).tolist()
        alone = draw(st.sets(st.one_of(spots, st.sampled_from(mothers)), max_size=3))
        undivided = {spot for spot in alone if sum(i == spot for i, _ in links) < 2}
        return Corrections(*map(frozenset, (links, cuts, starts, ends, wrong, undivided)))

    return made()


def check_kept(known: Corrections, parents: np.ndarray) -> None:
    with_children = set(parents[parents != NONE].tolist())
    assert all(parents[child] == parent for parent, child in known.links)
    assert not any(parents[child] == parent for parent, child in known.cuts)
    assert all(parents[spot] == NONE for spot in known.starts | known.wrong)
    assert not (known.ends | known.wrong) & with_children
    n_children = np.bincount(parents[parents != NONE], minlength=len(parents))
    assert max(n_children) <= 2
    assert all(n_children[spot] <= 1 for spot in known.undivided)


_PROBLEM = LINKER.prepare(walk(7, 21, seed=8, dividing=0.05).detections)
_CORRECTIONS = corrections(_PROBLEM, _PROBLEM.solve().parents)


@given(before=_CORRECTIONS, known=_CORRECTIONS)
@settings(max_examples=int(os.environ.get("ELEPHANT_TEST_CORRECTIONS", "12")))
def test_all_corrections_are_kept_and_solving_again_is_solving_all(before: Corrections, known: Corrections) -> None:
    def unsolved() -> Problem:
        return Problem(_PROBLEM.movie, _PROBLEM.model, LINKER.params)

    again, elsewhere = unsolved(), unsolved()
    elsewhere.go_on_from(Kept(again.solve(before), again.keys, before))
    anew = unsolved().solve(known)
    check_kept(known, anew.parents)
    for found in (again.solve(known), elsewhere.solve(known)):
        assert np.array_equal(found.parents, anew.parents)
        assert np.array_equal(found.probability, anew.probability)
        assert found.divisions == anew.divisions
        assert found.ends is not None
        assert np.array_equal(found.ends, anew.ends)


def test_a_correction_solves_the_windows_that_it_concerns(movie: Walk, problem: Problem) -> None:
    before = problem.solve()
    child = int(np.flatnonzero((movie.detections.timepoints == 18) & (before.parents != NONE))[0])
    after = problem.solve(Corrections(cuts=frozenset({(int(before.parents[child]), child)})))
    assert 1 <= problem.n_solved < len(problem.spans())
    assert after.parents[child] != before.parents[child]
    problem.solve(Corrections(cuts=frozenset({(int(before.parents[child]), child)})))
    assert problem.n_solved == 0


def test_what_is_confirmed_is_certain(problem: Problem) -> None:
    before = problem.solve()
    child = int(np.flatnonzero(before.parents != NONE)[5])
    found = problem.solve(Corrections(links=frozenset({(int(before.parents[child]), child)})))
    assert found.probability[child] == 1.0


@pytest.mark.parametrize("seed", [0, 1, 3])
@pytest.mark.parametrize("first", [0, 1])
def test_confirming_what_is_found_changes_nothing(seed: int, first: int) -> None:
    """Neither does what goes on get a second child, nor is the other daughter lost."""
    problem = LINKER.prepare(walk(60, 20, seed=seed, dividing=0.03).detections)
    before = problem.solve()
    children = np.flatnonzero(before.parents != NONE)[first::3]
    after = problem.solve(Corrections(links=frozenset((int(before.parents[j]), int(j)) for j in children)))
    assert before.divisions.is_chosen.sum() > 20
    # What is known for sure may tip a close choice elsewhere.
    assert np.count_nonzero(after.parents != before.parents) <= 2


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"links": {(5, 0)}}, "does not go forward in time"),
        ({"links": {(0, 70), (1, 70)}}, "two confirmed parents"),
        ({"links": {(0, 70), (0, 71), (0, 72)}}, "more than two confirmed children"),
        ({"links": {(0, 70)}, "starts": {70}}, "start with a confirmed parent"),
        ({"links": {(0, 70)}, "ends": {0}}, "end with a confirmed child"),
        ({"links": {(0, 70)}, "wrong": {70}}, "wrong spot with a confirmed link"),
        ({"links": {(0, 70)}, "cuts": {(0, 70)}}, "both confirmed and cut"),
        ({"links": {(0, 70), (0, 71)}, "undivided": {0}}, "spot that does not divide, with two children"),
        ({"wrong": {10**6}}, "got one of another spot"),
        ({"undivided": {10**6}}, "got one of another spot"),
    ],
)
def test_corrections_that_contradict_one_another(fields: dict[str, set[object]], words: str, problem: Problem) -> None:
    known = Corrections(**{name: frozenset(values) for name, values in fields.items()})  # type: ignore[arg-type]
    with pytest.raises(InvalidInputError, match=words):
        problem.solve(known)


def test_a_run_that_is_cancelled_goes_on_where_it_was(movie: Walk) -> None:
    class After:
        def __init__(self, n: int) -> None:
            self.n = n

        def check(self) -> None:
            self.n -= 1
            if self.n < 0:
                raise Cancelled

    problem = LINKER.prepare(movie.detections)
    with pytest.raises(Cancelled):
        problem.solve(cancel=After(2))
    found = problem.solve()
    assert problem.n_solved == len(problem.spans()) - 2
    assert np.array_equal(found.parents, LINKER.link(movie.detections).parents)


# The solver


def choices(draw: st.DrawFn) -> tuple[Choices, list[tuple[int, ...]]]:
    """Return few choices among few spots, and the places that each takes up."""
    n = 5
    worth = st.floats(-10, -0.1)
    links = sorted(draw(st.sets(st.tuples(st.integers(0, n - 1), st.integers(0, n - 1)), max_size=6)))
    triples = sorted(draw(st.sets(st.tuples(*[st.integers(0, n - 1)] * 3).filter(lambda t: t[1] < t[2]), max_size=3)))
    i, j = (np.array([pair[k] for pair in links], dtype=np.intp) for k in range(2))
    m, a, b = (np.array([triple[k] for triple in triples], dtype=np.intp) for k in range(3))
    wrong = np.array(sorted(draw(st.sets(st.integers(0, n - 1), max_size=2))), dtype=np.intp)
    worths = [np.array([draw(worth) for _ in part]) for part in (i, m, wrong)]
    free = Open(np.ones(n, dtype=bool), np.ones(n, dtype=bool))
    made = Choices.from_parts(Links(i, j, worths[0]), Divisions(m, a, b, worths[1]), wrong, worths[2], free)
    places: list[tuple[int, ...]] = [(int(y), int(x) + n) for x, y in links]
    places += [(y, z, x + n) for x, y, z in triples] + [(int(x), int(x) + n) for x in wrong]
    return made, places


def allowed(places: list[tuple[int, ...]]) -> list[tuple[int, ...]]:
    """Return all sets of choices that share no place."""
    found = []
    for size in range(len(places) + 1):
        for chosen in combinations(range(len(places)), size):
            taken = [place for k in chosen for place in places[k]]
            if len(set(taken)) == len(taken):
                found.append(chosen)
    return found


@given(data=st.data())
@settings(max_examples=100, deadline=None)
def test_the_best_of_all_choices_is_found(data: st.DataObject) -> None:
    made, places = choices(data.draw)  # type: ignore[arg-type]
    best = min(sum(made.worth[list(chosen)]) for chosen in allowed(places))
    chosen = np.flatnonzero(solve(made))
    assert tuple(chosen) in allowed(places)
    assert made.worth[chosen].sum() == pytest.approx(best)


def test_what_is_improbable_is_not_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []

    def solved(made: Choices, is_likely: np.ndarray) -> np.ndarray:
        chosen = solve(made, is_likely)
        assert made.worth[chosen].sum() == pytest.approx(made.worth[solve(made)].sum())
        sizes.append((is_likely.sum(), len(made)))
        return chosen

    monkeypatch.setattr("elephant.tracking.linkers.window.solve", solved)
    crowded = walk(80, 9, seed=4, speed=1.5, dividing=0.05)
    LINKER.link(crowded.detections)
    n_likely, n = np.sum(sizes, axis=0)
    assert n_likely < n / 2


def test_probabilities_are_shares_of_all_choices() -> None:
    # A chain, on which the messages are exact: 0 to 0 or 1, 1 to 1.
    links = Links(np.array([0, 0, 1]), np.array([0, 1, 1]), np.array([-1.0, -2.0, -0.5]))
    nothing = np.empty(0, dtype=np.intp)
    free = Open(np.ones(2, dtype=bool), np.ones(2, dtype=bool))
    made = Choices.from_parts(links, Divisions(nothing, nothing, nothing, np.empty(0)), nothing, np.empty(0), free)
    weights = {chosen: np.exp(-made.worth[list(chosen)].sum()) for chosen in [(), (0,), (1,), (2,), (0, 2)]}
    expected = [sum(w for chosen, w in weights.items() if k in chosen) / sum(weights.values()) for k in range(3)]
    assert marginals(made) == pytest.approx(expected, abs=1e-3)


def test_choices_of_one_place_are_not_all_probable() -> None:
    # Two mothers and four daughters that all fit alike: messages between them never settle.
    pairs = list(combinations(range(2, 6), 2))
    mothers, ones, others = np.array([(m, *pair) for m in (0, 1) for pair in pairs]).T
    nothing, free = np.empty(0, dtype=np.intp), Open(np.ones(6, dtype=bool), np.ones(6, dtype=bool))
    divisions = Divisions(mothers, ones, others, np.full(len(mothers), -12.0))
    no_links = Links(nothing, nothing, np.empty(0))
    probability = marginals(Choices.from_parts(no_links, divisions, nothing, np.empty(0), free))
    assert [probability[mothers == m].sum() for m in (0, 1)] == pytest.approx([1, 1], abs=0.01)


def test_an_unknown_linker_is_named() -> None:
    with pytest.raises(InvalidInputError, match="expected a linker that is installed"):
        linker_named("absent", {})


# Candidates


@given(
    seed=st.integers(0, 20),
    known=st.sampled_from([(), ("radii",), ("radii", "intensities"), ("intensities",), ("radii", "earlier")]),
    weights=st.sampled_from(
        [(1.0,) * 5, (0.9, 1.3, 0.2, 0.4, 0.5), (1.0, 0.7, -0.5, 1.0, 1.0), (-0.3, 1.0, 1.0, 1.0, 1.0)]
    ),
    of_least=st.sampled_from([-np.inf, -20.0, -3.0]),
)
@settings(max_examples=20, deadline=None)
def test_no_likely_division_is_lost_by_looking_at_parts_one_after_the_other(
    seed: int, known: tuple[str, ...], weights: tuple[float, ...], of_least: float
) -> None:
    rng, there = np.random.default_rng(seed), walk(30, 4, seed=seed, dividing=0.1).detections
    earlier = there.positions + rng.normal(size=there.positions.shape)
    earlier[rng.random(len(earlier)) < 0.2] = np.nan
    traits = {"radii": there.radii, "intensities": np.exp(rng.normal(size=len(there.timepoints))), "earlier": earlier}
    spots = Detections(there.timepoints, there.positions, **{name: traits[name] for name in known})
    problem = GlobalLinker().prepare(spots)
    prior = problem.model.prior
    weighed = prior.divisions.model_copy(update={"weights": weights, "offset": 0.3})
    model = replace(problem.model, prior=prior.model_copy(update={"divisions": weighed}))
    movie = problem.movie
    mothers, ones, others = (rng.choice(movie.at(t), 300) for t in (1, 2, 2))
    least = of_least + rng.normal(size=300)
    odds = weighed.odds(movie.division_names, model.division_parts(movie, mothers, ones, others))
    kept, found = model.likely_divisions(movie, (mothers, ones, others), least)
    assert kept.tolist() == np.flatnonzero(odds > least).tolist()
    assert found == pytest.approx(odds[kept])
