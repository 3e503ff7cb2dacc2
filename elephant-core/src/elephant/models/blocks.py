"""Building blocks of the networks. The order of the modules is fixed by the model files out there."""

import torch
from torch import Tensor, nn

NEGATIVE_SLOPE = 0.1
MAX_GROUPS = 32


def convolution(n_dims: int, inputs: int, outputs: int, kernel: int, bias: bool = True) -> nn.Module:
    """Return a convolution that keeps the size, started from Kaiming normal (fan in) and zero biases."""
    layer = (nn.Conv3d if n_dims == 3 else nn.Conv2d)(inputs, outputs, kernel, padding=kernel // 2, bias=bias)
    nn.init.kaiming_normal_(layer.weight, mode="fan_in")
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


class NormalisedBlock(nn.Sequential):
    """Convolution, ReLU and GroupNorm, twice: the block of the detection network."""

    def __init__(self, n_dims: int, inputs: int, outputs: int) -> None:
        groups = min(MAX_GROUPS, outputs)
        super().__init__(
            convolution(n_dims, inputs, outputs, 3),
            nn.ReLU(inplace=True),
            nn.GroupNorm(groups, outputs),
            convolution(n_dims, outputs, outputs, 3),
            nn.ReLU(inplace=True),
            nn.GroupNorm(groups, outputs),
        )


class PlainBlock(nn.Sequential):
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
        out: Tensor = self.activation((self.res(x) + self.conv2(self.activation(self.conv1(x)))) / 2)
        return out


def resize(x: Tensor, size: tuple[int, ...]) -> Tensor:
    """Rescale (N, C, (Z), Y, X) linearly so that the centres of the corner voxels stay in place."""
    if tuple(x.shape[2:]) == size:
        return x
    mode = "trilinear" if len(size) == 3 else "bilinear"
    return torch.nn.functional.interpolate(x, size=size, mode=mode, align_corners=True)
