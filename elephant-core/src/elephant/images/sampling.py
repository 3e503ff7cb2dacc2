"""Looking up images between their voxels."""

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional


def sample_at(
    images: Tensor, positions: Tensor, mode: Literal["bilinear", "nearest"], outside: Literal["border", "zeros"]
) -> Tensor:
    """Return the values of images at positions.

    Parameters
    ----------
    images
        (N, C, (Z), Y, X).
    positions
        In voxels, (N, (Z'), Y', X', n), the last axis (Z), Y, X.
    mode
        Linear in all axes, or the nearest voxel.
    outside
        What lies outside of the images: their border's values, or 0.

    Returns
    -------
    torch.Tensor
        (N, C, (Z'), Y', X').
    """
    size = torch.tensor(images.shape[2:], dtype=positions.dtype, device=positions.device)
    # grid_sample wants X, Y(, Z), from -1 to 1 between the outer edges of the corner voxels: of an axis with one voxel,
    # the centres of both corners are the same.
    relative = (positions * 2 + 1) / size - 1
    grid = relative.flip(-1).to(images.dtype)
    return functional.grid_sample(images, grid, mode, outside, align_corners=False)


def voxel_positions(size: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return the index of every voxel of an image of `size`, ((Z), Y, X, n), the last axis (Z), Y, X."""
    axes = [torch.arange(s, dtype=dtype, device=device) for s in size]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1)
