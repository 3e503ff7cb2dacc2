"""After any augmentation the earlier image must still be the later one, moved by the displacement."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from elephant.config import AugmentationParams
from elephant.crops import Crop, LabelledPair, cut_crop
from elephant.crops.cut import in_crop

CPU = torch.device("cpu")
STILL = AugmentationParams(flip=False)
CASES = {
    "3D": ((24, 60, 64), (3.0, 1.0, 0.5), (8.0, 8.0, 2.0)),
    "2D": ((60, 64), (1.0, 0.7), (8.0, 8.0)),
}


def waves(at: np.ndarray) -> np.ndarray:
    """A smooth image without symmetries, at positions (..., n), (Z), Y, X."""
    n = at.shape[-1]
    rng = np.random.default_rng(5)
    return sum(np.sin(at @ rng.uniform(-0.25, 0.25, n) + rng.uniform(0, 6)) for _ in range(4)) / 4


def moving(case: str) -> LabelledPair:
    """Two images between which everything moves, turns and stretches a little: u = v + d(v) = M v + b."""
    shape, voxel_size, norm = CASES[case]
    n = len(shape)
    rng = np.random.default_rng(1)
    matrix = np.eye(n) + rng.uniform(-0.03, 0.03, (n, n))
    middle = (np.array(shape) - 1) / 2
    offset = np.array([1.1, -2.3, 3.2])[-n:]
    grid = np.stack(np.meshgrid(*(np.arange(s) for s in shape), indexing="ij"), axis=-1) - middle
    later = waves(grid)
    earlier = waves((grid - offset) @ np.linalg.inv(matrix).T)
    displacement = grid @ (matrix - np.eye(n)).T + offset
    labels = np.zeros((n + 1, *shape), np.float32)
    labels[:-1] = np.moveaxis(displacement[..., ::-1] / norm, -1, 0)
    labels[-1] = 1
    anchors = np.array([[s // 2 for s in shape]])
    return LabelledPair(np.stack([earlier, later]).astype(np.float32), labels, anchors, voxel_size, norm)


def mismatch(crop: Crop, norm: tuple[float, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Return |earlier(v + d(v)) - later(v)| and |earlier(v) - later(v)| where that is known."""
    earlier, later = crop.images.numpy().astype(float)
    labels = crop.labels.numpy().astype(float)
    grid = np.stack(np.meshgrid(*(np.arange(s) for s in later.shape), indexing="ij"))
    displacement = (labels[:-1] * np.reshape(norm, (-1,) + (1,) * later.ndim))[::-1]
    at = grid + displacement
    limit = np.reshape(later.shape, (-1,) + (1,) * later.ndim) - 1
    labelled = labels[-1] > 0
    # Where the image ends its border goes on: only voxels well inside of what is known are compared.
    known = ndimage.binary_erosion(labelled, iterations=5) if not labelled.all() else labelled
    known &= ((at >= 0) & (at <= limit)).all(0)
    assert known.sum() > 50
    looked_up = ndimage.map_coordinates(earlier, at, order=1)
    return np.abs(looked_up - later)[known], np.abs(earlier - later)[known]


AUGMENTATIONS = {
    "still": STILL,
    "flips": AugmentationParams(),
    "turns": AugmentationParams(flip=False, aug_rotation_angle=180),
    "scales": AugmentationParams(flip=False, aug_scale_factor_base=0.4),
    "all": AugmentationParams(aug_rotation_angle=180, aug_scale_factor_base=0.4),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("augmentation", AUGMENTATIONS)
def test_the_earlier_image_is_the_later_one_moved_by_the_displacement(case: str, augmentation: str) -> None:
    pair = moving(case)
    for seed in range(6):
        size = (16, 32, 32)[-len(pair.shape) :]
        crop = cut_crop(pair, size, AUGMENTATIONS[augmentation], CPU, np.random.default_rng(seed))
        moved, unmoved = mismatch(crop, pair.norm)
        assert moved.mean() < 0.012
        assert moved.mean() < 0.1 * unmoved.mean()


@pytest.mark.parametrize("case", CASES)
def test_a_still_crop_is_a_piece_of_the_pair(case: str) -> None:
    pair = moving(case)
    size = (8, 20, 24)[-len(pair.shape) :]
    crop = cut_crop(pair, size, STILL, CPU, np.random.default_rng(0))
    assert crop.images.shape == (2, *size)
    starts = np.argwhere(np.isclose(pair.images[1], crop.images[1].flatten()[0].item(), atol=1e-6))
    pieces = [tuple(slice(a, a + s) for a, s in zip(start, size, strict=True)) for start in starts]
    matching = [p for p in pieces if pair.images[(1, *p)].shape == size]
    found = [p for p in matching if np.allclose(pair.images[(1, *p)], crop.images[1].numpy(), atol=1e-5)]
    assert len(found) == 1
    piece = (slice(None), *found[0])
    np.testing.assert_allclose(crop.images.numpy(), pair.images[piece], atol=1e-5)
    np.testing.assert_allclose(crop.labels.numpy(), pair.labels[piece], atol=1e-6)


def test_displacements_turn_flip_and_scale_the_other_way_round() -> None:
    """A field of view twice as large shows half the displacement; a quarter turn swaps X and Y."""
    norm = (8.0, 8.0, 2.0)
    np.testing.assert_allclose(in_crop(np.diag([1.0, 2.0, -4.0]), norm), np.diag([-0.25, 0.5, 1.0]))
    # Offset (Y, X) = (a, b) of the crop lies at (-b, a) of the image: 1 along Y there is -1 along X here.
    quarter = np.array([[0.0, -1.0], [1.0, 0.0]])
    np.testing.assert_allclose(in_crop(quarter, (8, 8)) @ [0, 1], [-1, 0], atol=1e-12)
    # Half of the norm along Y, and no change in voxels: twice the number.
    np.testing.assert_allclose(in_crop(quarter, (8, 4)) @ [1, 0], [0, 2], atol=1e-12)


def test_voxels_outside_of_the_image_weigh_nothing() -> None:
    pair = moving("2D")
    corner = LabelledPair(pair.images, pair.labels, np.array([[0, 0]]), pair.voxel_size, pair.norm)
    params = AugmentationParams(aug_rotation_angle=45)
    crops = [cut_crop(corner, (30, 30), params, CPU, np.random.default_rng(s)) for s in range(6)]
    weights = torch.stack([crop.labels[-1] for crop in crops])
    assert set(weights.unique().tolist()) == {0.0, 1.0}
    assert all(not crop.labels[:, crop.labels[-1] == 0].any() for crop in crops)


def test_every_crop_keeps_a_label_and_is_at_most_the_image() -> None:
    pair = moving("3D")
    labels = np.zeros_like(pair.labels)
    labels[:, 0, 59, 63] = 1
    sparse = LabelledPair(pair.images, labels, np.zeros((0, 3), int), pair.voxel_size, pair.norm)
    params = AugmentationParams(aug_rotation_angle=180, aug_scale_factor_base=0.9)
    for seed in range(20):
        assert cut_crop(sparse, (3, 9, 9), params, CPU, np.random.default_rng(seed)).is_labelled
    assert cut_crop(pair, (99, 99, 9), STILL, CPU, np.random.default_rng(0)).images.shape == (2, 24, 60, 9)


def test_a_pair_without_labels_is_refused() -> None:
    pair = moving("2D")
    empty = LabelledPair(pair.images, np.zeros_like(pair.labels), pair.anchors, pair.voxel_size, pair.norm)
    with pytest.raises(ValueError, match="labelled voxel"):
        cut_crop(empty, (9, 9), STILL, CPU, np.random.default_rng(0))
