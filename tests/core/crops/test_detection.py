import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from elephant.config import AugmentationParams
from elephant.crops import LabelledVolume, cut, cut_crop
from elephant.crops.sample import TimepointCache, anchors_of, crop_around, random_transform

CPU = torch.device("cpu")
SHAPE = (10, 40, 36)
STILL = AugmentationParams(flip=False)


def volume(shape: tuple[int, ...] = SHAPE, anchors: list[tuple[int, ...]] | None = None) -> LabelledVolume:
    """Every voxel's intensity and label follow from its position."""
    grid = np.meshgrid(*(np.arange(s) for s in shape), indexing="ij")
    image = sum(g * 10.0 ** (2 * i) for i, g in enumerate(reversed(grid))) / 1e5
    labels = (sum(g // 4 for g in grid) % 3 + 1).astype(np.uint8)
    points = np.array(anchors or [], dtype=np.int64).reshape(-1, len(shape))
    return LabelledVolume(image.astype(np.float32), labels, points, (2.0, 1.0, 1.0)[-len(shape) :])


def position(value: float) -> tuple[int, int, int]:
    number = round(value * 1e5)
    return number // 10000, number // 100 % 100, number % 100


@pytest.mark.parametrize("seed", range(5))
def test_a_still_crop_is_a_piece_of_the_volume_that_holds_the_anchor(seed: int) -> None:
    source = volume(anchors=[(9, 0, 20)])
    crop = cut_crop(source, (4, 16, 12), STILL, CPU, np.random.default_rng(seed))
    z, y, x = position(float(crop.images[0, 0, 0, 0]))
    piece = (slice(z, z + 4), slice(y, y + 16), slice(x, x + 12))
    assert z <= 9 < z + 4
    assert y == 0
    assert x <= 20 < x + 12
    np.testing.assert_allclose(crop.images[0].numpy(), source.image[piece], atol=2e-6)
    np.testing.assert_array_equal(crop.labels.numpy(), source.labels[piece])


def test_a_flipped_crop_shows_labels_and_image_of_the_same_voxels() -> None:
    source = volume(anchors=[(5, 20, 20)])
    seen = set()
    for seed in range(12):
        crop = cut_crop(source, (3, 8, 8), AugmentationParams(), CPU, np.random.default_rng(seed))
        at = [position(float(v)) for v in crop.images.flatten()]
        np.testing.assert_array_equal(crop.labels.flatten().numpy(), [source.labels[p] for p in at])
        seen.add(tuple(int(np.sign(at[-1][i] - at[0][i])) for i in range(3)))
    assert len(seen) > 4


class NoFloat64(TorchDispatchMode):
    """Refuses to make what Apple's GPUs do not know."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        out = func(*args, **(kwargs or {}))
        if isinstance(out, torch.Tensor) and out.dtype == torch.float64:
            raise TypeError(f"{func} makes float64")
        return out


def test_a_device_without_float64_cuts_the_same_crop(monkeypatch: pytest.MonkeyPatch) -> None:
    source, params = volume(), AugmentationParams(aug_rotation_angle=40, aug_scale_factor_base=0.2)
    exact = cut_crop(source, (4, 16, 12), params, CPU, np.random.default_rng(3))
    monkeypatch.setattr(cut, "_WITHOUT_FLOAT64", {"cpu"})
    with NoFloat64():
        crop = cut_crop(source, (4, 16, 12), params, CPU, np.random.default_rng(3))
    torch.testing.assert_close(crop.images, exact.images, rtol=0, atol=1e-4)
    assert (crop.labels != exact.labels).sum() <= 2  # a voxel may lie just between two


def test_image_and_labels_rotate_and_scale_together() -> None:
    image = np.zeros((8, 60, 60), np.float32)
    image[3:6, 25:35, 10:50] = 1
    labels = np.where(image > 0, 3, 1).astype(np.uint8)
    source = LabelledVolume(image, labels, np.array([[4, 30, 30]]), (1.0, 1.0, 1.0))
    params = AugmentationParams(aug_rotation_angle=180, aug_scale_factor_base=0.3)
    for seed in range(8):
        crop = cut_crop(source, (6, 40, 40), params, CPU, np.random.default_rng(seed))
        bright = crop.images[0].numpy() > 0.5
        centre = crop.labels.numpy() == 3
        # outside of the image nothing is labelled, while its border intensities go on
        known = crop.labels.numpy() > 0
        assert (bright == centre)[known].mean() > 0.98


def test_outside_of_the_image_nothing_is_labelled() -> None:
    labels = np.ones((1, 20, 20), np.uint8)
    source = LabelledVolume(np.ones((1, 20, 20), np.float32), labels, np.array([[0, 0, 0]]), (1.0, 1.0, 1.0))
    params = AugmentationParams(aug_rotation_angle=45, flip=False)
    crops = [cut_crop(source, (1, 20, 20), params, CPU, np.random.default_rng(s)) for s in range(5)]
    assert any((crop.labels == 0).any() for crop in crops)
    assert all(torch.allclose(crop.images, torch.ones(1)) for crop in crops)


def test_a_crop_is_at_most_the_image() -> None:
    crop = cut_crop(volume((3, 10, 50)), (16, 16, 16), STILL, CPU, np.random.default_rng(0))
    assert crop.labels.shape == (3, 10, 16)


def test_2d() -> None:
    params = AugmentationParams(aug_rotation_angle=90, aug_scale_factor_base=0.2, aug_contrast=0.5)
    crop = cut_crop(volume((40, 36)), (16, 12), params, CPU, np.random.default_rng(0))
    assert crop.images.shape == (1, 16, 12)
    assert crop.labels.shape == (16, 12)


def test_every_crop_keeps_a_label() -> None:
    labels = np.zeros(SHAPE, np.uint8)
    labels[9, 39, 35] = 3
    source = LabelledVolume(
        np.random.default_rng(0).random(SHAPE, np.float32), labels, np.zeros((0, 3), int), (2, 1, 1)
    )
    params = AugmentationParams(aug_rotation_angle=180, aug_scale_factor_base=0.9)
    for seed in range(30):
        assert (cut_crop(source, (2, 5, 5), params, CPU, np.random.default_rng(seed)).labels > 0).any()


def test_a_volume_without_labels_is_refused() -> None:
    empty = LabelledVolume(np.zeros(SHAPE, np.float32), np.zeros(SHAPE, np.uint8), np.zeros((0, 3), int), (2, 1, 1))
    with pytest.raises(ValueError, match="labelled voxel"):
        cut_crop(empty, (2, 5, 5), STILL, CPU, np.random.default_rng(0))


def test_the_field_of_view_changes_less_along_coarse_axes() -> None:
    params = AugmentationParams(flip=False, aug_scale_factor_base=0.4)
    rng = np.random.default_rng(0)
    factors = np.array([np.diag(random_transform((4.0, 1.0, 1.0), params, rng)) for _ in range(500)])
    assert np.abs(factors - 1).max(axis=0) == pytest.approx([0.1, 0.4, 0.4], abs=0.01)


def test_a_rotation_is_one_of_physical_space() -> None:
    params = AugmentationParams(flip=False, aug_rotation_angle=90)
    for seed in range(5):
        matrix = random_transform((3.0, 2.0, 0.5), params, np.random.default_rng(seed))
        edges = np.diag([3.0, 2.0, 0.5])
        physical = edges @ matrix @ np.linalg.inv(edges)
        np.testing.assert_allclose(physical @ physical.T, np.eye(3), atol=1e-12)
        assert matrix[0].tolist() == [1, 0, 0]


def test_contrast_draws_foreground_towards_background() -> None:
    image = np.full((1, 20, 20), 0.2, np.float32)
    labels = np.ones((1, 20, 20), np.uint8)
    image[0, 5:10, 5:10], labels[0, 5:10, 5:10] = 0.8, 3
    image[0, 15:, 15:], labels[0, 15:, 15:] = 0.5, 0
    source = LabelledVolume(image, labels, np.array([[0, 7, 7]]), (1.0, 1.0, 1.0))
    params = AugmentationParams(flip=False, aug_contrast=0.5)
    shares = []
    for seed in range(40):
        crop = cut_crop(source, (1, 20, 20), params, CPU, np.random.default_rng(seed))
        values = crop.images[0].numpy()
        assert values[labels == 1] == pytest.approx(0.2, abs=1e-5)
        assert values[labels == 0] == pytest.approx(0.5, abs=1e-5)
        shares.append((values[labels == 3].mean() - 0.2) / 0.6)
    assert 0.5 <= min(shares) < 0.6
    assert 0.9 < max(shares) <= 1


def test_no_contrast_augmentation_leaves_the_image_as_it_is() -> None:
    image = np.full((1, 20, 20), 0.2, np.float32)
    labels = np.ones((1, 20, 20), np.uint8)
    image[0, 5:10, 5:10], labels[0, 5:10, 5:10] = 0.8, 3
    source = LabelledVolume(image, labels, np.array([[0, 7, 7]]), (1.0, 1.0, 1.0))
    for params in (AugmentationParams(flip=False, aug_contrast=0), AugmentationParams(flip=False)):
        for seed in range(5):
            crop = cut_crop(source, (1, 20, 20), params, CPU, np.random.default_rng(seed))
            np.testing.assert_allclose(crop.images[0].numpy(), image, atol=1e-6)


def test_anchors_are_voxels_inside_the_image() -> None:
    positions = np.array([[4.0, 2.0, 3.4], [-3.0, 2.0, 3.0], [4.0, 2.0, 400.0]])
    assert anchors_of(positions, (2.0, 1.0, 1.0), SHAPE).tolist() == [[2, 2, 3]]
    assert anchors_of(np.zeros((0, 3)), (2.0, 1.0, 1.0), SHAPE).shape == (0, 3)


def test_origins_are_drawn_from_all_that_hold_the_voxel() -> None:
    rng = np.random.default_rng(0)
    boxes = {crop_around(np.array([0, 5]), (2, 3), (4, 10), rng).origin for _ in range(200)}
    assert boxes == {(0, 3), (0, 4), (0, 5)}


def test_the_cache_lets_go_of_what_was_unused_for_longest() -> None:
    made = []

    def make(t: int) -> LabelledVolume:
        made.append(t)
        return volume((4, 10, 10))

    cache = TimepointCache(make, max_bytes=2 * volume((4, 10, 10)).n_bytes)
    for t in (0, 1, 0, 2, 0, 1):
        cache(t)
    assert made == [0, 1, 2, 1]
    little = TimepointCache(make, max_bytes=1)
    assert little(5) is little(5)
    nothing = TimepointCache(make, max_bytes=0)
    assert nothing(5) is not nothing(5)
