"""Cutting an image into overlapping tiles, running a network over them, and blending the results."""

import itertools
import logging
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from elephant.config import PredictionParams
from elephant.device import first_line, free_bytes, is_out_of_memory, mixed_precision, release_memory
from elephant.errors import MemoryLimitError
from elephant.models import gpu
from elephant.models.ensemble import interruptible
from elephant.models.unet import dividing_size
from elephant.progress import CancelToken, ProgressReporter
from elephant.types import Box, Shape

OVERLAP_SHARE = 8
LEAST_PARTS = 2  # times the network's divisor of an axis; smaller tiles would be mostly overlap


def tile_boxes(shape: Shape, patch: Shape | None, divisor: Shape) -> list[Box]:
    """Cover an image with overlapping tiles of one size.

    Parameters
    ----------
    shape
        Size of the image, voxels, (Z), Y, X.
    patch
        Largest tile; none: a single tile.
    divisor
        The factor by which the network's poolings divide each axis: tiles are multiples of it if `patch` allows, so
        that the network does not rescale them.

    Returns
    -------
    list of Box
        In C order of their origins.
    """
    if patch is None:
        return [Box.whole(shape)]
    sizes, starts = zip(*(_tile_axis(*axis) for axis in zip(shape, patch, divisor, strict=True)), strict=True)
    return [Box(origin, sizes) for origin in itertools.product(*starts)]


def _tile_axis(length: int, limit: int, divisor: int) -> tuple[int, list[int]]:
    """Return the size and the starts of the tiles along one axis."""
    if length <= limit:
        return length, [0]
    largest = max(limit // divisor, 1) * divisor if limit >= divisor else limit
    overlap = min(max(largest // OVERLAP_SHARE, divisor), largest // 2)
    n_tiles = -(-(length - overlap) // (largest - overlap))
    needed = -(-(length + (n_tiles - 1) * overlap) // n_tiles)
    size = min(-(-needed // divisor) * divisor, largest)
    # Spread evenly: if tiles are longer than needed, the overlaps are wider.
    starts = [round(i * (length - size) / (n_tiles - 1)) for i in range(n_tiles)]
    return size, starts


@dataclass(frozen=True, slots=True)
class Tiles:
    """How an image is cut into tiles for a network.

    Attributes
    ----------
    patch
        Largest tile along the network's axes, voxels, (Z), Y, X. A 2D network sees a volume slice by slice.
    divisor
        The factor by which the network's poolings divide each of these axes.
    batch_size
        Tiles that go through the network together.
    """

    patch: Shape
    divisor: Shape
    batch_size: int

    @property
    def n_dims(self) -> int:
        """Number of the network's axes."""
        return len(self.divisor)

    def boxes(self, shape: Shape) -> list[Box]:
        """Cover an image, (Z), Y, X, with tiles.

        A patch limits memory: an image with no more voxels than it, whatever its proportions, is one tile.
        """
        depth = (1,) * (len(shape) - self.n_dims)
        seen = shape[-self.n_dims :]
        patch = seen if math.prod(seen) <= math.prod(self.patch) else self.patch
        return tile_boxes(shape, (*depth, *patch), (*depth, *self.divisor))

    def size(self, shape: Shape) -> Shape:
        """Return the size of the tiles of an image."""
        return self.boxes(shape)[0].size

    def at_most(self, n_voxels: int, shape: Shape) -> Self:
        """Return tiles of which at most `n_voxels` voxels go through the network together."""
        tiles = self
        while math.prod(tiles.size(shape)) * min(tiles.batch_size, len(tiles.boxes(shape))) > n_voxels:
            smaller = tiles.smaller(shape)
            if smaller is None:
                break
            tiles = smaller
        return tiles

    def smaller(self, shape: Shape) -> Self | None:
        """Return tiles that need about half of the memory; None if they would be too small to show a nucleus.

        First fewer tiles are run together, then the longest axis is halved, in multiples of the divisor.
        """
        if self.batch_size > 1 and len(self.boxes(shape)) > 1:
            return replace(self, batch_size=max(min(self.batch_size, len(self.boxes(shape))) // 2, 1))
        size = self.size(shape)[-self.n_dims :]
        axes = [axis for axis in range(self.n_dims) if size[axis] > LEAST_PARTS * self.divisor[axis]]
        if not axes:
            return None
        axis = max(axes, key=lambda a: size[a])
        parts = max(-(-size[axis] // (2 * self.divisor[axis])), LEAST_PARTS)
        patch = (*size[:axis], parts * self.divisor[axis], *size[axis + 1 :])
        return replace(self, patch=patch)


class Blender:
    """Adds up tiles, weighted by linear ramps where they overlap.

    Parameters
    ----------
    shape
        Size of the image, voxels, (Z), Y, X.
    boxes
        All tiles, of one size.
    n_channels
        Channels of a tile.
    """

    def __init__(self, shape: Shape, boxes: Sequence[Box], n_channels: int) -> None:
        self._ramps = [_ramps_along(axis, boxes, shape[axis]) for axis in range(len(shape))]
        self._is_one = len(boxes) == 1
        self._sum: NDArray[np.float32] | None = None
        self._shape = (n_channels, *shape)

    def add(self, box: Box, values: NDArray[np.float32]) -> None:
        """Add a tile, (C, (Z), Y, X), at its box; a single one is taken as it is."""
        if self._is_one:
            self._sum = np.ascontiguousarray(values)
            return
        if self._sum is None:
            self._sum = np.zeros(self._shape, dtype=np.float32)
        weight: NDArray[np.float32] = np.ones((1,) * len(box.size), dtype=np.float32)
        for axis, ramps in enumerate(self._ramps):
            along = [-1 if a == axis else 1 for a in range(len(box.size))]
            weight = weight * ramps[box.origin[axis]].reshape(along)
        self._sum[(slice(None), *box.slices)] += values * weight

    def result(self) -> NDArray[np.float32]:
        """Return the blended image, (C, (Z), Y, X)."""
        if self._sum is None:
            raise ValueError("no tile was added")
        return self._sum


def _ramps_along(axis: int, boxes: Sequence[Box], length: int) -> dict[int, NDArray[np.float32]]:
    """Return the weights along `axis` for each start of a tile; over all tiles they sum to 1 everywhere."""
    size = boxes[0].size[axis]
    starts = sorted({box.origin[axis] for box in boxes})
    ramps = {}
    for i, start in enumerate(starts):
        ramp = np.ones(size)
        if i > 0:
            overlap = starts[i - 1] + size - start
            ramp[:overlap] = np.minimum(ramp[:overlap], _rise(overlap))
        if i + 1 < len(starts):
            overlap = start + size - starts[i + 1]
            ramp[size - overlap :] = np.minimum(ramp[size - overlap :], _rise(overlap)[::-1])
        ramps[start] = ramp
    total = np.zeros(length)
    for start, ramp in ramps.items():
        total[start : start + size] += ramp
    return {s: (r / total[s : s + size]).astype(np.float32) for s, r in ramps.items()}


def _rise(n: int) -> NDArray[np.float64]:
    return np.arange(1, n + 1) / (n + 1)


def batches(boxes: Sequence[Box], size: int) -> Iterator[Sequence[Box]]:
    """Yield the boxes in groups of `size`."""
    for start in range(0, len(boxes), size):
        yield boxes[start : start + size]


logger = logging.getLogger(__name__)

Image = NDArray[np.float32]

# The decoder joins 48 channels at full resolution, and PyTorch's kernels index values with 32 bits.
MOST_VOXELS = 2**31 // 64
# This package's own index voxels so; outputs have up to three channels.
MOST_VOXELS_OF_OWN = 2**31 // 4
# Memory of a network per voxel of its tiles, measured with this package's networks on a CPU, and with its own kernels.
BYTES_PER_VOXEL, BYTES_PER_VOXEL_OF_OWN = 600, 160
# The rest is for other data.
SHARE_OF_FREE = 0.8


_fallbacks: ContextVar[list[Tiles] | None] = ContextVar("tiles after memory ran out", default=None)


@contextmanager
def noticing_fallbacks() -> Iterator[list[Tiles]]:
    """Give a list of the tiles that had to be taken inside the block because memory ran out.

    Those are not the tiles of :func:`fitting_tiles`, so nobody can say whether the same prediction would take them
    again.
    """
    found: list[Tiles] = []
    before = _fallbacks.set(found)
    try:
        yield found
    finally:
        _fallbacks.reset(before)


def fitting_tiles(params: PredictionParams, shape: Shape, device: torch.device) -> Tiles:
    """Return the tiles in which an image is predicted: those that are asked for, or smaller ones that fit into memory.

    Parameters
    ----------
    params
        Tiles and batches that are asked for.
    shape
        Size of the image that the network sees, (Z), Y, X.
    device
        The device that computes, which has so much memory free now.
    """
    free, is_own = free_bytes(device), uses_own_kernels(device)
    most = MOST_VOXELS_OF_OWN if is_own else MOST_VOXELS
    bytes_per_voxel = BYTES_PER_VOXEL_OF_OWN if is_own else BYTES_PER_VOXEL
    return _asked_tiles(params, shape).at_most(min(most, int(SHARE_OF_FREE * free) // bytes_per_voxel), shape)


def _asked_tiles(params: PredictionParams, shape: Shape) -> Tiles:
    n_network = 2 if params.use_2d else len(shape)
    patch = shape[-n_network:] if params.patch is None else params.patch[-n_network:]
    return Tiles(patch, dividing_size(n_network, params.n_keep_axials), params.batch_size)


def uses_own_kernels(device: torch.device) -> bool:
    """Tell whether this package's own kernels compute on a device."""
    with torch.inference_mode(), mixed_precision(device, trains=False):
        return gpu.serves(torch.empty(0, device=device))


class TiledNetwork:
    """Runs a network on images of any size, in tiles of at most a patch that are blended with linear ramps.

    Tiles are made smaller if they would need more memory than is free.

    Parameters
    ----------
    model
        Maps (N, inputs, (Z), Y, X) to (N, `n_outputs`, (Z), Y, X), on the device of its parameters.
    n_outputs
        Number of output channels.
    read_out
        Turns the network's output into the values that are blended.
    """

    def __init__(self, model: nn.Module, n_outputs: int, read_out: Callable[[Tensor], Tensor]) -> None:
        self._model = model
        self._n_outputs = n_outputs
        self._read_out = read_out
        self._device = next(model.parameters()).device

    def predict(
        self, channels: Image, params: PredictionParams, reporter: ProgressReporter, cancel: CancelToken
    ) -> Image:
        """Run the network over an image.

        Parameters
        ----------
        channels
            Normalised, (inputs, (Z), Y, X).
        params
            Tiles, batches and padding; its `crop_box` has been cut out already. With `use_2d` the slices of a volume
            are the network's items.

        Returns
        -------
        numpy.ndarray
            float32, (`n_outputs`, (Z), Y, X).

        Raises
        ------
        elephant.errors.MemoryLimitError
            There is not enough memory even for the smallest tiles; larger ones are tried first.
        elephant.errors.Cancelled
            `cancel` asked for the end.
        """
        shape = channels.shape[1:]
        tiles = fitting_tiles(params, shape, self._device)
        if tiles.size(shape) != _asked_tiles(params, shape).size(shape):
            free = free_bytes(self._device) / 2**30
            logger.info("Using tiles of %s voxels: %.1f GiB of memory are free", tiles.size(shape), free)
        while True:
            try:
                return self._predict(channels, tiles, params.is_pad, reporter, cancel)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                reason = first_line(error)
            release_memory()  # outside of the handler, which keeps the computed tensors alive
            smaller = tiles.smaller(shape)
            if smaller is None:
                raise MemoryLimitError(
                    f"the prediction needs more memory than is available, even in tiles of {tiles.size(shape)} "
                    f"({reason}): "
                    "choose a smaller crop box or input size, or close other programs that use the device"
                )
            logger.warning(
                "Not enough memory for %d x %s at once (%s): trying %d x %s. A smaller patch size or batch size in the "
                "settings avoids this attempt.",
                *(tiles.batch_size, tiles.size(shape), reason, smaller.batch_size, smaller.size(shape)),
            )
            tiles = smaller
            if (fallbacks := _fallbacks.get()) is not None:
                fallbacks.append(tiles)

    def _predict(
        self, channels: Image, tiles: Tiles, is_pad: bool, reporter: ProgressReporter, cancel: CancelToken
    ) -> Image:
        shape = channels.shape[1:]
        boxes = tiles.boxes(shape)
        blender = Blender(shape, boxes, self._n_outputs)
        done = 0
        with torch.inference_mode(), interruptible(self._model, cancel):
            for group in batches(boxes, tiles.batch_size):
                cancel.check()
                for box, values in zip(group, self._run(channels, group, tiles.n_dims, is_pad), strict=True):
                    blender.add(box, values.reshape(self._n_outputs, *box.size))
                done += len(group)
                reporter.progress("tile", done, len(boxes))
        return blender.result()

    def _run(self, channels: Image, group: Sequence[Box], n_dims: int, is_pad: bool) -> Image:
        tiles = [channels[(slice(None), *box.slices)].reshape(-1, *box.size[-n_dims:]) for box in group]
        x = torch.from_numpy(np.stack(tiles) if len(tiles) > 1 else tiles[0][None]).to(self._device)
        with mixed_precision(self._device, trains=False):
            output = self._model(x, is_pad)
        return _in_main_memory(self._read_out(output.float()))


def _in_main_memory(values: Tensor) -> Image:
    """Return float32 values; those of a GPU in memory that stays where it is, into which it copies much faster."""
    if values.is_cuda:
        values = torch.empty(values.shape, pin_memory=True).copy_(values)
    return np.asarray(values.numpy(), dtype=np.float32)
