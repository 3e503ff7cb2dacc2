"""Scores of a whole movie: what counts, and how they are told."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

import elephant
from core.evaluation.nuclei import balls, spot
from elephant.errors import InvalidInputError
from elephant.evaluation import Counts, Evaluation, EvaluationParams, evaluate_nuclei
from elephant.evaluation.report import table_of, values_of
from elephant.export.base import TrackedNucleus
from elephant.types import DetectedSpot, Spot, Tag


def movie(*groups: list[float], radius: float = 2.0, tag: Tag = Tag.UNLABELED) -> list[TrackedNucleus]:
    """Return nuclei along X, a list for each timepoint."""
    return [
        TrackedNucleus(Spot(t, np.array([1.0, 2.0, x]), radius**2 * np.eye(3), tag))
        for t, group in enumerate(groups)
        for x in group
    ]


def evaluated(found: list[TrackedNucleus], truth: list[TrackedNucleus], **params: object) -> Evaluation:
    return evaluate_nuclei(found, truth, EvaluationParams(**params))


TRUTH = movie([0, 10, 20], [], [0, 10])
FOUND = movie([0, 11, 35], [5], [0, 15, 30, 12])


def counts_of(evaluation: Evaluation) -> tuple[int, int, int]:
    return evaluation.spots.n_true, evaluation.spots.n_found, evaluation.spots.n_matched


class TestWhatCounts:
    def test_timepoints_with_truth(self) -> None:
        evaluation = evaluated(FOUND, TRUTH)
        assert counts_of(evaluation) == (5, 7, 4)
        assert [each.t for each in evaluation.timepoints] == [0, 2]
        assert evaluation.left_out.at_other_timepoints == 1

    def test_the_whole_movie(self) -> None:
        evaluation = evaluated(FOUND, TRUTH, truth_covers="movie")
        assert counts_of(evaluation) == (5, 8, 4)
        assert [each.t for each in evaluation.timepoints] == [0, 1, 2]
        assert evaluation.left_out.at_other_timepoints == 0

    def test_the_box_around_the_true_nuclei(self) -> None:
        """At timepoint 0 it ends at 20, at timepoint 2 at 10; what matches counts outside of it, too."""
        evaluation = evaluated(FOUND, TRUTH, truth_covers="box")
        assert counts_of(evaluation) == (5, 4, 4)
        assert evaluation.left_out.without_truth == 3
        inside = evaluated([*FOUND, *movie([], [], [5])], TRUTH, truth_covers="box")
        assert counts_of(inside) == (5, 5, 4)

    def test_single_nuclei(self) -> None:
        evaluation = evaluated(FOUND, TRUTH, truth_covers="nuclei")
        assert evaluation.spots.recall == 4 / 5
        values = values_of(evaluation, per_timepoint=True)
        for scores in (values["spots"], *values["per_timepoint"]):
            assert scores["recall"] is not None
            assert scores["precision"] is scores["f1"] is scores["found"] is scores["wrong"] is None
        assert "no precision" in table_of(evaluation)

    def test_chosen_timepoints(self) -> None:
        only = evaluate_nuclei(FOUND, TRUTH, EvaluationParams(), timepoints=[1, 2])
        assert counts_of(only) == (2, 4, 2)
        assert (only.left_out.at_other_timepoints, only.left_out.true_at_other_timepoints) == (4, 3)
        whole = evaluate_nuclei(FOUND, TRUTH, EvaluationParams(truth_covers="movie"), timepoints=[1, 2])
        assert counts_of(whole) == (2, 5, 2)
        with pytest.raises(InvalidInputError, match="no nuclei at the chosen timepoints"):
            evaluate_nuclei(FOUND, TRUTH, EvaluationParams(), timepoints=[1])

    @pytest.mark.parametrize("tag", [Tag.FP, Tag.TN, Tag.TB, Tag.FB])
    def test_what_is_tagged_as_something_else_is_no_nucleus(self, tag: Tag) -> None:
        evaluation = evaluated([*FOUND, *movie([50], tag=tag)], [*TRUTH, *movie([50], tag=tag)])
        assert counts_of(evaluation) == (5, 7, 4)
        assert evaluation.left_out.no_nuclei == 2

    def test_nothing_true_is_an_error(self) -> None:
        with pytest.raises(InvalidInputError, match="the truth has no nuclei"):
            evaluated(FOUND, [])

    def test_nothing_found_is_a_score_of_0(self) -> None:
        assert counts_of(evaluated([], TRUTH)) == (5, 0, 0)


class TestDistance:
    def test_by_default_the_median_radius_of_the_true_nuclei(self) -> None:
        """A ball as large as an ellipsoid: the third root of the product of its semi-axes."""
        truth = [TrackedNucleus(Spot(0, np.zeros(3), np.diag([1.0, 4.0, 16.0]))), *movie([30], radius=1.0)]
        assert evaluated(truth, truth).distance == pytest.approx((2.0 + 1.0) / 2)

    def test_in_2d_the_variance_along_z_says_nothing(self) -> None:
        flat = [TrackedNucleus(Spot(0, np.zeros(3), np.diag([1.0, 9.0, 9.0])))]
        assert evaluated(flat, flat).distance == pytest.approx(3.0)

    def test_in_2d_a_z_says_nothing(self) -> None:
        found, true = ([TrackedNucleus(spot(z, 5, 5))] for z in (0, 40))
        for params in (EvaluationParams(), EvaluationParams(overlap=0.9), EvaluationParams(truth_covers="box")):
            assert evaluate_nuclei(found, true, params, n_dims=2).spots == Counts(1, 1, 1)

    def test_a_nucleus_without_size_asks_for_one(self) -> None:
        point = [TrackedNucleus(Spot(0, np.ones(3), np.zeros((3, 3))))]
        with pytest.raises(InvalidInputError, match="has no size: give `distance`"):
            evaluated(point, point)
        assert evaluated(point, point, distance=1).spots.f1 == 1


def test_overlap_in_place_of_distance() -> None:
    evaluation = evaluated(FOUND, TRUTH, overlap=0.4)
    assert evaluation.distance is None
    assert counts_of(evaluation) == (5, 7, 3)  # of two balls of radius 2, 2 apart, 0.19 is common; 1 apart, 0.46


def test_matchings_of_timepoints_name_their_own_nuclei() -> None:
    for each in evaluated(FOUND[::-1], TRUTH, truth_covers="box").timepoints:
        for (i, j), apart in zip(each.matching.pairs, each.matching.distances, strict=True):
            assert np.linalg.norm(each.true[i].pos - each.found[j].pos) == apart <= 2
        assert {each.true[i].t for i in each.matching.missed} | {each.found[j].t for j in each.matching.wrong} <= {
            each.t
        }
    assert evaluated(FOUND, TRUTH).worst().t == 0


def test_the_table_is_aligned_and_says_what_counts() -> None:
    table = table_of(evaluated(FOUND, TRUTH), per_timepoint=True).splitlines()
    assert table == [
        "matched   within 2, the median radius of the true nuclei",
        "counted   2 timepoints (0, 2)",
        "left out  1 found at other timepoints",
        "",
        "        true  found  matched  missed  wrong  precision  recall     F1",
        "t = 0      3      3        2       1      1      0.666   0.666  0.666",
        "t = 2      2      4        2       0      2      0.500   1.000  0.666",
        "nuclei     5      7        4       1      3      0.571   0.800  0.666",
        "",
        "distance of matched nuclei: mean 0.75, median 0.5",
    ]


def test_values_are_json_and_complete() -> None:
    values = values_of(evaluated(FOUND, TRUTH))
    assert json.loads(json.dumps(values, allow_nan=False)) == values
    assert values["spots"] == {
        "true": 5, "found": 7, "matched": 4, "missed": 1, "wrong": 3, "precision": 4 / 7, "recall": 4 / 5,
        "f1": 8 / 12, "mean_distance": 0.75, "median_distance": 0.5,
    }  # fmt: skip
    assert values["links"] is values["divisions"] is None
    assert not any(isinstance(value, float) and math.isnan(value) for value in values["spots"].values())


def test_many_nuclei_of_one_timepoint() -> None:
    places = np.random.default_rng(0).uniform(0, 400, (5000, 3))
    truth = [TrackedNucleus(spot) for spot in balls(places, 6.0)]
    found = [TrackedNucleus(spot) for spot in balls(places[::-1] + 1.0, 6.0)]
    assert evaluated(found, truth, distance=2).spots.f1 == 1


class TestPython:
    def test_what_a_notebook_has_at_hand(self) -> None:
        """Arrays, what a model finds, and tracks; the same scores as from nuclei."""
        table = np.array([[0, 1, 2, 0, 2], [0, 1, 2, 10, 2], [1, 1, 2, 0, 2]], float)
        found = [[DetectedSpot.ball((1, 2, 1), 2.0)], [DetectedSpot.ball((1, 2, 0), 2.0)]]
        evaluation = elephant.evaluate(found, table, distance=2)
        assert counts_of(evaluation) == (3, 2, 2)
        assert "nuclei" in str(evaluation)
        tracks = elephant.link(found, max_distance=3)
        assert elephant.evaluate(tracks, tracks).links.f1 == 1
        assert elephant.evaluate(found, tracks).links.recall == 0
        assert counts_of(elephant.evaluate(found, table, timepoints=[1])) == (1, 1, 1)

    def test_files_of_any_format_that_is_read(self, tmp_path: Path) -> None:
        truth = tmp_path / "truth.csv"
        truth.write_text("t,x,y,z,radius,id,parent\n0,1,2,3,2,1,\n1,1,2,3,2,2,1\n")
        found = tmp_path / "found.json"
        found.write_text(json.dumps({"spots": [{"t": 0, "pos": [1, 2, 4], "covariance": np.eye(3).ravel().tolist()}]}))
        evaluation = elephant.evaluate(found, str(truth), distance=1)
        assert counts_of(evaluation) == (2, 1, 1)
        assert (evaluation.links.n_true, evaluation.links.n_found) == (1, 0)

    def test_an_unknown_parameter_is_refused(self) -> None:
        with pytest.raises(InvalidInputError, match="did you mean distance"):
            elephant.evaluate([], [], distanc=3)
