"""Spots joined to tracks."""

import numpy as np
import pytest

from elephant.errors import InvalidInputError
from elephant.tracking import Track, assignment, join, tracks_of


def points(*xs: float) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    return np.array([[0.0, 0.0, x] for x in xs]).reshape(-1, 3)


def test_the_whole_is_nearest_not_each_by_itself() -> None:
    # By itself the first would take 1.0, and nothing would be left for the second.
    assert join(points(0.6, 1.4), points(1.0, -0.5), largest=2, n_children=1).tolist() == [1, 0]


def test_as_many_as_can_be_are_joined() -> None:
    # The nearest pair alone would be 1 to 1; joining both costs more distance.
    assert join(points(0.0, 1.0), points(1.0, 2.9), largest=2, n_children=1).tolist() == [0, 1]


def test_nothing_is_joined_from_further_than_asked() -> None:
    assert join(points(0, 10), points(2, 5), largest=2).tolist() == [0, -1]
    assert join(points(0), points(2.001), largest=2).tolist() == [-1]


def test_a_spot_at_the_very_place_is_joined() -> None:
    assert join(points(3, 5), points(5, 3), largest=1).tolist() == [1, 0]


def test_two_children_are_a_division_and_three_are_not() -> None:
    assert join(points(-1, 1.5), points(0), largest=2).tolist() == [0, 0]
    assert join(points(-1, 1.5), points(0), largest=2, n_children=1).tolist() == [0, -1]
    assert join(points(-1, 1.5, 0.1), points(0), largest=2).tolist() == [0, -1, 0]


def test_a_free_spot_is_used_before_another_divides() -> None:
    assert join(points(0, 1), points(0, 2.5), largest=2).tolist() == [0, 1]


def test_none_of_either() -> None:
    assert join(points(), points(1), largest=2).tolist() == []
    assert join(points(1), points(), largest=2).tolist() == [-1]


def test_many_spots_at_once() -> None:
    rng = np.random.default_rng(0)
    spots = rng.uniform(0, 500, (4000, 3))
    order = rng.permutation(len(spots))
    joined = join(spots[order] + rng.normal(0, 0.01, spots.shape), spots, largest=3)
    assert (joined == order).mean() > 0.999


def test_tracks_end_where_a_nucleus_divides() -> None:
    timepoints = {"a0": 0, "b0": 0, "a1": 1, "b1": 1, "b2": 2, "c2": 2, "d3": 3}
    parents = {"a1": "a0", "b1": "b0", "b2": "b1", "c2": "b1", "d3": "c2"}
    number, tracks = tracks_of(timepoints, parents)
    assert number == {"a0": 1, "b0": 2, "a1": 1, "b1": 2, "b2": 3, "c2": 4, "d3": 4}
    assert tracks == [Track(1, 0, 1, 0), Track(2, 0, 1, 0), Track(3, 2, 2, 2), Track(4, 2, 3, 2)]


def test_crowds_are_joined_as_small_groups_are(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    spots = rng.uniform(0, 60, (220, 3))
    earlier = np.concatenate([spots[:200] + rng.normal(0, 2, (200, 3)), rng.uniform(0, 60, (30, 3)), spots[:3]])
    sparse = join(earlier, spots, largest=12)
    monkeypatch.setattr(assignment, "_DENSE", 10**9)
    assert sparse.tolist() == join(earlier, spots, largest=12).tolist()


def test_a_distance_in_which_all_are_near_is_refused() -> None:
    many = np.random.default_rng(2).uniform(0, 1, (5000, 3))
    with pytest.raises(InvalidInputError, match="25,000,000 pairs of 5,000 and 5,000 spots are closer than 9"):
        join(many, many, largest=9)
