"""The quality of a spot is the probability that it is a nucleus."""

from pathlib import Path

import numpy as np
import pytest

from elephant.quality import NAMES, Scene, Sites, calibrated, fit, measure
from elephant.quality.calibration import (
    LEAST_JUDGED,
    Correction,
    correction_file,
    keep_judged,
    prior,
    probability_of,
    read_correction,
)
from elephant.quality.logistic import sigmoid
from elephant.review.figures import SPOT_NAMES, SUSPECT_NAMES
from elephant.types import DetectedSpot

EDGE = (2.0, 1.0, 1.0)


def ball_scene(noise: float = 0.05) -> Scene:
    """Return a scene of a bright ball of radius 5 at (16, 20, 20), and of noise with as sure a centre at (8, 8, 31)."""
    rng = np.random.default_rng(3)
    z, y, x = np.meshgrid(*(np.arange(n) * e for n, e in zip((16, 40, 40), EDGE, strict=True)), indexing="ij")
    inside = (z - 16) ** 2 + (y - 20) ** 2 + (x - 20) ** 2 < 25
    image = (0.1 + 0.8 * inside + noise * rng.standard_normal(inside.shape)).astype(np.float32)
    middles = (np.hypot(np.hypot(z - a, y - b), x - c) < 2 for a, b, c in ((16, 20, 20), (8, 8, 31)))
    centre = np.where(np.any(list(middles), axis=0), 0.95, 0.02).astype(np.float32)
    return Scene(image, centre, np.array(EDGE), np.zeros(3))


@pytest.mark.parametrize("origin", [(0.0, 0.0, 0.0), (10.0, -4.0, 7.0)])
def test_what_looks_like_a_nucleus_is_more_probable_than_what_does_not(origin: tuple[float, ...]) -> None:
    scene = ball_scene()
    placed = Scene(scene.image, scene.centre, scene.scale, np.array(origin))
    spots = [DetectedSpot.ball(np.add(place, origin).tolist(), 5, 0.95) for place in ((16, 20, 20), (8, 8, 31))]

    right, wrong = (spot.quality for spot in calibrated(placed, spots))

    assert right > 0.8
    assert wrong < right
    assert [spot.pos.tolist() for spot in calibrated(placed, spots)] == [spot.pos.tolist() for spot in spots]


def test_no_spots_and_a_single_spot_have_figures() -> None:
    scene = ball_scene()
    none, one = Sites.of([], 3), Sites.of([DetectedSpot.ball((16, 20, 20), 5)], 3)
    assert calibrated(scene, []) == []
    assert measure(scene, none, none, np.empty(0), np.empty(0)).shape == (0, len(NAMES))
    assert np.isfinite(measure(scene, one, none, np.ones(1), np.empty(0))).all()


def test_planes_and_flat_spots_have_figures() -> None:
    rng = np.random.default_rng(0)
    scene = Scene(rng.random((30, 30)), rng.random((30, 30)), np.ones(2), np.zeros(2))
    spots = [DetectedSpot.ball((15, 15), 3, 0.6), DetectedSpot(np.array([0, 40.0, -3]), np.diag([1, 9, 1e-9]), 0.6)]
    assert all(0 <= spot.quality <= 1 for spot in calibrated(scene, spots))


def test_a_spot_in_a_crowd_has_the_figures_it_has_in_a_part_of_it() -> None:
    scene = ball_scene()
    rng = np.random.default_rng(1)
    spots = [DetectedSpot.ball(rng.uniform((4, 4, 4), (28, 36, 36)), 3, 0.9) for _ in range(30)]
    sites, quality = Sites.of(spots, 3), np.full(30, 0.9)
    whole = measure(scene, sites, sites, quality, quality)
    some = measure(scene, sites.take(slice(5, 9)), sites, quality[5:9], quality)
    np.testing.assert_allclose(some, whole[5:9])


def test_weights_are_found_again() -> None:
    rng = np.random.default_rng(0)
    figures = rng.standard_normal((4000, 2))
    truth = rng.random(4000) < sigmoid(figures @ (2.0, -1.0) + 0.5)
    found = fit(("a", "b"), figures, truth, np.ones(4000), {})
    np.testing.assert_allclose(np.divide(found.weights, found.width), (2, -1), atol=0.15)
    assert found.log_odds(np.zeros((1, 2)))[0] == pytest.approx(0.5, abs=0.15)


def test_weights_keep_the_signs_that_are_known() -> None:
    rng = np.random.default_rng(0)
    figures = rng.standard_normal((1000, 1))
    truth = rng.random(1000) < sigmoid(-2 * figures[:, 0])
    assert fit(("a",), figures, truth, np.ones(1000), {"a": 1}).weights == (0,)


def test_the_weights_of_the_package_know_all_figures() -> None:
    assert prior().found.names == tuple(NAMES)
    assert prior().reviewed.names == prior().merged.names == SPOT_NAMES
    assert prior().missed.names == SUSPECT_NAMES
    assert "simulated" in prior().made_from


@pytest.mark.parametrize("question", ["found", "reviewed", "merged", "missed"])
def test_the_edge_of_the_image_alone_decides_nothing(question: str) -> None:
    weights = getattr(prior(), question)
    middle = np.tile(weights.shift, (2, 1))
    middle[:, weights.names.index("room")] = (0.3, 1.0)
    cut, whole = weights.log_odds(middle)
    assert abs(cut - whole) < 1.5


def test_what_was_judged_corrects_a_model_and_lies_beside_it(tmp_path: Path) -> None:
    model = tmp_path / "m.pth"
    odds = np.array([-1.0, 2.0])
    few = keep_judged(model, [(2.0, False)] * (LEAST_JUDGED - 1), "movie")
    np.testing.assert_array_equal(few.applied(odds), odds)

    keep_judged(model, [(2.0, False)], "another")

    again = read_correction(model)
    assert (len(again.judged), again.datasets) == (LEAST_JUDGED, ("movie", "another"))
    assert (probability_of(odds, again) < probability_of(odds) - 0.05).all()
    assert correction_file(model).parent.parent == tmp_path


def test_judged_spots_that_agree_change_little() -> None:
    rng = np.random.default_rng(0)
    odds = rng.normal(0, 2, 500)
    judged = tuple((float(o), bool(rng.random() < sigmoid(o))) for o in odds)
    np.testing.assert_allclose(Correction(judged=judged).applied(np.array([-2.0, 0, 2])), (-2, 0, 2), atol=0.7)


@pytest.mark.parametrize("content", [b"{", b'{"judged": [[1e999, true]]}', b'{"judged": 3}'])
def test_a_damaged_correction_is_ignored_with_a_warning(
    tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    place = correction_file(tmp_path / "m.pth")
    place.parent.mkdir()
    place.write_bytes(content)
    assert read_correction(tmp_path / "m.pth") == Correction()
    assert "cannot be read" in caplog.text
