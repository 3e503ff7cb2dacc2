import numpy as np
import pytest

from elephant.config import ImageParams
from elephant.images import darker_than, normalise, prepare, rescale, rescale_labels


def test_intensities_go_from_0_to_1_over_the_timepoint() -> None:
    image = np.array([[[100, 65535], [50, 50]]], dtype=np.uint16)
    found = normalise(image)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, (image - 50.0) / 65485, rtol=1e-6)


def test_an_even_image_becomes_zeros() -> None:
    assert not normalise(np.full((2, 3, 3), 7, np.uint8)).any()


def test_medians_of_slices_are_aligned_but_for_empty_ones() -> None:
    volume = np.stack([np.full((3, 3), v) for v in (0, 10, 20, 30)]).astype(np.uint16)
    volume[:, 0, 0] += 5
    found = normalise(volume, use_median=True)
    np.testing.assert_allclose(found[1], found[2])
    np.testing.assert_allclose(found[2], found[3])
    np.testing.assert_allclose(found[0, 1, 1], 0)
    assert found[1, 1, 1] > 0.5


def test_rescaling_keeps_voxel_centres() -> None:
    ramp = np.tile(np.arange(8, dtype=np.float32), (4, 1))
    np.testing.assert_allclose(rescale(ramp, (4, 4))[0], [0.5, 2.5, 4.5, 6.5])
    assert rescale(ramp, None) is ramp


def test_labels_are_rescaled_by_nearest_neighbour() -> None:
    labels = np.array([[0, 3, 6, 1]], dtype=np.uint8)
    np.testing.assert_array_equal(rescale_labels(labels, (2, 8)), [[0, 0, 3, 3, 6, 6, 1, 1]] * 2)


def test_the_image_is_normalised_before_it_is_rescaled() -> None:
    image = np.zeros((4, 4), np.uint8)
    image[0, 0] = 200
    found = prepare(image, ImageParams(input_size=(2, 2)))
    assert found.max() == 0.25


@pytest.mark.parametrize("threshold", [0.0, 0.1, 1 / 3, 0.5, 1.0, 1.5])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_what_is_darker_than_a_threshold_is_what_the_normalised_image_says(dtype: type, threshold: float) -> None:
    rng = np.random.default_rng(0)
    for low, high in ((0, 256), (7, 97), (3, 4), (200, 256)):
        image = rng.integers(low, high, (5, 16, 16)).astype(dtype)
        np.testing.assert_array_equal(darker_than(image, threshold), normalise(image) < threshold)
    image = rng.integers(0, 2**16, (5, 64, 64)).astype(np.uint16)
    np.testing.assert_array_equal(darker_than(image, threshold), normalise(image) < threshold)
