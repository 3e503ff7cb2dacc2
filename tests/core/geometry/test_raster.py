import numpy as np
import pytest

from core import golden_files
from elephant.errors import Cancelled, InvalidInputError
from elephant.geometry import Ellipsoid, blocks_of, rasterise, rasterise_each
from elephant.types import Spot


def sphere(centre: tuple[float, ...], radius: float) -> Ellipsoid:
    n = len(centre)
    return Ellipsoid(np.array(centre, dtype=float), np.full(n, radius), np.eye(n))


def test_voxels_match_the_golden_sets() -> None:
    meta, arrays = golden_files.load("ellipsoid_voxels_3d")
    assert len(meta["spots"]) == len(arrays)
    for i, entry in enumerate(meta["spots"]):
        ellipsoid = Ellipsoid.from_spot(golden_files.spot(entry), 3)
        raster = rasterise(ellipsoid, meta["scales_zyx"], tuple(meta["shape"]))
        found = {tuple(v) for v in raster.indices()}
        assert found == {tuple(v) for v in arrays[f"voxels_{i}"].T}, f"spot {i}"


def test_a_small_sphere_grows_to_the_least_number_of_voxels() -> None:
    raster = rasterise(sphere((5.0, 5.0, 5.0), 0.01), (1.0, 1.0, 1.0), (11, 11, 11), min_voxels=9)
    assert np.count_nonzero(raster.mask) >= 9
    assert {(5, 5, 5), (4, 5, 5), (5, 5, 6)} <= {tuple(v) for v in raster.indices()}


def test_an_image_smaller_than_the_least_number_is_filled() -> None:
    raster = rasterise(sphere((0.0, 0.0), 0.1), (1.0, 1.0), (2, 2))
    assert {tuple(v) for v in raster.indices()} == {(0, 0), (0, 1), (1, 0), (1, 1)}


@pytest.mark.parametrize("centre", [(-50.0, 5.0, 5.0), (5.0, 1e300, 5.0), (5.0, 5.0, 40.0)])
def test_a_spot_outside_the_image_has_no_voxels(centre: tuple[float, float, float]) -> None:
    assert rasterise(sphere(centre, 2.0), (1.0, 1.0, 1.0), (11, 11, 11)).is_empty


def test_a_covariance_that_is_not_positive_definite_is_refused() -> None:
    spot = Spot(0, np.zeros(3), np.diag([1.0, 1.0, -1.0]))
    with pytest.raises(InvalidInputError, match="positive definite"):
        Ellipsoid.from_spot(spot, 3)


def test_what_is_flatter_than_numbers_go_has_the_least_number_of_voxels() -> None:
    spot = Spot(0, np.array([5.3, 5.0, 5.0]), np.diag([1e-320, 16.0, 16.0]))
    raster = rasterise(Ellipsoid.from_spot(spot, 3), (1.0, 1.0, 1.0), (11, 11, 11), min_voxels=9)
    assert np.count_nonzero(raster.mask) >= 9


def test_what_is_larger_than_any_image_covers_it() -> None:
    spot = Spot(0, np.full(3, 2.0), np.diag([1e308] * 3))
    raster = rasterise(Ellipsoid.from_spot(spot, 3), (1.0, 1.0, 1.0), (5, 6, 7))
    assert raster.mask.shape == (5, 6, 7)
    assert raster.mask.all()


def test_a_covariance_beyond_numbers_is_refused() -> None:
    spot = Spot(0, np.zeros(3), np.full((3, 3), 1e308) + np.diag([0.7e308] * 3))
    with pytest.raises(InvalidInputError, match="positive definite"):
        Ellipsoid.from_spot(spot, 3)


@pytest.mark.parametrize("at_once", [1, 30, 200])
def test_large_ellipsoids_are_painted_in_slabs(monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    flat = np.diag([1e-320, 16.0, 16.0])  # grows, since it has too few voxels
    spots = [Spot(0, np.array([5.3, 5.0, 6.0]), c) for c in (np.diag([9.0, 16.0, 25.0]), np.eye(3) * 900.0, flat)]
    ellipsoids = [Ellipsoid.from_spot(spot, 3) for spot in spots]
    whole = [rasterise(e, (2.0, 1.0, 1.0), (9, 14, 17)) for e in ellipsoids]
    monkeypatch.setattr("elephant.geometry._MOST_AT_ONCE", at_once)
    for ellipsoid, expected in zip(ellipsoids, whole, strict=True):
        found = rasterise(ellipsoid, (2.0, 1.0, 1.0), (9, 14, 17))
        assert found.slices == expected.slices == next(blocks_of([ellipsoid], (2.0, 1.0, 1.0), (9, 14, 17))).slices
        np.testing.assert_array_equal(found.mask, expected.mask)


@pytest.mark.parametrize("shape", [(9, 14, 17), (30, 40)])
@pytest.mark.parametrize("at_once", [50, 1 << 15])
def test_many_ellipsoids_have_the_voxels_that_each_has(
    monkeypatch: pytest.MonkeyPatch, shape: tuple[int, ...], at_once: int
) -> None:
    monkeypatch.setattr("elephant.geometry._MOST_SIDE_BY_SIDE", at_once)
    rng, n = np.random.default_rng(0), len(shape)
    scale = (2.0, 0.7, 1.0)[-n:]
    # On the grid and off it, outside, too small for the least number of voxels, flat, and beyond the image.
    ellipsoids = [
        Ellipsoid(
            rng.choice([np.floor, np.asarray])(rng.uniform(-0.3, 1.3, n) * shape * scale),
            np.sort(rng.choice([0.01, 0.6, 1.0, 2.0, 3.5, 200.0], n)),
            np.linalg.qr(rng.normal(size=(n, n)))[0] if i % 2 else np.eye(n),
        )
        for i in range(400)
    ]
    found = list(rasterise_each(iter(ellipsoids), scale, shape))
    blocks = list(blocks_of(ellipsoids, scale, shape))
    for ellipsoid, raster, block in zip(ellipsoids, found, blocks, strict=True):
        expected = rasterise(ellipsoid, scale, shape)
        assert raster.slices == block.slices == expected.slices
        np.testing.assert_array_equal(raster.mask, expected.mask)


def test_many_ellipsoids_can_be_ended_between() -> None:
    ellipsoids = [sphere((5.0, 5.0, 5.0), 3.0)] * 1000
    with pytest.raises(Cancelled):
        list(rasterise_each(ellipsoids, (1.0, 1.0, 1.0), (11, 11, 11), cancel=CancelAfter(3)))


def test_a_large_ellipsoid_can_be_ended_within(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("elephant.geometry._MOST_AT_ONCE", 1)
    with pytest.raises(Cancelled):
        rasterise(sphere((5.0, 5.0, 5.0), 90.0), (1.0, 1.0, 1.0), (11, 11, 11), cancel=CancelAfter(3))


class CancelAfter:
    """Ends work at its n-th check."""

    def __init__(self, checks: int) -> None:
        self.left = checks

    def check(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise Cancelled
