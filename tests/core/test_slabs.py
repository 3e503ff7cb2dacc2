"""Slabs cover an image once, in order, whatever the cores; what they tell together is what the whole image tells."""

import threading

import numpy as np
import pytest

from elephant import slabs
from elephant.images import normalise
from elephant.slabs import extremes, in_slabs

LARGE = (9, 1000, 1001)  # enough for two threads, and planes of more voxels than a slab


@pytest.fixture(params=[1, 2, 16])
def cores(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(slabs, "n_cores", lambda: request.param)
    return int(request.param)


@pytest.mark.parametrize("shape", [(1, 1), (7, 3), (5, 400, 400), LARGE], ids=str)
def test_slabs_cover_the_first_axis_in_order(cores: int, shape: tuple[int, ...]) -> None:
    found = in_slabs(lambda slab: list(range(shape[0]))[slab], shape)
    assert [z for slab in found for z in slab] == list(range(shape[0]))
    assert len(in_slabs(lambda slab: slab, shape, slab_voxels=1)) == shape[0]


def test_only_large_images_and_several_cores_start_threads(cores: int) -> None:
    here = threading.current_thread()
    assert set(in_slabs(lambda _: threading.current_thread(), (8, 512, 512))) == {here}
    assert (here in in_slabs(lambda _: threading.current_thread(), LARGE)) == (cores == 1)


def test_an_error_in_a_slab_is_raised(cores: int) -> None:
    with pytest.raises(ZeroDivisionError):
        in_slabs(lambda slab: 1 // (slab.start - 4), LARGE)


def test_the_extremes_of_an_image(cores: int) -> None:
    image = np.random.default_rng(0).normal(size=LARGE).astype(np.float32)
    assert extremes(image) == (image.min(), image.max())
    image[5, 600, 700] = np.nan
    assert np.isnan(extremes(image)).all()


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("use_median", [False, True])
def test_a_large_image_is_normalised_as_a_whole(cores: int, dtype: str, use_median: bool) -> None:
    image = np.random.default_rng(0).integers(3, 200, LARGE).astype(dtype)
    image[:, 0, 0] = 7
    values = image.astype(np.float32)
    if use_median:
        medians = np.median(values, axis=(1, 2))
        values += (np.median(values) - medians)[:, None, None]
    np.testing.assert_array_equal(normalise(image, use_median), (values - values.min()) / (values.max() - values.min()))
