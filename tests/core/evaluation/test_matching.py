"""Which found nucleus is which true one."""

import math
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.evaluation.nuclei import balls, spot
from elephant.errors import InvalidInputError
from elephant.evaluation.counts import Counts
from elephant.evaluation.matching import Matching, match_by_distance, match_by_overlap
from elephant.types import DetectedSpot, Spot


def pairs_of(matching: Matching) -> set[tuple[int, int]]:
    return {(int(i), int(j)) for i, j in matching.pairs}


def share_of_balls(apart: float, r: float, larger: float) -> float:
    """Return the exact share of two balls: the lens of both by their union."""
    if apart >= r + larger:
        return 0.0
    if apart <= abs(r - larger):
        lens = 4 / 3 * math.pi * min(r, larger) ** 3
    else:
        edge = (larger + r - apart) ** 2 * (apart**2 + 2 * apart * (r + larger) - 3 * (r - larger) ** 2)
        lens = math.pi * edge / (12 * apart)
    return lens / (4 / 3 * math.pi * (r**3 + larger**3) - lens)


class TestCounts:
    def test_shares_by_hand(self) -> None:
        counts = Counts(n_true=4, n_found=5, n_matched=3)
        assert (counts.precision, counts.recall, counts.f1) == (3 / 5, 3 / 4, 6 / 9)
        assert (counts.n_missed, counts.n_wrong) == (1, 2)
        assert counts + Counts(1, 1, 0) == Counts(5, 6, 3)

    def test_nothing_of_either(self) -> None:
        assert str(Counts(1, 0, 0)) == "precision 0.000, recall 0.000, F1 0.000"
        assert all(
            math.isnan(value) for value in (Counts(0, 0, 0).precision, Counts(0, 0, 0).recall, Counts(0, 0, 0).f1)
        )


class TestByDistance:
    def test_counts_and_scores(self) -> None:
        true = [spot(0, 0, 0), spot(0, 0, 20), spot(0, 0, 40)]
        found = [spot(0, 1, 0), spot(0, 0, 22), spot(0, 30, 40), spot(9, 9, 9)]
        matching = match_by_distance(true, found, 5)
        assert pairs_of(matching) == {(0, 0), (1, 1)}
        assert matching.distances.tolist() == [1, 2]
        assert (matching.counts.precision, matching.counts.recall) == (0.5, pytest.approx(2 / 3))
        assert matching.counts.f1 == pytest.approx(4 / 7)
        assert (matching.missed, matching.wrong) == ({2}, {2, 3})

    def test_as_many_matches_as_possible_come_before_near_ones(self) -> None:
        """The nearest pair is (0, 0); taking it would leave the others without partners."""
        true = [spot(0, 0, 0), spot(0, 0, 4)]
        found = [spot(0, 0, 1), spot(0, 0, -4)]
        assert pairs_of(match_by_distance(true, found, 4)) == {(0, 1), (1, 0)}

    def test_the_limit_itself_matches_and_what_is_farther_does_not(self) -> None:
        assert match_by_distance([spot(0, 0, 0)], [spot(3, 4, 0)], 5).counts.f1 == 1
        assert match_by_distance([spot(0, 0, 0)], [spot(3, 4, 0.1)], 5).counts.f1 == 0

    def test_nothing_found_or_nothing_true(self) -> None:
        assert match_by_distance([spot(0, 0, 0)], [], 5).missed == {0}
        assert match_by_distance([], [spot(0, 0, 0)], 5).wrong == {0}

    def test_a_distance_in_which_all_are_near_is_refused(self) -> None:
        many = balls(np.random.default_rng(2).uniform(0, 1, (5000, 3)))
        with pytest.raises(InvalidInputError, match="expected a distance within which a nucleus has few others"):
            match_by_distance(many, many, 9)


class TestByOverlap:
    @pytest.mark.parametrize(("r", "larger", "apart"), [(1, 1, 0.5), (1, 2, 1.2), (2, 1, 0.5), (3, 2, 4), (1, 1, 1.9)])
    def test_balls_overlap_by_the_exact_share(self, r: float, larger: float, apart: float) -> None:
        exact = share_of_balls(apart, r, larger)
        one, other = DetectedSpot.ball((1, 2, 3), r), DetectedSpot.ball((1, 2 + apart, 3), larger)
        assert match_by_overlap([one], [other], exact - 0.013, 3).counts.f1 == 1
        assert match_by_overlap([one], [other], exact + 0.013, 3).counts.f1 == 0

    def test_disks_overlap_without_z(self) -> None:
        # Two disks of radius 1 whose centres are 1 apart: 2 pi / 3 - sqrt(3) / 2 in common.
        common = 2 * math.pi / 3 - math.sqrt(3) / 2
        exact = common / (2 * math.pi - common)
        one, other = spot(0, 0, 0), spot(7, 0, 1)
        assert match_by_overlap([one], [other], exact - 0.013, 2).counts.f1 == 1
        assert match_by_overlap([one], [other], exact + 0.013, 2).counts.f1 == 0

    def test_a_nucleus_is_wholly_itself(self) -> None:
        turned = Spot(0, np.array([5.0, 6.0, 7.0]), np.array([[9.0, 1, 2], [1, 4, 0.5], [2, 0.5, 6]]))
        assert match_by_overlap([turned], [turned], 1.0, 3).counts.f1 == 1

    def test_one_of_another_size_is_another_one(self) -> None:
        small, large = DetectedSpot.ball((0, 0, 0), 1), DetectedSpot.ball((0, 0, 0), 2)
        assert match_by_overlap([small], [large], 0.13, 3).counts.f1 == 0  # an eighth
        assert match_by_distance([small], [large], 0.1).counts.f1 == 1

    def test_a_covariance_that_is_none_is_refused(self) -> None:
        flat = spot(0, 0, 0, np.diag([1.0, 1.0, 0.0]))
        with pytest.raises(InvalidInputError, match="positive definite"):
            match_by_overlap([flat], [spot(0, 0, 0)], 0.5, 3)


points = st.lists(st.tuples(*[st.integers(0, 12)] * 3), max_size=12)


@settings(deadline=None, max_examples=60)
@given(points, points, st.sampled_from([1.0, 2.5, 6.0]), st.randoms(use_true_random=False))
def test_matches_depend_on_neither_order_nor_side(
    true: list[tuple[int, ...]], found: list[tuple[int, ...]], distance: float, rng: random.Random
) -> None:
    """The same counts, and the same sum of distances, for any order, and with the sides swapped; perfect is 1."""
    one, other = balls(np.array(true, float).reshape(-1, 3)), balls(np.array(found, float).reshape(-1, 3))
    for match in (
        lambda a, b: match_by_distance(a, b, distance),
        lambda a, b: match_by_overlap(a, b, distance / 10, 3),
    ):
        matching = match(one, other)
        assert len(set(matching.pairs[:, 0])) == len(set(matching.pairs[:, 1])) == len(matching.pairs)
        swapped = match(other, one)
        assert len(swapped.pairs) == len(matching.pairs)
        shuffled = list(one)
        rng.shuffle(shuffled)
        assert len(match(shuffled, other).pairs) == len(matching.pairs)
        assert one == [] or match(one, shuffled).counts.f1 == 1
    by_distance = match_by_distance(one, other, distance)
    assert match_by_distance(other, one, distance).distances.sum() == pytest.approx(by_distance.distances.sum())
