"""One resampling for flips, field of view and rotation, on the device that trains."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from elephant.images.sampling import sample_at, voxel_positions
from elephant.types import Box, FloatArray, Shape

_WITHOUT_FLOAT64 = frozenset({"mps"})


class Resampler:
    """Looks up every voxel of a box, moved by a transform about the box's middle.

    Parameters
    ----------
    shape
        Size of the image, voxels, (Z), Y, X.
    box
        Which part of it the crop covers where nothing is moved; the crop has its size.
    transform
        From offsets in the crop to offsets in the image, both in voxels from the middle, (n, n).
    device
        Where it is computed.
    """

    def __init__(self, shape: Shape, box: Box, transform: FloatArray, device: torch.device) -> None:
        half = (np.asarray(box.size) - 1) / 2
        middle = np.asarray(box.origin) + half
        reach = np.abs(transform) @ half
        limit = np.asarray(shape)
        # Turned, the crop looks past the box: only the block that it can see travels to the device.
        start = np.clip(np.floor(middle - reach), 0, limit - 1).astype(int)
        stop = np.clip(np.ceil(middle + reach) + 1, start + 1, limit).astype(int)
        self._region = tuple(slice(int(a), int(b)) for a, b in zip(start, stop, strict=True))
        self._device = device
        kind = np.float32 if device.type in _WITHOUT_FLOAT64 else np.float64
        matrix, at, edge, centre = (
            torch.from_numpy(np.asarray(v, dtype=kind)).to(device) for v in (transform, middle, limit, half)
        )
        positions = (voxel_positions(box.size, matrix.dtype, device) - centre) @ matrix.T + at
        self._outside = ((positions < -0.5) | (positions > edge - 0.5)).any(-1)
        self._positions = (positions - torch.from_numpy(start).to(device))[None]

    def linear(self, channels: NDArray[Any]) -> Tensor:
        """Look images up between their voxels, (C, (Z), Y, X), float32; outside, their border goes on."""
        return sample_at(self._block(channels), self._positions, "bilinear", "border")[0]

    def nearest(self, channels: NDArray[Any]) -> Tensor:
        """Look labels up at the nearest voxels, (C, (Z), Y, X), float32; outside they are 0."""
        found = sample_at(self._block(channels), self._positions, "nearest", "zeros")[0]
        return found.masked_fill(self._outside, 0)

    def _block(self, channels: NDArray[Any]) -> Tensor:
        block = np.ascontiguousarray(channels[(slice(None), *self._region)])
        return torch.from_numpy(block).to(self._device)[None].float()
