"""Choosing crops and their augmentations at random from labelled timepoints, which are prepared once."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from elephant.config import AugmentationParams
from elephant.types import Box, FloatArray, Shape

MAX_TRIES = 8


class Croppable(Protocol):
    """Labelled data from which a crop can be drawn."""

    @property
    def shape(self) -> Shape:
        """Size in voxels, (Z), Y, X."""

    @property
    def annotated(self) -> NDArray[Any]:
        """Not 0 where a voxel is labelled, (Z), Y, X."""

    @property
    def anchors(self) -> NDArray[np.int64]:
        """Voxels of the annotated spots, (N, n), (Z), Y, X; each crop holds one of them.

        If there are none, any labelled voxel is used.
        """

    @property
    def voxel_size(self) -> tuple[float, ...]:
        """Physical size of the voxels, n values, (Z), Y, X."""


@dataclass(frozen=True, slots=True, eq=False)
class LabelledVolume:
    """A timepoint's image and labels.

    Attributes
    ----------
    image
        Normalised, float32, (Z), Y, X.
    labels
        uint8, (Z), Y, X.
    anchors
        As of :class:`Croppable`.
    voxel_size
        Physical size of these voxels, n values.
    """

    image: NDArray[np.float32]
    labels: NDArray[np.uint8]
    anchors: NDArray[np.int64]
    voxel_size: tuple[float, ...]

    @property
    def shape(self) -> Shape:
        """Size in voxels, (Z), Y, X."""
        return tuple(self.image.shape)

    @property
    def images(self) -> NDArray[np.float32]:
        """The image, (1, (Z), Y, X)."""
        return self.image[None]

    @property
    def annotated(self) -> NDArray[np.uint8]:
        """Not 0 where a voxel is labelled, (Z), Y, X."""
        return self.labels

    @property
    def n_bytes(self) -> int:
        """Memory that it takes."""
        return self.image.nbytes + self.labels.nbytes


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

    The crop has at least one labelled voxel: if an augmentation moves all of them out of view, another one is drawn,
    and at last none is applied.

    Parameters
    ----------
    crop_size
        Voxels, (Z), Y, X; axes on which the image is smaller get the image's size.
    cut
        Cuts a box, transformed about its middle by a matrix from :func:`random_transform`.

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

    Axis i's field of view is scaled within ``1 +- s * min(scale) / scale_i``, the XY plane is rotated by a physical
    angle up to the largest one, and every axis is flipped with a probability of one half.
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


def anchors_of(positions: FloatArray, voxel_size: tuple[float, ...], shape: Shape) -> NDArray[np.int64]:
    """Return the voxels nearest to physical positions, (N, n); those outside of the image are left out."""
    voxels = np.rint(np.asarray(positions).reshape(-1, len(shape)) / np.asarray(voxel_size))
    inside = ((voxels >= 0) & (voxels < np.asarray(shape))).all(axis=1)
    kept: NDArray[np.int64] = voxels[inside].astype(np.int64)
    return kept


def labelled_voxel(labels: NDArray[Any], rng: np.random.Generator) -> NDArray[np.int64]:
    """Return one labelled voxel at random, (n,).

    Raises
    ------
    ValueError
        No voxel is labelled.
    """
    flat = np.flatnonzero(labels)
    if len(flat) == 0:
        raise ValueError("a crop needs at least one labelled voxel")
    return np.array(np.unravel_index(rng.choice(flat), labels.shape), dtype=np.int64)


def crop_around(voxel: NDArray[np.int64], size: Shape, shape: Shape, rng: np.random.Generator) -> Box:
    """Return a random box of `size` inside an image of `shape` that holds `voxel`."""
    low = np.maximum(voxel - np.asarray(size) + 1, 0)
    high = np.minimum(voxel, np.asarray(shape) - np.asarray(size))
    return Box(tuple(int(v) for v in rng.integers(low, high + 1)), size)


class _Sized(Protocol):
    @property
    def n_bytes(self) -> int: ...


V = TypeVar("V", bound=_Sized)


class TimepointCache(Generic[V]):
    """A cache of prepared timepoints; when it is full, it drops the least recently used one.

    Parameters
    ----------
    make
        Makes the value of a timepoint.
    max_bytes
        Limit of all values together; the one in use is always kept. 0: nothing is kept.
    """

    def __init__(self, make: Callable[[int], V], max_bytes: int) -> None:
        self._make = make
        self._max_bytes = max_bytes
        self._kept: OrderedDict[int, V] = OrderedDict()

    def __call__(self, t: int) -> V:
        """Return the value of timepoint `t`, making it if it is not cached."""
        if t in self._kept:
            self._kept.move_to_end(t)
            return self._kept[t]
        value = self._make(t)
        if self._max_bytes == 0:
            return value
        self._kept[t] = value
        while len(self._kept) > 1 and sum(v.n_bytes for v in self._kept.values()) > self._max_bytes:
            self._kept.popitem(last=False)
        return value
