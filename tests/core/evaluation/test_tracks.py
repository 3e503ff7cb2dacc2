"""How well links and divisions agree, on trees small enough to count by hand."""

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elephant.evaluation import EvaluationParams, evaluate_nuclei
from elephant.evaluation.evaluation import Evaluation
from elephant.export.base import TrackedNucleus
from elephant.types import Spot

Row = tuple[str, int, float, str | None]  # name, timepoint, x, parent's name


def nuclei(*rows: Row) -> list[TrackedNucleus]:
    number: dict[str | None, int | None] = {name: i for i, (name, *_) in enumerate(rows)}
    return [
        TrackedNucleus(Spot(t, np.array([0.0, 0.0, x]), np.eye(3)), id=number[name], parent=number.get(parent))
        for name, t, x, parent in rows
    ]


def evaluated(true: list[TrackedNucleus], found: list[TrackedNucleus], tolerance: int = 0) -> Evaluation:
    params = EvaluationParams(distance=1, truth_covers="movie", division_tolerance=tolerance)
    return evaluate_nuclei(found, true, params)


def divisions_of(true: list[TrackedNucleus], found: list[TrackedNucleus], tolerance: int = 0) -> tuple[int, ...]:
    """Return how many there are, are found, are the same, are shifted, and have a wrong daughter."""
    scores = evaluated(true, found, tolerance).divisions
    assert scores is not None
    counts = scores.counts
    return counts.n_true, counts.n_found, counts.n_matched, scores.n_shifted, scores.n_wrong_daughters


# m divides after timepoint 1 into a (left) and b (right).
TRUE = nuclei(
    ("m0", 0, 0, None), ("m1", 1, 0, "m0"), ("a2", 2, -5, "m1"), ("b2", 2, 5, "m1"),
    ("a3", 3, -6, "a2"), ("b3", 3, 6, "b2"), ("a4", 4, -7, "a3"), ("b4", 4, 7, "b3"),
)  # fmt: skip
LATER = nuclei(
    ("m0", 0, 0, None), ("m1", 1, 0, "m0"), ("b2", 2, 5, "m1"),
    ("a3", 3, -6, "b2"), ("b3", 3, 6, "b2"), ("a4", 4, -7, "a3"), ("b4", 4, 7, "b3"),
)  # fmt: skip


class TestLinks:
    def test_by_hand(self) -> None:
        found = nuclei(
            ("m0", 0, 0, None), ("m1", 1, 0.5, "m0"), ("a2", 2, -5, "m1"), ("b2", 2, 5, None),
            ("a3", 3, -6, "b2"), ("b3", 3, 6, "a2"), ("c3", 3, 40, "a2"), ("a4", 4, -7, "a3"),
        )  # fmt: skip
        links = evaluated(TRUE, found).links
        # True: m0-m1, m1-a2, m1-b2, a2-a3, b2-b3, a3-a4, b3-b4. Found of them: m0-m1, m1-a2, a3-a4.
        assert links is not None
        assert (links.n_true, links.n_found, links.n_matched) == (7, 6, 3)

    def test_a_link_over_a_gap_is_one(self) -> None:
        true = nuclei(("a0", 0, 0, None), ("a2", 2, 0, "a0"))
        found = nuclei(("a0", 0, 0, None), ("a1", 1, 0, "a0"), ("a2", 2, 0, "a1"))
        links = evaluated(true, found).links
        assert links is not None
        assert (links.n_true, links.n_found, links.n_matched) == (1, 2, 0)

    def test_links_over_timepoints_without_truth(self) -> None:
        # Every second timepoint is annotated; two nuclei were linked from one to the next, the third was not.
        true = nuclei(
            ("a0", 0, 0, None), ("b0", 0, 9, None), ("a2", 2, 0, "a0"), ("b2", 2, 9, "b0"), ("c4", 4, 0, None)
        )
        found = nuclei(
            ("a0", 0, 0, None), ("a1", 1, 0, "a0"), ("a2", 2, 0, "a1"), ("a3", 3, 0, "a2"), ("a4", 4, 0, "a3"),
            ("b0", 0, 9, None), ("b1", 1, 9, None), ("b2", 2, 9, "b1"),
        )  # fmt: skip
        links = evaluate_nuclei(found, true, EvaluationParams(distance=1)).links
        assert links is not None
        assert (links.n_true, links.n_found, links.n_matched) == (2, 1, 1)

    def test_tracks_are_links_too(self) -> None:
        rows = [TrackedNucleus(Spot(t, np.zeros(3), np.eye(3)), track=3) for t in range(4)]
        links = evaluated(rows, rows).links
        assert links is not None
        assert (links.n_true, links.n_matched) == (3, 3)

    def test_a_truth_without_links_has_no_such_scores(self) -> None:
        alone = nuclei(("a0", 0, 0, None), ("a1", 1, 0, None))
        evaluation = evaluated(alone, TRUE)
        assert evaluation.links is None
        assert evaluation.divisions is None


class TestDivisions:
    def test_the_same(self) -> None:
        assert divisions_of(TRUE, TRUE) == (1, 1, 1, 0, 0)

    def test_none_is_found(self) -> None:
        found = nuclei(("m0", 0, 0, None), ("m1", 1, 0, "m0"), ("a2", 2, -5, "m1"), ("b2", 2, 5, None))
        assert divisions_of(TRUE, found, 3) == (1, 0, 0, 0, 0)

    def test_a_wrong_daughter(self) -> None:
        found = nuclei(("m0", 0, 0, None), ("m1", 1, 0, "m0"), ("a2", 2, -5, "m1"), ("c2", 2, 30, "m1"))
        assert divisions_of(TRUE, found, 3) == (1, 1, 0, 0, 1)

    @pytest.mark.parametrize(("true", "found"), [(TRUE, LATER), (LATER, TRUE)])
    def test_one_timepoint_later_or_earlier(self, true: list[TrackedNucleus], found: list[TrackedNucleus]) -> None:
        assert divisions_of(true, found, 0) == (1, 1, 0, 0, 0)
        assert divisions_of(true, found, 1) == (1, 1, 1, 1, 0)

    def test_a_later_division_of_another_nucleus_is_another_one(self) -> None:
        other = nuclei(
            ("m0", 0, 0, None), ("m1", 1, 0, "m0"), ("a2", 2, -5, "m1"), ("n0", 0, 5, None), ("n1", 1, 5, "n0"),
            ("b2", 2, 5, "n1"), ("a3", 3, -6, "b2"), ("b3", 3, 6, "b2"),
        )  # fmt: skip
        assert divisions_of(TRUE, other, 3) == (1, 1, 0, 0, 0)

    def test_pairs_are_as_many_as_possible(self) -> None:
        """One found division lies between two true ones of a lineage, and another one only after the second."""
        both = [
            ("m0", 0, 0.0, None),
            ("a1", 1, 0.0, "m0"),
            ("a2", 2, 0.0, "a1"),
            ("a3", 3, 0.0, "a2"),
            ("a4", 4, 0.0, "a3"),
        ]
        true = [*both, ("x1", 1, 9.0, "m0"), ("x2", 2, 9.0, "x1"), ("y3", 3, 20.0, "a2"), ("y4", 4, 20.0, "y3")]
        found = [*both, ("x2", 2, 9.0, "a1"), ("y4", 4, 20.0, "a3")]
        assert divisions_of(nuclei(*true), nuclei(*found), 1)[:3] == (2, 2, 2)


@st.composite
def forests(draw: st.DrawFn) -> list[Row]:
    """Return nuclei at a few places, each with a parent at the timepoint before, or none."""
    rows: list[Row] = []
    before: list[str] = []
    for t in range(5):
        places = draw(st.lists(st.integers(0, 4), max_size=4, unique=True))
        now = [f"{t}-{place}" for place in places]
        for name, place in zip(now, places, strict=True):
            rows.append((name, t, 3.0 * place, draw(st.sampled_from([None, *before]))))
        before = now
    return rows


@settings(deadline=None, max_examples=50)
@given(forests(), forests(), st.integers(0, 3), st.randoms(use_true_random=False))
def test_scores_depend_on_neither_order_nor_side(
    true: list[Row], found: list[Row], tolerance: int, rng: random.Random
) -> None:
    """Perfect is 1; the sides swap precision and recall; the order of nuclei changes nothing."""
    one, other = nuclei(*true), nuclei(*found)
    if not any(n.parent is not None for n in one) or not any(n.parent is not None for n in other):
        return
    perfect = evaluated(one, one, tolerance)
    assert perfect.spots.f1 == 1
    assert perfect.links is not None
    assert perfect.links.f1 == 1
    n_true, n_found, n_matched, n_shifted, n_wrong = divisions_of(one, other, tolerance)
    assert divisions_of(one, one, tolerance) == (n_true, n_true, n_true, 0, 0)
    assert divisions_of(other, one, tolerance) == (n_found, n_true, n_matched, n_shifted, n_wrong)
    there, back = evaluated(one, other, tolerance), evaluated(other, one, tolerance)
    assert there.links is not None
    assert back.links is not None
    assert (there.links.n_matched, there.spots.n_matched) == (back.links.n_matched, back.spots.n_matched)
    rng.shuffle(one)
    rng.shuffle(other)
    assert divisions_of(one, other, tolerance) == (n_true, n_found, n_matched, n_shifted, n_wrong)
    assert evaluated(one, other, tolerance).links == there.links
