import numpy as np
import pytest

from core import golden_files
from elephant.config import SpotParams
from elephant.spots import find_spots


def params(**changes: float) -> SpotParams:
    return SpotParams(**{"voxel_size": (2.0, 1.0, 1.0), "c_ratio": 0.5, "p_thresh": 0.5, **changes})


def ball(shape: tuple[int, ...], centre: tuple[float, ...], radius: float, scale: tuple[float, ...]) -> np.ndarray:
    grid = np.meshgrid(*(np.arange(n) * s for n, s in zip(shape, scale, strict=True)), indexing="ij")
    distance = sum((g - c) ** 2 for g, c in zip(grid, centre, strict=True))
    return (distance < radius**2).astype(np.float32)


@pytest.mark.parametrize("name", golden_files.names("detect_*"))
def test_spots_match_the_golden_ones(name: str) -> None:
    meta, arrays = golden_files.load(name)
    probability = arrays["prob"]
    n = probability.ndim
    box = meta["crop_box_zyx"]
    asked = SpotParams(
        voxel_size=golden_files.voxel_size(meta["scales_zyx"]),
        **{key: meta[key] for key in ("c_ratio", "p_thresh", "r_min", "r_max")},
    )
    found = find_spots(probability, asked, None if box is None else tuple(box[:3][-n:]))
    assert len(found) == len(meta["spots"])
    unmatched = list(found)
    for entry in meta["spots"]:
        expected = np.array(entry["pos"][::-1])
        spot = min(unmatched, key=lambda s: float(np.linalg.norm(s.pos - expected)))
        np.testing.assert_allclose(spot.pos, expected, rtol=1e-4, atol=1e-4)
        covariance = np.array(entry["covariance"][::-1]).reshape(3, 3)
        np.testing.assert_allclose(spot.covariance, covariance, rtol=1e-4, atol=1e-4)
        assert spot.quality == pytest.approx(entry["quality"], abs=1e-4)
        unmatched.remove(spot)


def test_a_centre_comes_back_as_its_nucleus() -> None:
    probability = ball((20, 40, 40), (20.0, 18.0, 22.0), 5.0, (2.0, 1.0, 1.0))
    (spot,) = find_spots(probability, params())
    np.testing.assert_allclose(spot.pos, [20, 18, 22], atol=1e-9)
    inside = np.argwhere(probability) * [2.0, 1.0, 1.0]
    extent = (np.ptp(inside, axis=0) / [2.0, 1.0, 1.0]) + 1
    deviations = inside.std(axis=0) * (extent + 1) / extent
    np.testing.assert_allclose(np.sqrt(np.diag(spot.covariance)), 2 * deviations / 0.5)
    assert spot.quality == 1


def test_small_components_are_dropped_and_large_ones_cut() -> None:
    probability = ball((20, 40, 40), (20.0, 18.0, 22.0), 5.0, (2.0, 1.0, 1.0))
    assert find_spots(probability, params(r_min=30.0)) == []
    (spot,) = find_spots(probability, params(r_max=4.0))
    np.testing.assert_allclose(np.sqrt(np.linalg.eigvalsh(spot.covariance)), 4.0)


def test_nothing_is_found_in_nothing() -> None:
    assert find_spots(np.zeros((5, 6, 7), np.float32), params()) == []
    single = np.zeros((5, 6, 7), np.float32)
    single[2, 3, 3] = 1
    assert find_spots(single, params()) == []


def test_a_rescaled_image_gives_spots_in_the_stored_space() -> None:
    stored = ball((40, 40), (19.5, 11.5), 6.0, (1.0, 1.0))
    halved = stored.reshape(20, 2, 20, 2).mean((1, 3))
    (full,) = find_spots(stored, params())
    (half,) = find_spots(halved, params(), ratio=(2.0, 2.0))
    np.testing.assert_allclose(half.pos, full.pos, atol=1e-9)
    assert full.pos[0] == half.pos[0] == 0
    assert half.covariance[0, 0] == 1


def test_slicewise_prediction_stretches_z() -> None:
    probability = ball((20, 40, 40), (20.0, 18.0, 22.0), 5.0, (2.0, 1.0, 1.0))
    (plain,) = find_spots(probability, params())
    (slicewise,) = find_spots(probability, params(), stretch_z=True)
    assert slicewise.covariance[0, 0] == pytest.approx(plain.covariance[0, 0] / 4)
    assert slicewise.covariance[2, 2] == pytest.approx(plain.covariance[2, 2])
