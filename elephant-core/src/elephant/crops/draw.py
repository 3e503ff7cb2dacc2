"""Drawing crops and their augmentations at random."""

from collections.abc import Callable
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from elephant.config.training import AugmentationParams
from elephant.crops.volume import Croppable, crop_around, labelled_voxel
from elephant.types import Box, FloatArray, Shape

MAX_TRIES = 8


class _Labelled(Protocol):
    @property
    def is_labelled(self) -> bool: ...


C = TypeVar("C", bound=_Labelled)


def draw(
    volume: Croppable,
    crop_size: Shape,
    params: AugmentationParams,
    rng: np.random.Generator,
    cut: Callable[[Box, FloatArray], C],
) -> C:
    """Cut a random crop that holds an annotated spot, augmented.

    The crop keeps at least one labelled voxel: where an augmentation turns all of them out of view, another is drawn,
    and in the end none is applied.

    Parameters
    ----------
    crop_size
        Voxels, (Z), Y, X; where the image is smaller, the image's.
    cut
        Cuts a box, moved by a transform about its middle; see :func:`random_transform`.

    Raises
    ------
    ValueError
        The volume has no labelled voxel.
    """
    size = tuple(min(c, s) for c, s in zip(crop_size, volume.shape, strict=True))
    for _ in range(MAX_TRIES):
        box = crop_around(_anchor(volume, rng), size, volume.shape, rng)
        crop = cut(box, random_transform(volume.voxel_size, params, rng))
        if crop.is_labelled:
            return crop
    return cut(crop_around(labelled_voxel(volume.annotated, rng), size, volume.shape, rng), np.eye(len(size)))


def random_transform(voxel_size: tuple[float, ...], params: AugmentationParams, rng: np.random.Generator) -> FloatArray:
    """Draw a matrix from offsets in the crop to offsets in the image, both in voxels from the middle, (n, n).

    Axis i's field of view is scaled within ``1 +- s * min(scale) / scale_i``, the XY plane turns by a physical angle
    within the largest one, and every axis flips with a probability of one half.
    """
    edges = np.asarray(voxel_size)
    n = len(edges)
    spread = params.aug_scale_factor_base * edges.min() / edges
    zoom = np.diag(rng.uniform(1 - spread, 1 + spread))
    angle = np.deg2rad(rng.uniform(-params.aug_rotation_angle, params.aug_rotation_angle))
    turn = np.eye(n)
    turn[-2:, -2:] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    flip = np.diag(rng.choice([-1.0, 1.0], n) if params.flip else np.ones(n))
    transform: FloatArray = np.diag(1 / edges) @ turn @ np.diag(edges) @ zoom @ flip
    return transform


def _anchor(volume: Croppable, rng: np.random.Generator) -> NDArray[np.int64]:
    if len(volume.anchors) == 0:
        return labelled_voxel(volume.annotated, rng)
    anchor: NDArray[np.int64] = volume.anchors[rng.integers(len(volume.anchors))]
    return anchor
