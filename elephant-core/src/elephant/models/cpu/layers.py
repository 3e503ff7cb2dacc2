"""The layers of the networks, computed in whichever way is fast where they run.

On a CPU that is oneDNN with the channels last; elsewhere it is what PyTorch does. Names and shapes of the weights are
those of PyTorch's layers.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from elephant.models.cpu import convolution
from elephant.models.cpu.normalisation import rectify_and_normalise


class Joined(NamedTuple):
    """What stands before an image that is enlarged first.

    Attributes
    ----------
    skip
        (N, C, (Z), Y, X), of the enlarged size.
    factors
        How much larger along each axis, 1 or 2; each voxel becomes a block.
    """

    skip: Tensor
    factors: Sequence[int]


class Convolution3d(nn.Conv3d):
    """A convolution that keeps the size, of an image or of two that are joined."""

    def forward(self, x: Tensor, joined: Joined | None = None) -> Tensor:
        """Map (N, inputs, Z, Y, X), behind what is `joined`, to (N, outputs, Z, Y, X)."""
        if convolution.serves(x):
            return _convolve(x, self.weight, self.bias, joined)
        out: Tensor = super().forward(_put_together(x, joined))
        return out


class Convolution2d(nn.Conv2d):
    """The same in two dimensions."""

    def forward(self, x: Tensor, joined: Joined | None = None) -> Tensor:
        """Map (N, inputs, Y, X), behind what is `joined`, to (N, outputs, Y, X)."""
        if convolution.serves(x):
            return _convolve(x, self.weight, self.bias, joined)
        out: Tensor = super().forward(_put_together(x, joined))
        return out


class RectifyingNorm(nn.GroupNorm):
    """ReLU and then group normalisation, of what a convolution returns and nobody else needs."""

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, (Z), Y, X) to the same shape."""
        if convolution.serves(x):
            return rectify_and_normalise(x, self.num_groups, self.weight, self.bias, self.eps)
        out: Tensor = super().forward(functional.relu(x, inplace=True))
        return out


def _convolve(x: Tensor, weight: Tensor, bias: Tensor | None, joined: Joined | None) -> Tensor:
    if joined is not None:
        n_skip = joined.skip.shape[1]
        out = convolution.convolve(joined.skip, weight[:, :n_skip], bias)
        return out.add_(convolution.convolve_enlarged(x, weight[:, n_skip:], joined.factors))
    if weight[0, 0].numel() == 1 and len(weight) < weight.shape[1]:
        return _project(x, weight, bias)
    return convolution.convolve(x, weight, bias)


def _project(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Compute a convolution with kernels of 1 and few outputs as the product of matrices, each output by itself."""
    voxels = convolution.channels_last(x).movedim(1, -1).flatten(1, -2)
    out = weight.flatten(1) @ voxels.transpose(1, 2)
    if bias is not None:
        out = out + bias[:, None]
    return out.view(len(x), -1, *x.shape[2:])


def _put_together(x: Tensor, joined: Joined | None) -> Tensor:
    if joined is None:
        return x
    enlarged = functional.interpolate(x, scale_factor=[float(f) for f in joined.factors], mode="nearest")
    return torch.cat([joined.skip, enlarged], dim=1)
