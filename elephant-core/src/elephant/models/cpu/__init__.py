"""The layers of the networks, computed in whichever way is fast where they run.

On a CPU that is oneDNN with the channels last, inside of :func:`torch.autocast` in its type of numbers; elsewhere it is
what PyTorch does. Names and shapes of the weights are those of PyTorch's layers.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.conv import _ConvNd

from elephant.hardware import give_back_if_scarce
from elephant.models import gpu
from elephant.models.cpu import convolution
from elephant.models.cpu.convolution import channels_last, convolve, enlarge, spread
from elephant.models.cpu.normalisation import normalise

_PIECE = 1 << 16  # voxels: what is computed from them stays in the cache


class Joined(NamedTuple):
    """An image before which a second, enlarged one is concatenated.

    Attributes
    ----------
    skip
        (N, C, (Z), Y, X), of the enlarged size.
    factors
        Enlargement of the second image along each axis, 1 or 2; each voxel becomes a block.
    """

    skip: Tensor
    factors: Sequence[int]


class _Kernels(NamedTuple):
    """A layer's weights in the form in which they are computed with.

    Attributes
    ----------
    own
        Of the image, or of `Joined.skip`: (outputs, inputs, (kZ), kY, kX).
    enlarging
        Of the second image: those of :func:`convolution.spread`; none where there is one image.
    bias
        (outputs,), or none.
    """

    own: Tensor
    enlarging: Tensor | None
    bias: Tensor | None


class _Convolution(_ConvNd):
    """A size-preserving convolution of one image, or of two that are joined, and what comes right after it.

    Attributes
    ----------
    slope
        What negative results are multiplied by: 0 for a ReLU, more for a leaky one; none: they stay as they are.
    gain
        What weights and bias are multiplied by.
    """

    slope: float | None = None
    gain: float = 1.0
    _prepared: tuple[Any, _Kernels] | None = None
    _prepared_on_gpu: tuple[Any, gpu.Prepared | None] | None = None

    def forward(self, x: Tensor, joined: Joined | None = None, added: Tensor | None = None) -> Tensor:
        """Map (N, inputs, (Z), Y, X), concatenated after `joined`, to (N, outputs, (Z), Y, X).

        `added` is added to the result before it is rectified; it may be overwritten.
        """
        if convolution.serves(x):
            return self._compute(x, joined, added)
        prepared = self._on_gpu(joined) if gpu.serves(x) else None
        if prepared is not None:
            first, second = (x, None) if joined is None else (joined.skip, x)
            return gpu.convolve(first, prepared, self.slope, second, added)
        x = self._conv_forward(_put_together(x, joined), *self._scaled())
        x = x if added is None else x.add_(added)
        return x if self.slope is None else functional.leaky_relu_(x, self.slope)

    def train(self, mode: bool = True) -> Self:
        """Forget the prepared weights: training changes them."""
        self._prepared = self._prepared_on_gpu = None
        return super().train(mode)

    def _compute(self, x: Tensor, joined: Joined | None, added: Tensor | None) -> Tensor:
        if self._projects:
            return _project(x, self.weight, self.bias)
        dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else x.dtype
        if x.dtype != dtype and joined is None and added is None and not torch.is_grad_enabled():
            # The network's image: with 8 significant bits, its values would move the centres of spots.
            kernels = self._kernels(None, x.dtype)
            return convolve(x, kernels.own, kernels.bias, self.slope).to(dtype)
        kernels = self._kernels(joined, dtype)
        x = x.to(dtype)
        if joined is None or kernels.enlarging is None:
            return convolve(x, kernels.own, kernels.bias, self.slope, added)
        added = enlarge(x, kernels.enlarging, joined.factors)
        return convolve(joined.skip.to(dtype), kernels.own, kernels.bias, self.slope, added)

    def _on_gpu(self, joined: Joined | None) -> gpu.Prepared | None:
        parts = () if joined is None else (joined.skip.shape[1], tuple(joined.factors))
        key = (parts, self.weight._version, self.weight.data_ptr())  # noqa: SLF001 - it counts changes in place
        if self._prepared_on_gpu is None or self._prepared_on_gpu[0] != key:
            self._prepared_on_gpu = key, gpu.prepare(*self._scaled(), *parts)
        return self._prepared_on_gpu[1]

    @property
    def _projects(self) -> bool:
        """Whether it is a matrix product of the channels with few results."""
        outputs, inputs, *kernel = self.weight.shape
        return outputs < inputs and set(kernel) == {1}

    def _scaled(self) -> tuple[Tensor, Tensor | None]:
        if self.gain == 1:
            return self.weight, self.bias
        return self.weight * self.gain, None if self.bias is None else self.bias * self.gain

    def _kernels(self, joined: Joined | None, dtype: torch.dtype) -> _Kernels:
        """Return the weights for a type of numbers; in evaluation without gradients, they are prepared once."""
        if self.training or torch.is_grad_enabled():
            return self._prepare(joined, dtype)
        parts = None if joined is None else (joined.skip.shape[1], *joined.factors)
        key = (dtype, parts, self.weight._version, self.weight.data_ptr())  # noqa: SLF001 - it counts changes in place
        if self._prepared is None or self._prepared[0] != key:
            self._prepared = key, self._prepare(joined, dtype)
        return self._prepared[1]

    def _prepare(self, joined: Joined | None, dtype: torch.dtype) -> _Kernels:
        weight, bias = self._scaled()
        if joined is None:
            return _Kernels(channels_last(weight.to(dtype)), None, bias)
        n_skip = joined.skip.shape[1]
        enlarging = spread(weight[:, n_skip:], joined.factors).to(dtype)
        return _Kernels(channels_last(weight[:, :n_skip].to(dtype)), channels_last(enlarging), bias)


class Convolution3d(_Convolution, nn.Conv3d):
    """A size-preserving convolution of images (N, inputs, Z, Y, X)."""


class Convolution2d(_Convolution, nn.Conv2d):
    """A size-preserving convolution of images (N, inputs, Y, X)."""


class Normalisation(nn.GroupNorm):
    """Group normalisation."""

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, (Z), Y, X) to the same shape."""
        if convolution.serves(x):
            return normalise(x, self.num_groups, self.weight, self.bias, self.eps)
        if gpu.serves(x):
            return gpu.normalise(x, self.num_groups, self.weight, self.bias, self.eps)
        out: Tensor = super().forward(x)
        return out


def make_room(x: Tensor) -> None:
    """Return to the system what is free between arrays, before layers whose arrays are larger than that.

    That takes a tenth of the time of a pass, and is only done where memory is scarce. The decoder's last block needs
    the largest arrays, of an image like `x`; in float32 a prediction then needs a quarter less memory.
    """
    if x.dtype is torch.float32 and convolution.serves(x) and not torch.is_grad_enabled():
        give_back_if_scarce()


def pool(x: Tensor, factors: Sequence[int]) -> Tensor:
    """Take the largest value of each block of (N, C, (Z), Y, X), whose size is 1 or 2 along each axis."""
    if gpu.serves(x):
        return gpu.pool(x, factors)
    if x.ndim == 4:
        return functional.max_pool2d(x, list(factors))
    is_served = convolution.serves(x)
    needs_gradient = torch.is_grad_enabled()  # of equal values it is the first one's, which `maximum` does not keep
    if is_served and factors[0] == 2 and not needs_gradient:
        return pool(torch.maximum(x[:, :, ::2], x[:, :, 1::2]), (1, *factors[1:]))
    if not is_served or factors[0] > 1:
        return functional.max_pool3d(x, list(factors))
    # PyTorch pools volumes in its own order of memory alone, planes in both.
    planes = channels_last(x).movedim(1, -1).flatten(0, 1).movedim(-1, 1)
    pooled = functional.max_pool2d(planes, list(factors[1:]))
    return pooled.movedim(1, -1).view(len(x), -1, *pooled.shape[2:], x.shape[1]).movedim(-1, 1)


def _project(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Compute a convolution with kernels of 1 and few outputs as a matrix product, in float32."""
    items = channels_last(x).movedim(1, -1).flatten(1, -2)
    matrix, offset = weight.flatten(1), 0 if bias is None else bias[:, None]
    with torch.autocast("cpu", enabled=False):
        if x.dtype == matrix.dtype or torch.is_grad_enabled():
            out = matrix @ items.to(matrix.dtype).transpose(1, 2) + offset
        else:
            pieces = (
                [matrix @ piece.to(matrix.dtype).T + offset for piece in torch.split(item, _PIECE)] for item in items
            )
            out = torch.stack([torch.cat(list(each), 1) for each in pieces])
    return out.view(len(x), -1, *x.shape[2:])


def _put_together(x: Tensor, joined: Joined | None) -> Tensor:
    if joined is None:
        return x
    enlarged = functional.interpolate(x, scale_factor=[float(f) for f in joined.factors], mode="nearest")
    return torch.cat([joined.skip, enlarged], dim=1)
