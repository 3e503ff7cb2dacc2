"""Building blocks of the networks. The order of the modules is fixed by the model files out there."""

import torch
from torch import Tensor, nn

from elephant.models.arithmetic import Convolution2d, Convolution3d, Joined, RectifyingNorm

NEGATIVE_SLOPE = 0.1
MAX_GROUPS = 32


def convolution(n_dims: int, inputs: int, outputs: int, kernel: int, bias: bool = True) -> nn.Module:
    """Return a convolution that keeps the size, started from Kaiming normal (fan in) and zero biases."""
    layer_class = Convolution3d if n_dims == 3 else Convolution2d
    layer = layer_class(inputs, outputs, kernel, padding=kernel // 2, bias=bias)
    nn.init.kaiming_normal_(layer.weight, mode="fan_in")
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


class _Block(nn.Sequential):
    """Layers in a row, the first of which may be given a second image."""

    def forward(self, x: Tensor, joined: Joined | None = None) -> Tensor:
        """Map (N, inputs, (Z), Y, X), behind what is `joined`, to (N, outputs, (Z), Y, X)."""
        first, *others = self
        x = first(x, joined)
        for layer in others:
            x = layer(x)
        return x


class NormalisedBlock(_Block):
    """Convolution, ReLU and GroupNorm, twice: the block of the detection network."""

    def __init__(self, n_dims: int, inputs: int, outputs: int) -> None:
        groups = min(MAX_GROUPS, outputs)
        # The ReLU is the norm's, and its place in the files is empty.
        super().__init__(
            convolution(n_dims, inputs, outputs, 3),
            nn.Identity(),
            RectifyingNorm(groups, outputs),
            convolution(n_dims, outputs, outputs, 3),
            nn.Identity(),
            RectifyingNorm(groups, outputs),
        )


class PlainBlock(_Block):
    """Convolution and LeakyReLU, twice: the decoder block of the flow network."""

    def __init__(self, n_dims: int, inputs: int, outputs: int) -> None:
        super().__init__(
            convolution(n_dims, inputs, outputs, 3),
            nn.LeakyReLU(NEGATIVE_SLOPE, inplace=True),
            convolution(n_dims, outputs, outputs, 3),
            nn.LeakyReLU(NEGATIVE_SLOPE, inplace=True),
        )


class ResidualBlock(nn.Module):
    """Two convolutions beside a 1x1 convolution: the encoder block of the flow network."""

    def __init__(self, n_dims: int, inputs: int, outputs: int) -> None:
        super().__init__()
        self.res = convolution(n_dims, inputs, outputs, 1, bias=False)
        self.conv1 = convolution(n_dims, inputs, outputs, 3)
        self.conv2 = convolution(n_dims, outputs, outputs, 3)
        self.activation = nn.LeakyReLU(NEGATIVE_SLOPE, inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, inputs, (Z), Y, X) to (N, outputs, (Z), Y, X)."""
        out: Tensor = self.activation(self.conv2(self.activation(self.conv1(x))).add_(self.res(x)).div_(2))
        return out


def resize(x: Tensor, size: tuple[int, ...]) -> Tensor:
    """Rescale (N, C, (Z), Y, X) linearly so that the centres of the corner voxels stay in place."""
    if tuple(x.shape[2:]) == size:
        return x
    mode = "trilinear" if len(size) == 3 else "bilinear"
    return torch.nn.functional.interpolate(x, size=size, mode=mode, align_corners=True)
