"""Components are measured as by looking at each voxel."""

import numpy as np
import pytest
from scipy import ndimage

from elephant import components, slabs
from elephant.components import component_statistics, components_above, labelled_components

RNG = np.random.default_rng(0)
NOISE = ndimage.gaussian_filter(RNG.normal(size=(12, 40, 50)), 1)
SMALL = [tuple(RNG.integers(1, 7, n)) for n in (2, 3) for _ in range(30)]


def check(probability: np.ndarray) -> None:
    mask = probability > 0.5
    labels, n = ndimage.label(mask, structure=np.ones((3,) * mask.ndim))
    found = component_statistics(mask, probability)
    assert len(found.count) == n
    for i in range(n):
        voxels = np.argwhere(labels == i + 1)
        assert found.count[i] == len(voxels)
        assert (found.mean_index[i] == voxels.mean(axis=0)).all()
        assert (found.box_size[i] == np.ptp(voxels, axis=0) + 1).all()
        np.testing.assert_allclose(found.moments[i], np.cov(voxels.T, bias=True), rtol=1e-12, atol=1e-12)
        assert found.mean_value[i] == pytest.approx(probability[labels == i + 1].mean())


@pytest.mark.parametrize("shape", SMALL, ids=str)
def test_components_of_small_images_that_meet_every_edge(shape: tuple[int, ...]) -> None:
    check(RNG.random(shape))


@pytest.mark.parametrize("threshold", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("image", [NOISE, NOISE[6]], ids=["3D", "2D"])
def test_components_of_any_form(image: np.ndarray, threshold: float) -> None:
    check(0.5 * image / image.std() / threshold)


@pytest.mark.parametrize("shape", [(1, 1), (3, 4), (1, 1, 1), (2, 1, 5), (3, 4, 5)], ids=str)
def test_an_image_that_is_full_or_empty(shape: tuple[int, ...]) -> None:
    check(np.ones(shape))
    assert len(component_statistics(np.zeros(shape, bool), np.zeros(shape)).count) == 0


# The end of a line and the start of the next; the end of a plane and the start of the next; likewise by corners.
APART = (((0, 0, 3), (0, 1, 0)), ((0, 2, 3), (1, 0, 0)), ((0, 2, 0), (1, 0, 0)), ((0, 0, 0), (1, 2, 0)))


@pytest.mark.parametrize("voxels", APART, ids=str)
def test_voxels_do_not_touch_across_an_edge(voxels: tuple[tuple[int, int, int], ...]) -> None:
    image = np.zeros((2, 3, 4))
    for voxel in voxels:
        image[voxel] = 1
    check(image)
    assert len(component_statistics(image > 0.5, image).count) == 2


@pytest.mark.parametrize("n_cores", [1, 2, 16])
def test_components_reach_from_slab_to_slab(n_cores: int, monkeypatch: pytest.MonkeyPatch) -> None:
    image = np.random.default_rng(0).random((9, 1000, 1001), dtype=np.float32)
    image[:, 500] = 1
    monkeypatch.setattr(slabs, "n_cores", lambda: n_cores)
    in_slabs = components_above(0.98, image), component_statistics(image > 0.98, image)
    for size in ("SINGLE_PASS_VOXELS", "_RUNS"):
        monkeypatch.setattr(components, size, image.size)
    at_once = components_above(0.98, image)
    for found in in_slabs:
        for name in ("count", "mean_index", "moments", "box_size", "mean_value"):
            np.testing.assert_array_equal(getattr(found, name), getattr(at_once, name))


def check_labels(labels: np.ndarray) -> None:
    found, pieces = labelled_components(labels)
    expected = []
    for value in np.unique(labels[labels > 0]):
        parts, n = ndimage.label(labels == value, structure=np.ones((3,) * labels.ndim))
        expected += [(int(value), np.argwhere(parts == i + 1)) for i in range(n)]
    assert sorted(found.tolist()) == sorted(value for value, _ in expected)
    by_start = {tuple(voxels[0]): (value, voxels) for value, voxels in expected}
    for i, (_, (value, voxels)) in enumerate(sorted(by_start.items())):
        assert (found[i], pieces.count[i], pieces.mean_value[i]) == (value, len(voxels), value)
        assert (pieces.mean_index[i] == voxels.mean(axis=0)).all()
        assert (pieces.box_size[i] == np.ptp(voxels, axis=0) + 1).all()
        np.testing.assert_allclose(pieces.moments[i], np.cov(voxels.T, bias=True), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("shape", SMALL, ids=str)
@pytest.mark.parametrize("dtype", ["uint8", "uint32", "int64"])
def test_pieces_of_labels_of_small_images(shape: tuple[int, ...], dtype: str) -> None:
    check_labels(RNG.integers(0, 4, shape).astype(dtype))


@pytest.mark.parametrize("n_cores", [1, 16])
def test_pieces_of_labels_reach_from_slab_to_slab(n_cores: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(components, "in_slabs", lambda work, shape, *_: slabs.in_slabs(work, shape, 200, 200))
    monkeypatch.setattr(slabs, "n_cores", lambda: n_cores)
    check_labels((np.digitize(NOISE / NOISE.std(), [0.5, 1, 1.5])).astype(np.uint16))


def test_an_image_without_labels_has_no_pieces() -> None:
    found, pieces = labelled_components(np.zeros((3, 4, 5), dtype=np.uint16))
    assert len(found) == len(pieces.count) == 0
