"""The U-Net that both networks share, in 3D and 2D. The order of its modules is fixed by existing model files."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from elephant.models.cpu import Convolution2d, Convolution3d, Joined, Normalisation, make_room, pool

NEGATIVE_SLOPE = 0.1
MAX_GROUPS = 32


def convolution(
    n_dims: int, inputs: int, outputs: int, kernel: int, *, slope: float | None = None, bias: bool = True
) -> Convolution3d | Convolution2d:
    """Return a size-preserving convolution, initialised with Kaiming normal weights (fan in) and zero biases.

    `slope` is what negative results are multiplied by: 0 for a ReLU; none: they stay as they are.
    """
    layer_class = Convolution3d if n_dims == 3 else Convolution2d
    layer = layer_class(inputs, outputs, kernel, padding=kernel // 2, bias=bias)
    layer.slope = slope
    if not layer.weight.is_meta:  # shapes alone need no values, for which PyTorch would import its compiler
        nn.init.kaiming_normal_(layer.weight, mode="fan_in")
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


class _Block(nn.Sequential):
    """A sequence of layers, of which the first may take a second image.

    Model files count an activation as a module of its own. The convolutions compute it, so that Identity keeps the
    numbers.
    """

    def forward(self, x: Tensor, joined: Joined | None = None) -> Tensor:
        """Map (N, inputs, (Z), Y, X), concatenated after `joined`, to (N, outputs, (Z), Y, X)."""
        first, *others = self
        x = first(x, joined)
        for layer in others:
            x = layer(x)
        return x


class NormalisedBlock(_Block):
    """Convolution, ReLU and GroupNorm, twice: the block of the detection network."""

    def __init__(self, n_dims: int, inputs: int, outputs: int) -> None:
        groups = min(MAX_GROUPS, outputs)
        super().__init__(
            convolution(n_dims, inputs, outputs, 3, slope=0),
            nn.Identity(),
            Normalisation(groups, outputs),
            convolution(n_dims, outputs, outputs, 3, slope=0),
            nn.Identity(),
            Normalisation(groups, outputs),
        )


class PlainBlock(_Block):
    """Convolution and LeakyReLU, twice: the decoder block of the flow network."""

    def __init__(self, n_dims: int, inputs: int, outputs: int) -> None:
        super().__init__(
            convolution(n_dims, inputs, outputs, 3, slope=NEGATIVE_SLOPE),
            nn.Identity(),
            convolution(n_dims, outputs, outputs, 3, slope=NEGATIVE_SLOPE),
            nn.Identity(),
        )


class ResidualBlock(nn.Module):
    """Two convolutions beside a 1x1 convolution, of which the mean is taken: the encoder block of the flow network."""

    def __init__(self, n_dims: int, inputs: int, outputs: int) -> None:
        super().__init__()
        self.res = convolution(n_dims, inputs, outputs, 1, bias=False)
        self.conv1 = convolution(n_dims, inputs, outputs, 3, slope=NEGATIVE_SLOPE)
        self.conv2 = convolution(n_dims, outputs, outputs, 3, slope=NEGATIVE_SLOPE)
        self.res.gain = self.conv2.gain = 0.5

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, inputs, (Z), Y, X) to (N, outputs, (Z), Y, X)."""
        out: Tensor = self.conv2(self.conv1(x), added=self.res(x))
        return out


def resize(x: Tensor, size: tuple[int, ...]) -> Tensor:
    """Rescale (N, C, (Z), Y, X) linearly so that the centres of the corner voxels stay in place."""
    if tuple(x.shape[2:]) == size:
        return x
    mode = "trilinear" if len(size) == 3 else "bilinear"
    return torch.nn.functional.interpolate(x, size=size, mode=mode, align_corners=True)


WIDTHS = (16, 32, 64, 128, 256)
N_LEVELS = 4

BlockFactory = Callable[[int, int, int], nn.Module]


def dividing_size(n_dims: int, n_keep_axials: int) -> tuple[int, ...]:
    """Return the factor by which the poolings divide each axis, ((Z), Y, X): 2^(4 - n_keep_axials), 16, 16."""
    in_plane = 2**N_LEVELS
    return ((2 ** (N_LEVELS - n_keep_axials),) if n_dims == 3 else ()) + (in_plane, in_plane)


class UNet(nn.Module):
    """A U-Net with four poolings and skip connections; images whose size the poolings do not divide are rescaled.

    Parameters
    ----------
    n_dims
        3 or 2.
    n_keep_axials
        How many of the four poolings, counted from the full resolution, leave Z unchanged: 0 to 4.
    n_inputs, n_outputs
        Number of channels.
    block, up_block
        Factories of a block of the encoder and the base, and of the decoder, called with axes, inputs and outputs.
    """

    def __init__(
        self,
        n_dims: int,
        n_keep_axials: int,
        n_inputs: int,
        n_outputs: int,
        block: BlockFactory,
        up_block: BlockFactory,
    ) -> None:
        super().__init__()
        if n_dims not in (2, 3) or not 0 <= n_keep_axials <= N_LEVELS:
            raise ValueError(f"expected 2 or 3 axes and n_keep_axials of 0 to 4, got {n_dims} and {n_keep_axials}")
        self.n_dims = n_dims
        self.n_keep_axials = n_keep_axials
        inputs = (n_inputs, *WIDTHS[:-1])
        self.encoder = nn.ModuleList(block(n_dims, inputs[i], WIDTHS[i]) for i in range(N_LEVELS))
        self.base = block(n_dims, WIDTHS[-2], WIDTHS[-1])
        self.decoder = nn.ModuleList(
            up_block(n_dims, WIDTHS[i] + WIDTHS[i + 1], WIDTHS[i]) for i in reversed(range(N_LEVELS))
        )
        self.out_conv = convolution(n_dims, WIDTHS[0], n_outputs, 1)

    def forward(self, x: Tensor, is_pad: bool = False) -> Tensor:
        """Run the network.

        Parameters
        ----------
        x
            Normalised image, (N, inputs, (Z), Y, X).
        is_pad
            Whether to pad the image by half of the dividing size, replicating its border.

        Returns
        -------
        torch.Tensor
            (N, outputs, (Z), Y, X), activated.
        """
        size = tuple(x.shape[2:])
        divisor = dividing_size(self.n_dims, self.n_keep_axials)
        x = resize(x, tuple(-(-s // d) * d for s, d in zip(size, divisor, strict=True)))
        if is_pad:
            x = functional.pad(x, [d // 2 for d in reversed(divisor) for _ in range(2)], mode="replicate")
        y = self.activate(self._body(x))
        if is_pad:
            inner = [slice(d // 2, s - d // 2) for s, d in zip(y.shape[2:], divisor, strict=True)]
            y = y[(slice(None), slice(None), *inner)]
        return resize(y, size)

    def activate(self, x: Tensor) -> Tensor:
        """Apply the activation to the last convolution's output."""
        raise NotImplementedError

    def _pool_size(self, level: int) -> tuple[int, ...]:
        return (1 if level < self.n_keep_axials else 2,) * (self.n_dims == 3) + (2, 2)

    def _body(self, x: Tensor) -> Tensor:
        skips = []
        for level, block in enumerate(self.encoder):
            x = block(x)
            skips.append(x)
            x = pool(x, self._pool_size(level))
        x = self.base(x)
        for level, block in zip(reversed(range(N_LEVELS)), self.decoder, strict=True):
            if level == 0:
                make_room(x)
            x = block(x, Joined(skips.pop(), self._pool_size(level)))
        out: Tensor = self.out_conv(x)
        return out


class DetectionNet(UNet):
    """One image to the log-probabilities of background, border and centre, (N, 3, (Z), Y, X)."""

    def __init__(self, n_dims: int, n_keep_axials: int) -> None:
        super().__init__(n_dims, n_keep_axials, 1, 3, NormalisedBlock, NormalisedBlock)

    def activate(self, x: Tensor) -> Tensor:
        """Apply the log-softmax over the classes."""
        return functional.log_softmax(x, dim=1)


class FlowNet(UNet):
    """Two consecutive images to the normalised displacement X, Y(, Z), (N, n, (Z), Y, X)."""

    def __init__(self, n_dims: int, n_keep_axials: int) -> None:
        super().__init__(n_dims, n_keep_axials, 2, n_dims, ResidualBlock, PlainBlock)

    def activate(self, x: Tensor) -> Tensor:
        """Apply the hyperbolic tangent; where it is flat, some of the gradient is passed on."""
        bounded: Tensor = _Bounded.apply(x)  # type: ignore[no-untyped-call]
        return bounded


class _Bounded(torch.autograd.Function):
    """The hyperbolic tangent whose gradient uses a slope of at least `least`.

    Without normalisation, the first steps may drive the output to where the slope is 0 in float32. With no gradient
    to lead back, the training would be stuck at the largest displacement.
    """

    least = 0.01  # the slope at 3: no label needs an output beyond

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        y = torch.tanh(x)
        ctx.save_for_backward(y)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        (y,) = ctx.saved_tensors
        slope: Tensor = (1 - y.square()).clamp_(min=_Bounded.least)
        return grad * slope
