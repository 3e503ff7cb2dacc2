"""Hot, dead and saturated voxels do not change how the rest of a timepoint is seen; nothing else is an outlier."""

import logging
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from elephant.config import LabelParams
from elephant.images import darker_than, normalise
from elephant.intensities import IntensityRange, range_of
from elephant.labels import detection_labels
from elephant.types import VoxelSize

Image = NDArray[Any]
SHAPE = (12, 48, 48)


def nuclei(shape: tuple[int, ...] = SHAPE, peak: int = 400, offset: int = 100, seed: int = 0) -> Image:
    """Some blurred nuclei with the noise of photons."""
    rng = np.random.default_rng(seed)
    seeds = np.zeros(shape)
    seeds[tuple(rng.integers(2, n - 2, 12) for n in shape)] = 1
    light = gaussian_filter(seeds, [1.5, 2.5, 2.5][-len(shape) :])
    return offset + rng.poisson(peak * light / light.max()).astype(np.uint16)


def ten(shape: tuple[int, ...]) -> tuple[NDArray[np.int64], ...]:
    return np.unravel_index(np.random.default_rng(1).choice(np.prod(shape), 10, replace=False), shape)


def hot(image: Image) -> None:
    image[ten(image.shape)] = 65535


def different(image: Image) -> None:
    image[ten(image.shape)] = np.geomspace(2000, 60000, 10)


def dead(image: Image) -> None:
    image += 1000
    image[ten(image.shape)] = 0


def both(image: Image) -> None:
    dead(image)
    image[..., 5, 7] = 4000


def columns(image: Image) -> None:
    image[..., 5, 7:9] = 3000
    image[..., 30, 40] = 5000


def quarter(image: Image) -> None:
    image[..., : image.shape[-2] // 2, : image.shape[-1] // 2] = 4095


def dirt(image: Image) -> None:
    image[..., 20:29, 30:38] = 65535
    image[..., 24, 38] = 40000


def test_nuclei_have_no_outliers() -> None:
    for shape in (SHAPE, SHAPE[1:]):
        image = nuclei(shape)
        assert range_of(image) == IntensityRange(int(image.min()), int(image.max()))


@pytest.mark.parametrize("shape", [SHAPE, SHAPE[1:]], ids=["3D", "2D"])
@pytest.mark.parametrize("spoil", [hot, different, dead, both, columns, quarter, dirt])
def test_the_rest_is_seen_as_without_outliers(spoil: Callable[[Image], None], shape: tuple[int, ...]) -> None:
    image = nuclei(shape)
    spoilt = image.copy()
    spoil(spoilt)
    shift = 1000 if spoil in (dead, both) else 0
    touched = spoilt != image + shift
    clean = np.where(touched, np.median(image), image).astype(np.uint16) + np.uint16(shift)
    stored = spoilt.copy()
    seen = normalise(spoilt)
    np.testing.assert_array_equal(spoilt, stored)
    np.testing.assert_array_equal(seen[~touched], normalise(clean)[~touched])
    assert set(np.unique(seen[touched])) <= {0.0, 1.0}
    found = range_of(spoilt)
    assert found.n_dark + found.n_bright == touched.sum()


@pytest.mark.parametrize("spoil", [hot, dead, columns])
def test_medians_and_the_automatic_background_are_those_without_outliers(spoil: Callable[[Image], None]) -> None:
    image = nuclei()
    image += np.arange(len(image), dtype=np.uint16)[:, None, None] * 10
    spoilt = image.copy()
    spoil(spoilt)
    shift = np.uint16(1000 if spoil is dead else 0)
    same = spoilt == image + shift
    clean = np.where(same, spoilt, np.median(image, axis=(1, 2))[:, None, None] + shift).astype(np.uint16)
    aligned, expected = normalise(spoilt, use_median=True), normalise(clean, use_median=True)
    np.testing.assert_allclose(aligned[same], expected[same], atol=0.01)  # a median may be another by one
    assert aligned.min() == 0
    assert aligned.max() == 1
    np.testing.assert_array_equal(darker_than(spoilt, 0.3)[same], darker_than(image + shift, 0.3)[same])
    labels = [
        detection_labels(SHAPE, [], LabelParams(voxel_size=VoxelSize(1, 1, 1), auto_bg_thresh=0.3), each)
        for each in (spoilt, image + shift)
    ]
    np.testing.assert_array_equal(labels[0][same], labels[1][same])


def test_what_is_darker_than_a_threshold_agrees_with_the_normalised_image() -> None:
    image = nuclei()
    both(image)
    for threshold in (0.1, 1 / 3, 0.9, 1.0):
        np.testing.assert_array_equal(darker_than(image, threshold), normalise(image) < threshold)


def small_bright_nucleus(image: Image) -> None:
    light = np.zeros(image.shape)
    light[6, 24, 24] = 1
    image += (60000 * gaussian_filter(light, (1, 1.2, 1.2)) / 0.01).clip(0, 20000).astype(np.uint16)


def half_saturated(image: Image) -> None:
    image[..., : image.shape[-1] // 2 + 1] = 65535


def overexposed_nuclei(image: Image) -> None:
    image[...] = gaussian_filter(image.astype(float), 1)
    for z, y, x in ((3, 8, 8), (3, 8, 38), (8, 30, 10), (8, 30, 38)):
        image[z - 2 : z + 2, y : y + 5, x : x + 5] = 4095


def many_hot(image: Image) -> None:
    image[np.random.default_rng(2).random(image.shape) < 0.004] = 65535 - 1


def hardly_brighter(image: Image) -> None:
    image[ten(image.shape)] = image.max() + 50


@pytest.mark.parametrize(
    "change", [small_bright_nucleus, half_saturated, overexposed_nuclei, many_hot, hardly_brighter]
)
def test_what_is_large_or_common_or_near_is_no_outlier(change: Callable[[Image], None]) -> None:
    image = nuclei()
    change(image)
    assert not range_of(image).has_outliers


@pytest.mark.parametrize("seed", range(5))
def test_noise_has_no_outliers(seed: int) -> None:
    rng = np.random.default_rng(seed)
    for noise in (
        rng.exponential(50, SHAPE),
        rng.poisson(0.02, SHAPE),
        rng.poisson(3, SHAPE),
        rng.normal(1000, 30, SHAPE),
        rng.poisson(20, SHAPE) * (1 + 30 * (rng.random(SHAPE) < 0.0003)),
    ):
        assert not range_of(noise.astype(np.uint16)).has_outliers


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_toy_images_have_no_outliers(dtype: type) -> None:
    flat = np.full(SHAPE, 20, dtype)
    assert range_of(flat) == IntensityRange(20, 20)
    flat[5, 5, 5] = 255
    assert range_of(flat) == IntensityRange(20, 255)
    noisy = np.random.default_rng(0).integers(10, 30, SHAPE).astype(dtype)
    noisy[4:8, 10:16, 10:16] = 255
    assert range_of(noisy) == IntensityRange(10, 255)


def test_a_thin_image_is_not_refused() -> None:
    column = np.array([[[3]], [[200]]], np.uint8)
    assert range_of(column) == IntensityRange(3, 200)


def test_the_log_says_once_what_is_clipped(caplog: pytest.LogCaptureFixture) -> None:
    image = nuclei()
    both(image)
    with caplog.at_level(logging.INFO, "elephant.intensities"):
        for _ in range(2):
            normalise(image, name="timepoint 3 of some movie")
        normalise(image)
        normalise(nuclei(), name="timepoint 4 of some movie")
    (record,) = caplog.records
    found = range_of(image)
    assert "timepoint 3 of some movie" in record.getMessage()
    assert f"12 voxels above {found.high} as {found.high}" in record.getMessage()
    assert f"10 voxels below {found.low} as {found.low}" in record.getMessage()
