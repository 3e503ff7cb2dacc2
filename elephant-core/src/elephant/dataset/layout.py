"""The arrays in a dataset's folder: their shapes and types, how they are cut into files, and how values are encoded.

The folder of a movie of T timepoints of shape (Z, Y, X) or (Y, X) holds seven Zarr arrays. Every array has
the timepoint as its first axis. Channels come last where a viewer shows them as colours, and right after the
timepoint for the flow. Predictions are rounded before they are stored, so that they compress well.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from elephant.errors import InvalidInputError
from elephant.types import N_CLASSES, Label, Shape

IMAGES = "imgs.zarr"
PROBABILITIES = "seg_outputs.zarr"
LABELS = "seg_labels.zarr"
LABELS_RGB = "seg_labels_vis.zarr"
FLOW = "flow_outputs.zarr"
FLOW_LABELS = "flow_labels.zarr"
FLOW_HASHES = "flow_hashes.zarr"
ARRAYS = (IMAGES, PROBABILITIES, LABELS, LABELS_RGB, FLOW, FLOW_LABELS, FLOW_HASHES)

IMAGE_DTYPES = ("uint8", "uint16")

# Labels are mostly 0, so reading all of them is quick, and one piece is read in one go.
_IN_ONE_PIECE = (LABELS,)


@dataclass(frozen=True, slots=True)
class Codec:
    """Settings of Blosc: a compressor, its level, and how bytes are reordered first."""

    name: Literal["lz4", "zstd"]
    level: int
    shuffle: Literal["noshuffle", "shuffle", "bitshuffle"]


# Images are noisy: zstd compresses them hardly better than lz4. Labels use few of their bits. Stored predictions have
# long runs of equal values (see `steady`), and the displacement of a spot is the same at all its voxels.
_IMAGE_CODEC = Codec("lz4", 5, "bitshuffle")
_CODECS = {
    LABELS: Codec("zstd", 1, "bitshuffle"),
    LABELS_RGB: Codec("zstd", 1, "bitshuffle"),
    PROBABILITIES: Codec("zstd", 1, "shuffle"),
    FLOW: Codec("zstd", 1, "shuffle"),
    FLOW_LABELS: Codec("zstd", 1, "noshuffle"),
}

# The values of one channel are alike, and compress better by themselves.
_CHANNELS_APART = (PROBABILITIES, FLOW, LABELS_RGB)

# Measured by benchmarks/storage_layout.py; docs/dataset-format.md has the numbers and the reasons.
_CHUNK_3D = (32, 256, 256)
_CHUNK_2D = (1024, 1024)
_LARGEST_IMAGE_FILE = 32 * 2**20  # raw bytes; a conversion holds one file's worth a few times over
_LARGEST_FILE = 64 * 2**20


@dataclass(frozen=True, slots=True)
class ArraySpec:
    """One array of a dataset.

    Attributes
    ----------
    name
        The folder's name.
    dtype
        The NumPy name of its type.
    n_timepoints
        Length of the first axis.
    spatial
        (Z, Y, X) or (Y, X); empty for the hashes.
    channels
        Number of channels, 0 where there is no such axis.
    channel_axis
        Whether channels come right after the timepoint or last.
    """

    name: str
    dtype: str
    n_timepoints: int
    spatial: Shape
    channels: int = 0
    channel_axis: Literal["first", "last"] = "last"

    @property
    def shape(self) -> Shape:
        """The whole shape, for example T, Z, Y, X, 3."""
        return (self.n_timepoints, *self.with_channels(self.spatial))

    def with_channels(self, spatial: Shape) -> Shape:
        """Return the shape, with channels, of a piece of one timepoint with this spatial shape."""
        channels = (self.channels,) if self.channels else ()
        return (*channels, *spatial) if self.channel_axis == "first" else (*spatial, *channels)

    @property
    def chunks(self) -> Shape:
        """The shape of a chunk, which is compressed on its own and is the least that is read."""
        if self.name in _IN_ONE_PIECE:
            return self.files
        unit = self._spatial_chunk()
        if self.name not in _CHANNELS_APART:
            return (1, *self.with_channels(unit))
        return (1, 1, *unit) if self.channel_axis == "first" else (1, *unit, 1)

    @property
    def files(self) -> Shape:
        """The shape of what one file holds, whole chunks, and all of a timepoint unless that is very large."""
        unit = self._spatial_chunk()
        largest = _LARGEST_IMAGE_FILE if self.name == IMAGES else _LARGEST_FILE
        bytes_per_voxel = np.dtype(self.dtype).itemsize * max(self.channels, 1)
        return (1, *self.with_channels(grow(unit, self.spatial, largest // bytes_per_voxel)))

    @property
    def codec(self) -> Codec:
        """How it is compressed."""
        return _CODECS.get(self.name, _IMAGE_CODEC)

    def _spatial_chunk(self) -> Shape:
        wanted = _CHUNK_3D if len(self.spatial) == 3 else _CHUNK_2D[: len(self.spatial)]
        return tuple(even_part(size, most) for size, most in zip(self.spatial, wanted, strict=True))


def even_part(size: int, most: int) -> int:
    """Return the length of the equal parts of at most `most` that a length is cut into (the last may be shorter)."""
    return math.ceil(size / math.ceil(size / most))


def grow(unit: Shape, shape: Shape, largest: int) -> Shape:
    """Return the largest block of whole units, X grown first and Z last, that holds at most `largest` voxels.

    Parameters
    ----------
    unit
        The smallest block; returned unchanged if it is already larger than `largest`.
    shape
        What the block is cut from: it gets no larger than that, rounded up to whole units.
    largest
        In voxels.
    """
    block = list(unit)
    for axis in reversed(range(len(unit))):
        others = math.prod(block) // block[axis]
        fitting = largest // (others * unit[axis])
        block[axis] = unit[axis] * max(1, min(fitting, math.ceil(shape[axis] / unit[axis])))
    return tuple(block)


def regions(shape: Shape, block: Shape) -> Iterator[tuple[slice, ...]]:
    """Yield the slices of the blocks that cover a shape, in C order, the last ones cut to it."""
    starts = (range(0, size, step) for size, step in zip(shape, block, strict=True))
    for corner in product(*starts):
        yield tuple(slice(c, min(c + b, s)) for c, b, s in zip(corner, block, shape, strict=True))


def array_specs(n_timepoints: int, spatial: Shape, image_dtype: str) -> dict[str, ArraySpec]:
    """Return the seven arrays of a dataset by name.

    Parameters
    ----------
    n_timepoints
        T, at least 1.
    spatial
        (Z, Y, X) or (Y, X).
    image_dtype
        ``uint8`` or ``uint16``.

    Raises
    ------
    InvalidInputError
        The shape is neither a volume's nor a plane's, or the type is another one.
    """
    n = len(spatial)
    if n_timepoints < 1 or n not in (2, 3) or min(spatial) < 1 or image_dtype not in IMAGE_DTYPES:
        raise InvalidInputError(
            f"expected timepoints of shape (Z, Y, X) or (Y, X) and of type {' or '.join(IMAGE_DTYPES)}, got "
            f"{n_timepoints} timepoints of {spatial}, {image_dtype}: check the movie"
        )
    pairs = n_timepoints - 1
    specs = (
        ArraySpec(IMAGES, image_dtype, n_timepoints, spatial),
        ArraySpec(PROBABILITIES, "float16", n_timepoints, spatial, 3),
        ArraySpec(LABELS, "uint8", n_timepoints, spatial),
        ArraySpec(LABELS_RGB, "uint8", n_timepoints, spatial, 3),
        ArraySpec(FLOW, "float16", pairs, spatial, n, "first"),
        ArraySpec(FLOW_LABELS, "float32", pairs, spatial, n + 1, "first"),
        ArraySpec(FLOW_HASHES, "S16", pairs, ()),
    )
    return {spec.name: spec for spec in specs}


_AT_ONCE = 1 << 22  # values, so that a large timepoint is not held several times over


def steady(values: NDArray[np.floating], step: float) -> NDArray[np.float32]:
    """Round values to multiples of a step, keeping the neighbour's rounded value if it is near enough.

    Where a network is unsure, its output varies by less than anyone would see. Plain rounding turns that into noise,
    which no codec can compress.

    Parameters
    ----------
    values
        (..., X).
    step
        The results are multiples of it.

    Returns
    -------
    numpy.ndarray
        float32, of the same shape; each is within one step of the value given.
    """
    lines = values.reshape(-1, values.shape[-1])
    kept = np.empty(lines.shape, dtype=np.float32)
    per_part = max(1, _AT_ONCE // lines.shape[1])
    for first in range(0, len(lines), per_part):
        part = slice(first, first + per_part)
        kept[part] = _steady_columns(np.ascontiguousarray(lines[part].T, dtype=np.float32), np.float32(step)).T
    return kept.reshape(values.shape)


def _steady_columns(columns: NDArray[np.float32], step: np.float32) -> NDArray[np.float32]:
    """Round as :func:`steady` does, with neighbours along the first axis."""
    rounded: NDArray[np.float32] = np.rint(columns / step) * step
    for value, kept, before in zip(columns[1:], rounded[1:], rounded[:-1], strict=True):
        np.copyto(kept, before, where=np.abs(value - before) <= step)
    return rounded


_DIM = 127  # of a false annotation


def labels_as_rgb(labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return labels as colours: background red, border green, centre blue; dim for a false annotation.

    Parameters
    ----------
    labels
        ((Z), Y, X), 0 to 6.

    Returns
    -------
    NDArray
        ((Z), Y, X, 3).
    """
    planes = np.empty((N_CLASSES, *labels.shape), np.uint8)
    for label in (Label.BACKGROUND, Label.BORDER, Label.CENTRE):
        plane = planes[label.channel]
        np.negative((labels == label).view(np.uint8), out=plane)  # 255
        plane |= (labels == label + N_CLASSES).view(np.uint8) * np.uint8(_DIM)
    return np.moveaxis(planes, 0, -1)
