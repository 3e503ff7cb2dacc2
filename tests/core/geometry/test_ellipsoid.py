"""Ellipsoids as they are measured."""

import numpy as np
import pytest

from elephant.geometry import Ellipsoid, mean_radii
from elephant.types import Spot


def test_the_radius_of_the_same_volume() -> None:
    turned = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    matrices = np.array([np.diag([4.0, 9.0, 36.0]), turned @ np.diag([1.0, 1.0, 64.0]) @ turned.T])
    found = mean_radii(matrices)
    assert found == pytest.approx([36 ** (1 / 3), 2.0])
    for matrix, radius in zip(matrices, found, strict=True):
        assert Ellipsoid.from_spot(Spot(0, np.zeros(3), matrix), 3).mean_radius == pytest.approx(radius)
    assert mean_radii(np.array([np.diag([4.0, 9.0])])) == pytest.approx([6**0.5])  # of a disk


def test_what_is_no_ellipsoid_has_no_radius() -> None:
    flat, turned_inside_out = np.diag([4.0, 9.0, 0.0]), np.diag([4.0, 9.0, -1.0])
    assert np.isnan(mean_radii(np.array([flat, turned_inside_out]))).all()
    assert mean_radii(np.empty((0, 3, 3))).shape == (0,)
