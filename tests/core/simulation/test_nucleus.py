"""The shape of one nucleus: its moments against closed formulas and against random points."""

import numpy as np
import pytest

from elephant.simulation.nucleus import Body, RandomField, quadrature


def body(frame: np.ndarray, lobes: np.ndarray | None = None, depths: np.ndarray | None = None) -> Body:
    n_dims = len(frame)
    return Body(
        centre=np.arange(1.0, n_dims + 1),
        frame=frame,
        lobes=np.zeros((0, n_dims)) if lobes is None else lobes,
        depths=np.zeros(0) if depths is None else depths,
        chromatin=RandomField.draw(np.random.default_rng(0), n_dims, 1.0),
        contrast=0.3,
        brightness=100.0,
    )


@pytest.mark.parametrize(("n_dims", "total"), [(2, 2 * np.pi), (3, 4 * np.pi)])
def test_quadrature_integrates_over_circle_and_sphere(n_dims: int, total: float) -> None:
    directions, weights = quadrature(n_dims)
    np.testing.assert_allclose(np.linalg.norm(directions, axis=1), 1)
    assert weights.sum() == pytest.approx(total)
    np.testing.assert_allclose((directions.T * weights) @ directions, np.eye(n_dims) * total / n_dims, atol=1e-12)


@pytest.mark.parametrize("n_dims", [2, 3])
def test_an_ellipsoid_has_its_own_semi_axes_as_covariance(n_dims: int) -> None:
    axes, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(n_dims, n_dims)))
    semi_axes = np.array([4.0, 2.5, 1.5])[:n_dims]
    centre, covariance = body(axes * semi_axes).moments()
    np.testing.assert_allclose(centre, np.arange(1.0, n_dims + 1))
    np.testing.assert_allclose(covariance, axes @ np.diag(semi_axes**2) @ axes.T, atol=1e-10)


@pytest.mark.parametrize("n_dims", [2, 3])
def test_moments_of_a_dented_body_are_those_of_random_points_inside(n_dims: int) -> None:
    rng = np.random.default_rng(2)
    lobes = rng.normal(size=(5, n_dims))
    lobes /= np.linalg.norm(lobes, axis=1, keepdims=True)
    dented = body(np.diag([3.0, 2.0, 2.5][:n_dims]), lobes, np.array([0.4, -0.3, 0.2, -0.2, 0.3]))
    points = rng.uniform(-1.6, 1.6, size=(600_000, n_dims))
    radius = np.linalg.norm(points, axis=1)
    inside = points[radius < dented.surface(points / radius[:, None])] @ dented.frame.T + dented.centre
    centre, covariance = dented.moments()
    np.testing.assert_allclose(centre, inside.mean(0), atol=0.02)
    np.testing.assert_allclose(covariance, (n_dims + 2) * np.cov(inside.T), atol=0.06)
    assert np.all(np.abs(inside - dented.centre) <= dented.reach)


def test_a_random_field_has_mean_0_and_variance_1() -> None:
    rng = np.random.default_rng(3)
    values = RandomField.draw(rng, 3, 1.0).at(rng.uniform(0, 100, size=(40, 2500, 3)))
    assert values.shape == (40, 2500)
    assert abs(values.mean()) < 0.02
    assert values.std() == pytest.approx(1, abs=0.02)
