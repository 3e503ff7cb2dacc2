"""What the simulator shows only where it is asked to: shapes, crowds, other structures, a poor microscope."""

from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from elephant.simulation import Frame, SimulationParameters, simulate

SMALL: dict[str, Any] = {"shape": (12, 64, 64), "voxel": (1.5, 1.0, 1.0), "nuclei": 10, "seed": 4, "timepoints": 1}
CLEAN = {"gain": 0.01, "read_noise": 0.0, "haze": 0.0, "attenuation": 0.0, "autofluorescence": 0.0}


def first(**changes: Any) -> Frame:
    """The first timepoint of a small movie."""
    return next(simulate(SimulationParameters(**{**SMALL, **changes})))


def test_tall_nuclei_are_tall_in_image_and_truth() -> None:
    changes = {"shape": (40, 48, 48), "voxel": (1, 1, 1), "nuclei": 4, "elongation": 1.0, "deformation": 0.0}
    flat, tall = (first(height=height, **changes) for height in (0.5, 3))
    for frame, height in ((flat, 0.5), (tall, 3)):
        for nucleus in frame.nuclei:
            extent = np.sqrt(np.diag(nucleus.spot.covariance))
            assert extent[0] / extent[1:].mean() == pytest.approx(height, rel=0.02)
    planes = [np.flatnonzero((frame.labels == 1).any(axis=(1, 2))).size for frame in (flat, tall)]
    assert planes[1] > 3 * planes[0]


def test_pressed_nuclei_share_their_border_evenly() -> None:
    crowd = {"packing": 0.6, "nuclei": 45, "shape": (16, 32, 32), "voxel": (1, 1, 1), **CLEAN}
    over, pressed = (first(pressed=is_pressed, **crowd) for is_pressed in (False, True))
    sizes = [np.bincount(frame.labels.ravel(), minlength=46)[1:46] for frame in (over, pressed)]
    assert sizes[1].min() > sizes[0].min()
    assert [n.spot.id for n in over.nuclei] == [n.spot.id for n in pressed.nuclei]


def test_nuclei_that_come_close_fill_more_than_others() -> None:
    with pytest.raises(ValidationError, match="at most 40%"):
        first(nuclei=300)
    first(nuclei=300, packing=0.6)


@pytest.mark.parametrize("what", ["hollow", "nucleoli", "metaphase"])
def test_the_inside_of_nuclei_changes_no_position(what: str) -> None:
    plain, changed = first(**CLEAN), first(**{what: 1}, **CLEAN)
    assert (plain.image != changed.image).any()
    if what != "metaphase":
        np.testing.assert_array_equal(plain.labels, changed.labels)


def test_hollow_nuclei_are_dark_in_the_middle() -> None:
    changes = {"radius": 6, "nuclei": 3, "texture": 0.0, "deformation": 0.0, **CLEAN}
    plain, hollow = first(**changes), first(hollow=0.9, **changes)
    for nucleus in plain.nuclei:
        middle = tuple(np.rint(nucleus.spot.pos / (1.5, 1, 1)).astype(int))
        assert hollow.image[middle] < 0.7 * plain.image[middle]


def test_a_dying_nucleus_is_small_and_bright() -> None:
    plain, dying = first(**CLEAN), first(dying=1, **CLEAN)
    sizes = [np.mean([np.linalg.det(n.spot.covariance) for n in frame.nuclei]) for frame in (plain, dying)]
    assert sizes[1] == pytest.approx(0.6**6 * sizes[0])
    assert dying.image.max() > plain.image.max()


def test_what_is_not_stained_is_neither_seen_nor_in_the_truth() -> None:
    frame = first(unstained=1, **CLEAN)
    assert not frame.nuclei
    assert not frame.labels.any()
    assert frame.image.max() < 2 * frame.image.mean()
    some = first(unstained=0.5)
    assert 0 < len(some.nuclei) < 10


@pytest.mark.parametrize("what", ["membranes", "cytoplasm", "structures", "debris", "ghosts"])
def test_what_is_no_nucleus_is_seen_but_not_in_the_truth(what: str) -> None:
    plain, changed = first(**CLEAN), first(**{what: 1 if what in ("debris", "ghosts") else 100}, **CLEAN)
    assert changed.image.mean() > plain.image.mean()
    np.testing.assert_array_equal(plain.labels, changed.labels)


def test_membranes_lie_between_nuclei() -> None:
    crowd = {"radius": 7, "nuclei": 6, "blur": (0.3, 0.3, 0.3), **CLEAN}
    frame = first(membranes=100, unstained=1, **crowd)
    for nucleus in first(**crowd).nuclei:
        middle = tuple(np.rint(nucleus.spot.pos / (1.5, 1, 1)).astype(int))
        assert frame.image[middle] < frame.image.mean()


def test_faulty_pixels_are_the_same_at_each_timepoint() -> None:
    parameters = SimulationParameters(**{**SMALL, "timepoints": 2}, dead_pixels=0.01, hot_pixels=0.01, background=50)
    one, two = simulate(parameters)
    dead = [(frame.image == 0).all(axis=0) for frame in (one, two)]
    assert dead[0].any()
    np.testing.assert_array_equal(*dead)


def test_light_flickers_and_flashes() -> None:
    steady, flickering = first(background=0, **CLEAN), first(background=0, flicker=0.3, **CLEAN)
    ratio = flickering.image.mean(axis=(1, 2)) / steady.image.mean(axis=(1, 2))
    assert ratio.std() > 0.1
    parameters = SimulationParameters(**{**SMALL, "timepoints": 3, "flash": 1.0}, **CLEAN)
    means = [frame.image.max() for frame in simulate(parameters)]
    assert max(means) > 1.5 * min(means)


def test_the_camera_saturates_rounds_and_bends() -> None:
    plain = first(**CLEAN)
    assert first(saturation=100, **CLEAN).image.max() == 100
    assert len(np.unique(first(bits=4, **CLEAN).image)) <= 16
    assert first(gamma=0.5, **CLEAN).image.min() > plain.image.min()
    noisy, smooth = (first(smoothing=width).image.astype(float) for width in (0, 1))
    assert np.abs(np.diff(smooth)).mean() < 0.7 * np.abs(np.diff(noisy)).mean()


def test_in_a_plane_all_of_it_works() -> None:
    everything = {
        "membranes": 50,
        "cytoplasm": 20,
        "structures": 50,
        "debris": 1,
        "ghosts": 0.2,
        "flicker": 0.2,
        "flash": 0.2,
        "dead_pixels": 0.01,
        "hot_pixels": 0.01,
        "hollow": 0.5,
        "nucleoli": 2,
        "dying": 0.3,
        "unstained": 0.3,
        "pressed": True,
        "height": 3,
        "bits": 8,
    }
    parameters = SimulationParameters(shape=(1, 128, 128), nuclei=10, radius=4, cycle=4, timepoints=2, **everything)
    frames = list(simulate(parameters))
    assert all(frame.image.shape == (1, 128, 128) and np.ptp(frame.image) > 0 for frame in frames)


def test_one_cell_alone_has_a_membrane() -> None:
    assert first(nuclei=1, membranes=100, **CLEAN).image.mean() > first(nuclei=1, **CLEAN).image.mean()
