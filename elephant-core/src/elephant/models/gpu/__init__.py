"""The layers of the networks on a GPU of NVIDIA, in bfloat16, where nothing needs gradients.

cuDNN is slow where there are few channels, as at the full resolution of these networks: a convolution of 16 channels
takes 15 to 25 times what reading its input and writing its output takes. Here it is a product of matrices whose part of
the image stays in shared memory. Images are (N, C, (Z), Y, X) with the channels last in memory.
"""

import math
from collections.abc import Sequence
from ctypes import c_longlong
from functools import cache
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from elephant.models.gpu.kernels import Kernel, Kernels, kernels_of, n_blocks

_MOST_FIRST_INPUTS, _FIRST_OUTPUTS, _MOST_LAST_OUTPUTS = 2, 16, 4
_CHANNELS = 16  # that are multiplied at a time
_VECTOR = 8  # channels that a thread reads
_PARTS, _LEAST_OF_PART = 2048, 64  # that an image is added up in, and their voxels
_SCALING_BLOCKS = 4096
_FIRST_DEPTH = 4  # voxels that a thread computes
# By the outputs of a block, how many blocks a multiprocessor has the registers for.
_BLOCKS = {16: 3, 32: 2}
_VOLUME_ROWS, _PLANE_ROWS = (4, 8, 1), (1, 16, 2)

Kind = Literal["first", "middle", "last"]


class Prepared(NamedTuple):
    """A convolution's weights in the order in which a kernel reads them.

    Attributes
    ----------
    kind
        Whether it is one of few inputs, of few outputs, or between.
    weights
        In float32 for the first and the last, in bfloat16 between.
    bias
        float32, (outputs,).
    shape
        Outputs, inputs and the kernel's (Z), Y, X.
    """

    kind: Kind
    weights: Tensor
    bias: Tensor
    shape: tuple[int, ...]


def serves(x: Tensor) -> bool:
    """Return whether a layer of an image is computed here."""
    if not x.is_cuda or torch.is_grad_enabled() or not torch.is_autocast_enabled("cuda"):
        return False
    return torch.get_autocast_dtype("cuda") is torch.bfloat16 and kernels_of(x.device) is not None


def prepare(weight: Tensor, bias: Tensor | None) -> Prepared | None:
    """Arrange the weights of a convolution, (outputs, inputs, (kZ), kY, kX); None: no kernel can use them."""
    kind, shape = _kind(weight), tuple(weight.shape)
    if kind is None:
        return None
    offsets = weight.new_zeros(shape[0]) if bias is None else bias
    taps = weight.detach().flatten(2)
    if kind == "first":
        arranged = taps.permute(1, 2, 0).float()
    elif kind == "last":
        arranged = taps[..., 0].float()
    else:
        # Outputs: blocks, tiles, 8 columns; inputs: chunks, halves, 4 threads, pairs. A thread reads its 4 together.
        size = _outputs_of_block(shape[0])
        parts = taps.reshape(-1, size // 8, 8, shape[1] // _CHANNELS, 2, 4, 2, taps.shape[-1])
        arranged = parts.permute(0, 3, 7, 1, 2, 5, 4, 6).to(torch.bfloat16)
    return Prepared(kind, arranged.contiguous(), offsets.detach().float().contiguous(), shape)


def convolve(
    x: Tensor,
    prepared: Prepared,
    slope: float | None,
    enlarged: Tensor | None = None,
    factors: Sequence[int] = (),
    added: Tensor | None = None,
) -> Tensor:
    """Compute a size-preserving convolution and what comes right after it.

    Parameters
    ----------
    x
        (N, C, (Z), Y, X).
    slope
        What negative results are multiplied by; none: they stay as they are.
    enlarged, factors
        A second image that is enlarged by 1 or 2 along each axis and comes after the first.
    added
        (N, outputs, (Z), Y, X): is added to the result before it is rectified.

    Returns
    -------
    torch.Tensor
        (N, outputs, (Z), Y, X), bfloat16 with the channels last; of the last convolution float32 in the usual order.
    """
    kernels, outputs, shape = _kernels(x), prepared.shape[0], _volume(x)
    kz, k = _kernel_size(prepared)
    rectified = 1.0 if slope is None else slope
    n_voxels = math.prod(shape)
    if prepared.kind == "last":
        last = torch.empty((len(x), outputs, *x.shape[2:]), device=x.device)
        arguments = [_last(x), prepared.weights, prepared.bias, outputs, last, c_longlong(n_voxels)]
        _launch(kernels, x, Kernel("end"), n_blocks(n_voxels), 1, arguments)
        return last
    out = torch.empty((len(x), *x.shape[2:], outputs), dtype=torch.bfloat16, device=x.device)
    if prepared.kind == "first":
        size = (_FIRST_DEPTH if x.ndim == 5 else 1, 8, 32)
        kernel = Kernel("begin", "first.cu", (("KZ", kz), ("K", k), ("DEPTH", size[0])))
        arguments = [x.float().contiguous(), x.shape[1], prepared.weights, prepared.bias, out, *shape, rectified]
        _launch(kernels, x, kernel, _n_tiles(shape, size), 1, arguments)
    else:
        rows, together = _VOLUME_ROWS if x.ndim == 5 else _PLANE_ROWS, _outputs_of_block(outputs)
        second = None if enlarged is None else _last(enlarged)
        shifts = [int(f) - 1 for f in (1,) * (3 - len(factors)) + tuple(factors)]
        images = [_last(x), second, x.shape[1], 0 if enlarged is None else enlarged.shape[1], *shifts]
        sum_ = None if added is None else _last(added)
        arguments = [*images, prepared.weights, prepared.bias, sum_, out, *shape, rectified]
        n_tiles = _n_tiles(shape, (*rows[:2], 16 * rows[2]))
        _launch(kernels, x, _middle((kz, k), rows, together), n_tiles, outputs // together, arguments)
    return out.movedim(-1, 1)


def normalise(x: Tensor, groups: int, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    """Compute group normalisation of (N, C, (Z), Y, X); its moments are summed in float64."""
    kernels, (n, channels), n_voxels = _kernels(x), x.shape[:2], math.prod(x.shape[2:])
    image, each = _last(x), max(n_blocks(n_voxels, _PARTS), _LEAST_OF_PART)
    n_parts = n_blocks(n_voxels, each)
    sums = torch.empty((n, n_parts, channels, 2), dtype=torch.float64, device=x.device)
    factors = torch.empty((n, 2, channels), device=x.device)
    size = c_longlong(n_voxels)
    _launch(kernels, x, Kernel("sums_of_parts"), n_parts, 1, [image, channels, size, each, sums])
    affine = [weight.detach().float().contiguous(), bias.detach().float().contiguous(), eps]
    _launch(kernels, x, Kernel("factors_of_groups"), groups, 1, [sums, channels, n_parts, size, *affine, factors])
    out = torch.empty_like(image)
    blocks = min(n_blocks(n_voxels * channels // _VECTOR), _SCALING_BLOCKS)
    _launch(kernels, x, Kernel("scale"), blocks, 1, [image, factors, channels, size, out])
    return out.movedim(-1, 1)


def pool(x: Tensor, factors: Sequence[int]) -> Tensor:
    """Take the largest value of each block of (N, C, (Z), Y, X), whose size is 1 or 2 along each axis."""
    kernels, channels = _kernels(x), x.shape[1]
    size = tuple(s // f for s, f in zip(x.shape[2:], factors, strict=True))
    out = torch.empty((len(x), *size, channels), dtype=torch.bfloat16, device=x.device)
    all_factors, shape = ((1,) * (3 - len(size)) + tuple(size_) for size_ in (tuple(factors), size))
    vectors = channels // _VECTOR
    arguments = [_last(x), vectors, *all_factors, out, *shape]
    _launch(kernels, x, Kernel("pool"), n_blocks(math.prod(shape) * vectors), 1, arguments)
    return out.movedim(-1, 1)


def _kind(weight: Tensor) -> Kind | None:
    outputs, inputs, *kernel = weight.shape
    if set(kernel) - {1, 3}:
        return None
    if inputs <= _MOST_FIRST_INPUTS and outputs == _FIRST_OUTPUTS:
        return "first"
    if set(kernel) == {1} and inputs == _CHANNELS and outputs <= _MOST_LAST_OUTPUTS:
        return "last"
    return "middle" if outputs % _CHANNELS == inputs % _CHANNELS == 0 else None


def _outputs_of_block(outputs: int) -> int:
    return 32 if outputs % 32 == 0 else 16


def _kernel_size(prepared: Prepared) -> tuple[int, int]:
    """Return the size of the kernel along Z, and along Y and X."""
    kernel = prepared.shape[2:]
    return (kernel[0] if len(kernel) == 3 else 1), kernel[-1]


def _kernels(x: Tensor) -> Kernels:
    kernels = kernels_of(x.device)
    if kernels is None:
        raise RuntimeError("ask serves() first: this device has no kernels")
    return kernels


def _n_tiles(shape: Sequence[int], size: Sequence[int]) -> int:
    return math.prod(n_blocks(s, each) for s, each in zip(shape, size, strict=True))


def _volume(x: Tensor) -> tuple[int, ...]:
    return (1,) * (5 - x.ndim) + tuple(x.shape[2:])


def _last(x: Tensor) -> Tensor:
    """Return an image in bfloat16 as (N, (Z), Y, X, C), in this order in memory."""
    return x.to(torch.bfloat16).movedim(1, -1).contiguous()


@cache
def _middle(kernel: tuple[int, int], rows: tuple[int, int, int], outputs: int) -> Kernel:
    """Return the kernel for a size along Z and in the plane, for blocks of rows of 16 voxels, and for some outputs."""
    (kz, k), (z, y, x) = kernel, rows
    sizes = {"KZ": kz, "K": k, "BZ": z, "BY": y, "BX": x, "OUTPUTS": outputs, "BLOCKS": _BLOCKS[outputs]}
    # 16 channels of what it reads of the image, and of the weights.
    shared_bytes = 32 * ((z + kz - 1) * (y + k - 1) * (16 * x + k - 1) + kz * k * k * outputs)
    return Kernel("convolve", "convolution.cu", tuple(sizes.items()), shared_bytes)


def _launch(
    kernels: Kernels, x: Tensor, kernel: Kernel, n_tiles: int, n_others: int, arguments: Sequence[object]
) -> None:
    with torch.cuda.device(x.device):
        kernels.launch(kernel, (n_tiles, n_others, len(x)), arguments)
