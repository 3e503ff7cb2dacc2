"""Convolutions on a CPU by oneDNN in its fastest layout, channels last, for images of any size.

PyTorch computes small images of one item with slower code of its own, forward and backward; these functions do not.
In float32 the results are those of :mod:`torch.nn.functional`, up to rounding. In bfloat16, products are added up in
float32, and results have 8 significant bits.
"""

import mmap
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

# Above this (items x channels x all axes but the last), and in bfloat16, PyTorch itself chooses oneDNN for the gradient
# of the weights.
_PYTORCH_CHOOSES_ABOVE = 20480
# With so few voxels, of all items, the gradient takes as long as it takes to write it, and PyTorch copies it twice.
_FEW_VOXELS = 512
# More than oneDNN's generated code for one image size takes.
_ROOM = 4 << 20
_THINNEST = 3  # voxels
_IS_THERE: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
_TYPES = (torch.float32, torch.bfloat16)


def serves(x: Tensor) -> bool:
    """Return whether these functions support a tensor."""
    return x.device.type == "cpu" and x.dtype in _TYPES and _IS_THERE


def channels_last(x: Tensor) -> Tensor:
    """Return (N, C, (Z), Y, X) with the channels of a voxel beside each other in memory."""
    if x.shape[1] == 1 and x.is_contiguous():  # both orders are the same, and only the strides tell which one is meant
        return x.as_strided(x.shape, (x.stride(0), 1, *x.stride()[2:]))
    return x.contiguous(memory_format=torch.channels_last_3d if x.ndim == 5 else torch.channels_last)


def convolve(
    x: Tensor, weight: Tensor, bias: Tensor | None, slope: float | None = None, added: Tensor | None = None
) -> Tensor:
    """Convolve, keep the size, add, and rectify.

    Parameters
    ----------
    x
        (N, inputs, (Z), Y, X).
    weight
        (outputs, inputs, (kZ), kY, kX), odd along every axis, of the type of `x`.
    bias
        (outputs,), of the type of `x` or float32, or none.
    slope
        What negative results are multiplied by: 0 for a ReLU, more for a leaky one; none: they stay as they are.
    added
        (N, outputs, (Z), Y, X), channels last, added to the convolution; it may be overwritten.

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
    if _is_too_thin(x):
        bias, added = (None if tensor is None else tensor.float() for tensor in (bias, added))
        return _in_float32(convolve, x, weight, bias, slope, added)
    out: Tensor = _Convolution.apply(x, weight, bias, slope, added)  # type: ignore[no-untyped-call]
    return out


def enlarge(x: Tensor, kernels: Tensor, factors: Sequence[int]) -> Tensor:
    """Enlarge an image, each voxel to a block, and convolve it with kernels of 3, in one step with fewer products.

    Along an axis that doubles, a kernel of 3 covers each input voxel two or three times. That equals a transposed
    convolution with a kernel of 4 and a stride of 2, with two products per output voxel instead of three.

    Parameters
    ----------
    x
        (N, inputs, (Z), Y, X).
    kernels
        The kernels of 3, as :func:`spread` returns them, of the type of `x`.
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
    if _is_too_thin(x):
        return _in_float32(enlarge, x, kernels, factors)
    out: Tensor = _Enlarging.apply(x, kernels, tuple(factors))  # type: ignore[no-untyped-call]
    return out


def spread(weight: Tensor, factors: Sequence[int]) -> Tensor:
    """Return the transposed convolution's kernels, (inputs, outputs, (kZ), kY, kX): 4 wide if a factor is 2, else 3."""
    outputs, inputs, *sizes = weight.shape
    sums = weight.new_ones(1, 1)
    for size, factor in zip(sizes, factors, strict=True):
        turned = torch.eye(size).flip(0)
        if factor == 2:
            turned = functional.pad(turned, [0, 0, 0, 1]) + functional.pad(turned, [0, 0, 1, 0])
        sums = torch.kron(sums, turned)
    with torch.autocast("cpu", enabled=False):  # it would round the weights before they are added up
        taps = sums @ weight.permute(1, *range(2, weight.ndim), 0).reshape(inputs, -1, outputs)
    widths = [size + factor - 1 for size, factor in zip(sizes, factors, strict=True)]
    return taps.view(inputs, *widths, outputs).movedim(-1, 1)


def _require_room() -> None:
    """Raise if memory for generated code is short: oneDNN itself would end the process."""
    try:
        mmap.mmap(-1, _ROOM).close()
    except OSError as error:
        raise MemoryError(f"no {_ROOM >> 20} MiB for the code of a convolution: {error.strerror}") from None


def _is_too_thin(x: Tensor) -> bool:
    """Return whether oneDNN cannot be trusted with an image in bfloat16: the smaller one, where it is enlarged.

    Where no kernel lies within an image along Z, or along Y of one that is enlarged, gradients of weights hold what was
    in memory, or the process ends; so do results of one slice and one channel.
    """
    return x.dtype == torch.bfloat16 and min(x.shape[2:]) < _THINNEST


def _in_float32(compute: Callable[..., Tensor], x: Tensor, weight: Tensor, *others: Any) -> Tensor:
    return channels_last(compute(x.float(), weight.float(), *others).to(x.dtype))


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, slope: float | None, added: Tensor | None
    ) -> Tensor:
        x = channels_last(x)
        ctx.has_bias, ctx.is_added, ctx.slope = bias is not None, added is not None, slope
        if added is not None:
            ctx.mark_dirty(added)
        out = _add_and_rectify(x, channels_last(weight), bias, slope, added)
        ctx.save_for_backward(x, weight, None if slope is None else out)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, out = ctx.saved_tensors
        grad = channels_last(grad)
        if out is not None:
            grad = _before_rectifying(grad, out, ctx.slope)
        padding, ones = _keeping_size(weight)
        to_x = to_weight = to_bias = None
        if ctx.needs_input_grad[0]:
            to_x = _transposed(grad, weight, padding, ones)
        if ctx.needs_input_grad[1]:
            to_weight = _weight_gradient(x, grad, weight, ones, padding)
        if ctx.has_bias and ctx.needs_input_grad[2]:
            to_bias = channel_sums(grad)
        return to_x, to_weight, to_bias, None, grad if ctx.is_added else None


def _add_and_rectify(
    x: Tensor, weight: Tensor, bias: Tensor | None, slope: float | None, added: Tensor | None
) -> Tensor:
    """Compute :func:`convolve` without gradients, with what oneDNN does before it writes a value."""
    padding, ones = _keeping_size(weight)
    if added is None:
        rectify = "none" if slope is None else "leaky_relu" if slope else "relu"
        out: Tensor = torch.ops.mkldnn._convolution_pointwise(  # noqa: SLF001 - PyTorch has no public name for it
            x, weight, bias, padding, ones, ones, 1, rectify, [slope] if slope else [], ""
        )
        return channels_last(out)
    torch.ops.mkldnn._convolution_pointwise_.binary(
        # Here, PyTorch does not let oneDNN take a bias of another type.
        *(added, x, weight, None if bias is None else bias.to(x.dtype), padding, ones, ones, 1),
        *("add", 1.0, "relu" if slope == 0 else None, [], None),
    )
    return functional.leaky_relu_(added, slope) if slope else added


def _before_rectifying(grad: Tensor, out: Tensor, slope: float) -> Tensor:
    """Return the gradient with respect to what was rectified; the result has its sign."""
    if slope == 0:
        return torch.ops.aten.threshold_backward(grad, out, 0)  # type: ignore[no-any-return]
    return torch.ops.aten.leaky_relu_backward(grad, out, slope, True)  # type: ignore[no-any-return]


def _keeping_size(weight: Tensor) -> tuple[list[int], list[int]]:
    """Return the padding of each axis that keeps its size, and its stride and dilation: 1."""
    sizes = weight.shape[2:]
    return [size // 2 for size in sizes], [1] * len(sizes)


class _Enlarging(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, kernels: Tensor, factors: tuple[int, ...]) -> Tensor:
        x = channels_last(x)
        ctx.save_for_backward(x, kernels)
        ctx.factors = factors
        return _transposed(x, kernels, [1] * len(factors), list(factors))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, kernels = ctx.saved_tensors
        grad = channels_last(grad)
        ones = [1] * len(ctx.factors)
        to_x = to_kernels = None
        if ctx.needs_input_grad[0]:
            to_x = torch.mkldnn_convolution(grad, channels_last(kernels), None, ones, list(ctx.factors), ones, 1)
        if ctx.needs_input_grad[1]:
            to_kernels = _weight_gradient(grad, x, kernels, list(ctx.factors), ones)
        return to_x, to_kernels, None


def _transposed(x: Tensor, weight: Tensor, padding: list[int], stride: list[int]) -> Tensor:
    """Return a transposed convolution with weights (inputs, outputs, (kZ), kY, kX)."""
    none, ones = [0] * len(stride), [1] * len(stride)
    out = torch.ops.mkldnn._convolution_transpose_pointwise(  # noqa: SLF001
        x, channels_last(weight), None, padding, none, stride, ones, 1, "none", [], ""
    )
    return channels_last(out)


def channel_sums(x: Tensor) -> Tensor:
    """Return the sum of each channel of (N, C, (Z), Y, X), channels last: (C,).

    A product with ones, since PyTorch's own sum over all axes but the last is several times as slow.
    """
    voxels = x.movedim(1, -1).reshape(-1, x.shape[1])
    return (voxels.new_ones(1, len(voxels)) @ voxels)[0]


def _weight_gradient(x: Tensor, grad: Tensor, weight: Tensor, stride: list[int], padding: list[int]) -> Tensor:
    """Return the gradient of a convolution's weights from its input and the gradient of its output: channels last."""
    if grad[:, 0].numel() <= _FEW_VOXELS:
        return _weight_gradient_of_few(x, grad, weight, stride, padding)
    if len(x) == 1 and x.dtype == torch.float32 and x[..., 0].numel() <= _PYTORCH_CHOOSES_ABOVE:
        x, grad, padding = _in_two(x, grad, weight.shape[-2], stride, padding)
    n = len(stride)
    found: Tensor = torch.ops.aten.convolution_backward(
        *(grad, x, weight, None, stride, padding, [1] * n, False, [0] * n, 1, [False, True, False])
    )[1]
    return found


def _weight_gradient_of_few(x: Tensor, grad: Tensor, weight: Tensor, stride: list[int], padding: list[int]) -> Tensor:
    """Return :func:`_weight_gradient` as one product of matrices: the input below each tap, and the gradient."""
    seen = functional.pad(x.movedim(1, -1), [0, 0, *(size for size in padding[::-1] for _ in range(2))])
    kernel = weight.shape[2:]
    for axis, (size, step) in enumerate(zip(kernel, stride, strict=True)):
        seen = seen.unfold(1 + axis, size, step)
    below_taps = seen.movedim(1 + len(kernel), -1).reshape(grad[:, 0].numel(), -1)
    found = grad.movedim(1, -1).reshape(len(below_taps), -1).T @ below_taps
    return found.view(len(found), *kernel, -1).movedim(-1, 1)


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
