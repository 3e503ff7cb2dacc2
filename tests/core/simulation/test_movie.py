"""Whole simulated movies: the same every time, true to their truth, and as varied as they claim to be."""

from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from elephant.simulation import Frame, SimulationParameters, TrueNucleus, preset, simulate
from elephant.simulation.population import Population

SMALL = {"shape": (16, 64, 64), "nuclei": 8, "timepoints": 3}


@pytest.fixture(scope="module")
def dividing() -> list[Frame]:
    """A crowded movie in which many nuclei divide, with cubic voxels so that masks are accurate."""
    parameters = SimulationParameters(
        seed=3, shape=(64, 64, 64), voxel=(0.5, 0.5, 0.5), nuclei=30, cycle=8, timepoints=6, drift=0.1
    )
    return list(simulate(parameters))


def mask_moments(mask: NDArray[np.bool_], voxel: tuple[float, ...]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Centre and covariance (second moments times n + 2) of a mask, (Z), Y, X."""
    points = np.argwhere(mask) * np.array(voxel)
    return points.mean(0), (points.shape[1] + 2) * np.cov(points.T, bias=True)


def untouched(frame: Frame) -> list[tuple[NDArray[np.bool_], TrueNucleus]]:
    """The masks of nuclei that neither meet another one nor the edge of the image."""
    found = []
    for index, nucleus in enumerate(frame.nuclei):
        mask = frame.labels == index + 1
        where = np.argwhere(mask)
        low, high = where.min(0), where.max(0)
        box = frame.labels[tuple(slice(max(a - 1, 0), b + 2) for a, b in zip(low, high, strict=True))]
        flat = mask.shape[0] == 1
        inside = (low[flat:] > 0).all() and (high[flat:] < np.array(mask.shape)[flat:] - 1).all()
        if inside and set(np.unique(box)) == {0, index + 1}:
            found.append((mask, nucleus))
    return found


def test_the_same_seed_gives_the_same_movie() -> None:
    parameters = SimulationParameters(seed=5, cycle=6, **SMALL)
    for first, second in zip(simulate(parameters), simulate(parameters), strict=True):
        np.testing.assert_array_equal(first.image, second.image)
        np.testing.assert_array_equal(first.labels, second.labels)
        for a, b in zip(first.nuclei, second.nuclei, strict=True):
            assert (a.spot.id, a.parent) == (b.spot.id, b.parent)
            np.testing.assert_array_equal(a.spot.pos, b.spot.pos)
            np.testing.assert_array_equal(a.spot.covariance, b.spot.covariance)


def test_another_seed_gives_another_movie() -> None:
    first, second = (next(simulate(SimulationParameters(seed=seed, **SMALL))) for seed in (0, 1))
    assert not np.array_equal(first.image, second.image)
    assert not np.allclose(first.nuclei[0].spot.pos, second.nuclei[0].spot.pos)


def test_what_the_microscope_does_changes_no_truth() -> None:
    plain, noisy = (
        list(simulate(SimulationParameters(seed=2, gain=gain, brightness=brightness, **SMALL)))
        for gain, brightness in ((0.1, 200), (2, 50))
    )
    for a, b in zip(plain, noisy, strict=True):
        np.testing.assert_array_equal([n.spot.pos for n in a.nuclei], [n.spot.pos for n in b.nuclei])


def test_truth_is_what_the_clean_masks_say(dividing: list[Frame]) -> None:
    errors = []
    for frame in dividing:
        for mask, nucleus in untouched(frame):
            centre, covariance = mask_moments(mask, (0.5, 0.5, 0.5))
            np.testing.assert_allclose(centre, nucleus.spot.pos, atol=0.1)
            size = np.trace(nucleus.spot.covariance) / 3
            errors.append(np.abs(covariance - nucleus.spot.covariance).max() / size)
    assert len(errors) >= 15
    assert max(errors) < 0.08  # a small nucleus has 250 voxels
    assert np.median(errors) < 0.02


def test_divisions_are_recorded_once_with_two_daughters_near_their_mother(dividing: list[Frame]) -> None:
    divisions = 0
    for before, after in pairwise(dividing):
        mothers = {n.spot.id: n.spot for n in before.nuclei}
        present = {n.spot.id for n in after.nuclei}
        born: dict[int, list[TrueNucleus]] = {}
        for nucleus in after.nuclei:
            assert (nucleus.parent is None) == (nucleus.spot.id in mothers)
            if nucleus.parent is not None:
                born.setdefault(nucleus.parent, []).append(nucleus)
        for name, daughters in born.items():
            mother = mothers[name]
            divisions += 1
            assert len(daughters) == 2
            assert name not in present
            for daughter in daughters:
                radius = np.linalg.det(mother.covariance) ** (1 / 6)
                assert np.linalg.norm(daughter.spot.pos - mother.pos) < 2 * radius
                assert np.linalg.det(daughter.spot.covariance) < 0.7 * np.linalg.det(mother.covariance)
    assert divisions >= 8


def test_ids_are_unique_and_nuclei_move_smoothly(dividing: list[Frame]) -> None:
    for before, after in pairwise(dividing):
        ids = [n.spot.id for n in after.nuclei]
        assert len(set(ids)) == len(ids)
        places = {n.spot.id: n.spot.pos for n in before.nuclei}
        steps = [np.linalg.norm(n.spot.pos - places[n.spot.id]) for n in after.nuclei if n.spot.id in places]
        assert 0.2 < np.median(steps) < 2


def test_neighbours_touch_but_overlap_little() -> None:
    frame = next(simulate(preset("embryo", seed=1)))
    positions = np.array([n.spot.pos for n in frame.nuclei])
    radii = np.array([np.linalg.det(n.spot.covariance) ** (1 / 6) for n in frame.nuclei])
    distance = np.linalg.norm(positions[:, None] - positions[None], axis=2) + 1e3 * np.eye(len(radii))
    nearest = distance.argmin(1)
    relative = distance.min(1) / (radii + radii[nearest])
    assert (relative < 1.1).mean() > 0.3
    assert relative.min() > 0.6
    truly = 4 / 3 * np.pi * (radii**3).sum()
    seen = np.count_nonzero(frame.labels) * 2.0 * 0.5 * 0.5  # what overlaps counts once
    assert seen > 0.95 * truly


def test_nuclei_are_no_perfect_ellipsoids(dividing: list[Frame]) -> None:
    """An ellipsoid of the same moments differs from the mask by clearly more than its jagged edge."""
    differences = []
    for mask, nucleus in untouched(dividing[0]):
        index = np.stack(np.meshgrid(*(np.arange(n) for n in mask.shape), indexing="ij"), axis=-1)
        away = index * 0.5 - nucleus.spot.pos
        level = np.einsum("...i,ij,...j", away, np.linalg.inv(nucleus.spot.covariance), away)
        differences.append((mask ^ (level < 1)).sum() / mask.sum())
    assert 0.03 < np.median(differences) < 0.2


def test_deep_nuclei_are_darker_and_more_blurred() -> None:
    parameters = SimulationParameters(seed=1, attenuation=1.0, brightness_spread=0, shape=(32, 128, 128), nuclei=60)
    frame = next(simulate(parameters))
    signal = np.array([frame.image[frame.labels == i + 1].mean() for i in range(len(frame.nuclei))]) - 25
    depth = np.array([n.spot.pos[0] for n in frame.nuclei])
    assert np.corrcoef(np.log(signal), depth)[0, 1] < -0.7


def test_mothers_are_brighter_and_longer_before_they_divide() -> None:
    parameters = SimulationParameters(seed=4, nuclei=40, cycle=10)
    cells = Population(parameters).cells
    mitotic = [cell for cell in cells if cell.condensed(parameters) > 0.5]
    assert mitotic
    for cell in mitotic:
        body = cell.body(parameters, np.zeros(3))
        lengths = np.linalg.norm(cell.frame(parameters), axis=0)
        assert body.brightness > 1.4 * cell.brightness
        assert lengths[0] / lengths[-1] > 1.2 * cell.semi_axes[0] / cell.semi_axes[-1]


def test_a_bright_movie_uses_the_upper_half_of_16_bit_and_ends_at_its_top() -> None:
    frame = next(simulate(SimulationParameters(brightness=90_000, gain=20, **SMALL)))
    assert frame.image.dtype == np.uint16
    assert np.count_nonzero(frame.image > 32_767) > 100
    assert frame.image.max() == 65_535


def test_a_flat_movie_has_one_plane_and_flat_truth() -> None:
    frames = list(simulate(preset("flat", seed=2, timepoints=2, shape=(1, 320, 320), voxel=(1, 0.25, 0.25), nuclei=20)))
    checked = 0
    for frame in frames:
        assert frame.image.shape == (1, 320, 320)
        for nucleus in frame.nuclei:
            assert nucleus.spot.pos[0] == 0
            np.testing.assert_array_equal(nucleus.spot.covariance[0], [1, 0, 0])
        for mask, nucleus in untouched(frame):
            centre, covariance = mask_moments(mask[0], (0.25, 0.25))
            np.testing.assert_allclose(centre, nucleus.spot.pos[1:], atol=0.08)
            flat = nucleus.spot.covariance[1:, 1:]
            np.testing.assert_allclose(covariance, flat, atol=0.04 * np.trace(flat) / 2)
            checked += 1
    assert checked > 5


def test_nuclei_stop_dividing_at_the_limit() -> None:
    frames = list(simulate(SimulationParameters(cycle=3, max_nuclei=10, **{**SMALL, "timepoints": 8})))
    assert max(len(frame.nuclei) for frame in frames) == 10
