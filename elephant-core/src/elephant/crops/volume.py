"""A labelled timepoint, ready for cutting crops out of it."""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from elephant.types import Box, FloatArray, Shape


class Croppable(Protocol):
    """What a crop's place is drawn from."""

    @property
    def shape(self) -> Shape:
        """Size in voxels, (Z), Y, X."""

    @property
    def annotated(self) -> NDArray[Any]:
        """Not 0 where a voxel is labelled, (Z), Y, X."""

    @property
    def anchors(self) -> NDArray[np.int64]:
        """Voxels of the annotated spots, (N, n), (Z), Y, X, one of which each crop holds.

        Where there are none, any labelled voxel serves.
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
    def annotated(self) -> NDArray[np.uint8]:
        """Not 0 where a voxel is labelled, (Z), Y, X."""
        return self.labels

    @property
    def n_bytes(self) -> int:
        """Memory that it takes."""
        return self.image.nbytes + self.labels.nbytes


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
