"""Convolutions on a CPU by oneDNN in its fastest layout, channels last, for images of any size.

PyTorch computes small images of one item with slower code of its own, forward and backward; these functions do not.
The results are those of :mod:`torch.nn.functional`, up to float32 rounding.
"""

import mmap
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

# Above this (items x channels x all axes but the last) PyTorch itself chooses oneDNN for the gradient of the weights.
_PYTORCH_CHOOSES_ABOVE = 20480
# More than oneDNN's generated code for one image size takes.
_ROOM = 4 << 20
_IS_THERE: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]


def serves(x: Tensor) -> bool:
    """Return whether these functions support a tensor."""
    return x.device.type == "cpu" and x.dtype == torch.float32 and _IS_THERE


def channels_last(x: Tensor) -> Tensor:
    """Return (N, C, (Z), Y, X) with the channels of a voxel beside each other in memory."""
    return x.contiguous(memory_format=torch.channels_last_3d if x.ndim == 5 else torch.channels_last)


def convolve(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Convolve and keep the size.

    Parameters
    ----------
    x
        (N, inputs, (Z), Y, X).
    weight
        (outputs, inputs, (kZ), kY, kX), odd along every axis.
    bias
        (outputs,), or none.

    Returns
    -------
    torch.Tensor
        (N, outputs, (Z), Y, X), channels last.

    Raises
    ------
    MemoryError
        No memory is left.
    """
    _require_room()
    out: Tensor = _Convolution.apply(x, weight, bias)  # type: ignore[no-untyped-call]
    return out


def convolve_enlarged(x: Tensor, weight: Tensor, factors: Sequence[int]) -> Tensor:
    """Enlarge an image, each voxel to a block, and convolve it with kernels of 3, in one step with fewer products.

    Along an axis that doubles, a kernel of 3 covers each input voxel two or three times. That equals a transposed
    convolution with a kernel of 4 and a stride of 2, with two products per output voxel instead of three.

    Parameters
    ----------
    x
        (N, inputs, (Z), Y, X).
    weight
        (outputs, inputs, (3), 3, 3).
    factors
        How much larger along each axis, 1 or 2.

    Returns
    -------
    torch.Tensor
        (N, outputs, (Z), Y, X) of the enlarged size, channels last.

    Raises
    ------
    MemoryError
        No memory is left.
    """
    _require_room()
    out: Tensor = _Enlarging.apply(x, spread(weight, factors), tuple(factors))  # type: ignore[no-untyped-call]
    return out


def spread(weight: Tensor, factors: Sequence[int]) -> Tensor:
    """Return the transposed convolution's kernels, (inputs, outputs, (kZ), kY, kX): 4 wide if a factor is 2, else 3."""
    axes = range(2, weight.ndim)
    spread = weight.transpose(0, 1).flip(*axes)
    for axis, factor in zip(axes, factors, strict=True):
        if factor == 2:
            before = [0, 0] * (weight.ndim - 1 - axis)
            spread = functional.pad(spread, [*before, 0, 1]) + functional.pad(spread, [*before, 1, 0])
    return spread


def _require_room() -> None:
    """Raise if memory for generated code is short: oneDNN itself would end the process."""
    try:
        mmap.mmap(-1, _ROOM).close()
    except OSError as error:
        raise MemoryError(f"no {_ROOM >> 20} MiB for the code of a convolution: {error.strerror}") from None


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        x = channels_last(x)
        ctx.save_for_backward(x, weight)
        ctx.has_bias = bias is not None
        ones = [1] * (x.ndim - 2)
        padding = [k // 2 for k in weight.shape[2:]]
        return channels_last(torch.mkldnn_convolution(x, channels_last(weight), bias, padding, ones, ones, 1))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        grad = channels_last(grad)
        ones = [1] * (x.ndim - 2)
        padding = [k // 2 for k in weight.shape[2:]]
        to_x = to_weight = to_bias = None
        if ctx.needs_input_grad[0]:
            turned = channels_last(weight.flip(*range(2, weight.ndim)).transpose(0, 1))
            to_x = torch.mkldnn_convolution(grad, turned, None, padding, ones, ones, 1)
        if ctx.needs_input_grad[1]:
            to_weight = _weight_gradient(x, grad, weight, ones, padding)
        if ctx.has_bias and ctx.needs_input_grad[2]:
            to_bias = grad.sum([0, *range(2, grad.ndim)])
        return to_x, to_weight, to_bias


class _Enlarging(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, factors: tuple[int, ...]) -> Tensor:
        x = channels_last(x)
        ctx.save_for_backward(x, weight)
        ctx.factors = factors
        ones = [1] * len(factors)
        none = [0] * len(factors)
        out = torch.ops.mkldnn._convolution_transpose_pointwise(  # noqa: SLF001 - PyTorch has no public name for it
            x, channels_last(weight), None, ones, none, list(factors), ones, 1, "none", [], ""
        )
        return channels_last(out)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        grad = channels_last(grad)
        ones = [1] * len(ctx.factors)
        to_x = to_weight = None
        if ctx.needs_input_grad[0]:
            to_x = torch.mkldnn_convolution(grad, channels_last(weight), None, ones, list(ctx.factors), ones, 1)
        if ctx.needs_input_grad[1]:
            to_weight = _weight_gradient(grad, x, weight, list(ctx.factors), ones)
        return to_x, to_weight, None


def _weight_gradient(x: Tensor, grad: Tensor, weight: Tensor, stride: list[int], padding: list[int]) -> Tensor:
    """Return the gradient of a convolution's weights from its input and the gradient of its output."""
    if len(x) == 1 and x[..., 0].numel() <= _PYTORCH_CHOOSES_ABOVE:
        x, grad, padding = _in_two(x, grad, weight.shape[-2], stride, padding)
    n = len(stride)
    found: Tensor = torch.ops.aten.convolution_backward(
        *(grad, x, weight, None, stride, padding, [1] * n, False, [0] * n, 1, [False, True, False])
    )[1]
    return found


def _in_two(
    x: Tensor, grad: Tensor, kernel: int, stride: list[int], padding: list[int]
) -> tuple[Tensor, Tensor, list[int]]:
    """Split one item into two, which PyTorch leaves to oneDNN: halves along Y whose gradients add up to the whole's."""
    n_rows = grad.shape[-2]
    if n_rows % 2:
        zeros = [0, 0] * (x.ndim - 1) + [0, 1]
        return channels_last(functional.pad(x, zeros)), channels_last(functional.pad(grad, zeros)), padding
    around = padding[-2]
    padded = functional.pad(x, [0, 0, around, around])
    half = n_rows // 2
    step = stride[-2] * half
    length = stride[-2] * (half - 1) + kernel
    pieces = torch.cat([padded[..., :length, :], padded[..., step : step + length, :]])
    halves = torch.cat([grad[..., :half, :], grad[..., half:, :]])
    return channels_last(pieces), channels_last(halves), [*padding[:-2], 0, padding[-1]]
