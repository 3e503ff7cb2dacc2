"""The layers of the networks on a GPU of NVIDIA, in bfloat16, where nothing needs gradients.

cuDNN is slow where there are few channels, as at the full resolution of these networks: a convolution of 16 channels
takes 15 to 25 times what reading its input and writing its output takes. Here it is a product of matrices whose part of
the image stays in shared memory. Images are (N, C, (Z), Y, X) with the channels last in memory.
"""

import math
from collections.abc import Sequence
from ctypes import c_longlong
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from elephant.models.gpu.kernels import THREADS, Kernel, kernels_of, n_blocks

_MOST_FIRST_INPUTS, _FIRST_OUTPUTS, _MOST_LAST_OUTPUTS = 2, 16, 4
_CHANNELS = 16  # that are multiplied at a time
_VECTOR = 8  # channels that a thread reads
_PARTS, _LEAST_OF_PART = 2048, 64  # that an image is added up in, and their voxels
_SCALING_BLOCKS = 4096
_FIRST_DEPTH = 4  # voxels that a thread computes
# By the outputs of a block, how many blocks a multiprocessor has the registers for.
_BLOCKS = {16: 3, 32: 2}
_BYTES = 2 * _CHANNELS  # of a voxel, or of a weight for an output, that are multiplied at a time

Kind = Literal["first", "middle", "last"]


class Prepared(NamedTuple):
    """A convolution's weights in the order in which a kernel reads them.

    Attributes
    ----------
    kind
        Whether it is one of few inputs, of few outputs, or between.
    weights
        In float32 for the first and the last, in bfloat16 between.
    enlarging
        Of a second image that is enlarged, for each parity of a voxel's position; none where there is one image.
    bias
        float32, (outputs,).
    kernel
        Size along Z, and along Y and X.
    """

    kind: Kind
    weights: Tensor
    enlarging: Tensor | None
    bias: Tensor
    kernel: tuple[int, int]


def serves(x: Tensor) -> bool:
    """Return whether a layer of an image is computed here."""
    if not x.is_cuda or torch.is_grad_enabled() or not torch.is_autocast_enabled("cuda"):
        return False
    return torch.get_autocast_dtype("cuda") is torch.bfloat16 and kernels_of(x.device) is not None


def prepare(
    weight: Tensor, bias: Tensor | None, n_first: int | None = None, factors: Sequence[int] = ()
) -> Prepared | None:
    """Arrange the weights of a convolution, (outputs, inputs, (kZ), kY, kX); None: no kernel can use them.

    Parameters
    ----------
    n_first, factors
        Channels of the first of two images, and the factors, (Z), Y, X, by which the second is enlarged.
    """
    kind = _kind(weight, n_first, factors)
    if kind is None:
        return None
    kernel = (weight.shape[2] if weight.ndim == 5 else 1), weight.shape[-1]
    offsets = (weight.new_zeros(len(weight)) if bias is None else bias).detach().float().contiguous()
    own = weight.detach().float()
    taps = own[:, :n_first].flatten(2)
    if kind == "first":
        return Prepared(kind, taps.permute(1, 2, 0).contiguous(), None, offsets, kernel)
    if kind == "last":
        return Prepared(kind, taps[..., 0].contiguous(), None, offsets, kernel)
    enlarging = None if n_first is None else _arranged(_of_parities(own[:, n_first:], factors))
    return Prepared(kind, _arranged(taps[None]), enlarging, offsets, kernel)


def _of_parities(weight: Tensor, factors: Sequence[int]) -> Tensor:
    """Return what the weights of voxels that are the same one before the enlargement add up to.

    Parameters
    ----------
    weight
        (outputs, inputs, (kZ), kY, kX).

    Returns
    -------
    torch.Tensor
        (parities, outputs, inputs, taps), the parities of the position along the enlarged axes in C order.
    """
    volume = weight if weight.ndim == 5 else weight[:, :, None]
    # Of an even voxel the one before is another one than it and the one after, of an odd voxel likewise reversed.
    halved = torch.tensor([[[1.0, 0, 0], [0, 1, 1]], [[1, 1, 0], [0, 0, 1]]], device=weight.device)
    along_z = (
        halved if len(factors) == 3 and factors[0] == 2 else torch.eye(volume.shape[2], device=weight.device)[None]
    )
    with torch.autocast(weight.device.type, enabled=False):
        found = torch.einsum("oizyx,abz,cdy,efx->aceoibdf", volume, along_z, halved, halved)
    return found.flatten(5).flatten(0, 2)


def _arranged(weights: Tensor) -> Tensor:
    """Return weights, (parities, outputs, inputs, taps), so that a thread reads its 4 of a product together."""
    parities, outputs, inputs, taps = weights.shape
    # Outputs: blocks, tiles, 8 columns; inputs: chunks, halves, 4 threads, pairs.
    parts = weights.reshape(parities, -1, _outputs_of_block(outputs) // 8, 8, inputs // _CHANNELS, 2, 4, 2, taps)
    return parts.permute(1, 4, 0, 8, 2, 3, 6, 5, 7).to(torch.bfloat16).contiguous()


def convolve(
    x: Tensor, prepared: Prepared, slope: float | None, enlarged: Tensor | None = None, added: Tensor | None = None
) -> Tensor:
    """Compute a size-preserving convolution and what comes right after it.

    Parameters
    ----------
    x
        (N, C, (Z), Y, X).
    slope
        What negative results are multiplied by; none: they stay as they are.
    enlarged
        A second image, which comes after the first; it has the size that it has before it is enlarged.
    added
        (N, outputs, (Z), Y, X), of one image alone: is added to the result before it is rectified.

    Returns
    -------
    torch.Tensor
        (N, outputs, (Z), Y, X), bfloat16 with the channels last; of the last convolution float32 in the usual order.
    """
    outputs = len(prepared.bias)
    if prepared.kind == "last":
        last, n_voxels = torch.empty((len(x), outputs, *x.shape[2:]), device=x.device), math.prod(x.shape[2:])
        arguments = [_last(x), prepared.weights, prepared.bias, outputs, last, c_longlong(n_voxels)]
        _launch(x, Kernel("end"), n_blocks(n_voxels), 1, arguments)
        return last
    out = torch.empty((len(x), *x.shape[2:], outputs), dtype=torch.bfloat16, device=x.device)
    end = [prepared.bias, out, *_volume(x), 1.0 if slope is None else slope]
    if prepared.kind == "first":
        _convolve_first(x, prepared, end)
    elif enlarged is None:
        _convolve_middle(x, prepared, added, end)
    else:
        _convolve_joined(x, enlarged, prepared, end)
    return out.movedim(-1, 1)


def _convolve_first(x: Tensor, prepared: Prepared, end: Sequence[object]) -> None:
    (kz, k), size = prepared.kernel, (_FIRST_DEPTH if x.ndim == 5 else 1, 8, 32)
    kernel = Kernel("begin", "first.cu", (("KZ", kz), ("K", k), ("DEPTH", size[0])))
    _launch(x, kernel, _n_tiles(x, size), 1, [x.float().contiguous(), x.shape[1], prepared.weights, *end])


def _convolve_middle(x: Tensor, prepared: Prepared, added: Tensor | None, end: Sequence[object]) -> None:
    (kz, k), (z, y, n_rows) = prepared.kernel, (4, 8, 1) if x.ndim == 5 else (1, 16, 2)
    outputs = _outputs_of_block(len(prepared.bias))
    constants = {"KZ": kz, "K": k, "BZ": z, "BY": y, "BX": n_rows, "OUTPUTS": outputs, "BLOCKS": _BLOCKS[outputs]}
    n_read, n_weights = (z + kz - 1) * (y + k - 1) * (16 * n_rows + k - 1), kz * k * k * outputs
    kernel = Kernel("convolve", "convolution.cu", tuple(constants.items()), _BYTES * (n_read + n_weights))
    bias, *others = end
    arguments = [_last(x), x.shape[1], prepared.weights, bias, None if added is None else _last(added), *others]
    _launch(x, kernel, _n_tiles(x, (z, y, 16 * n_rows)), len(prepared.bias) // outputs, arguments)


def _convolve_joined(x: Tensor, enlarged: Tensor, prepared: Prepared, end: Sequence[object]) -> None:
    kz, (z, y) = prepared.kernel[0], (2, 8) if x.ndim == 5 else (1, 16)
    factor = _volume(x)[0] // _volume(enlarged)[0]
    outputs = _outputs_of_block(len(prepared.bias))
    constants = {"FZ": factor, "KZ": kz, "BZ": z, "BY": y, "OUTPUTS": outputs, "BLOCKS": _BLOCKS[outputs]}
    n_read, n_weights = (z + kz - 1) * (y + 2) * (32 + 2), kz * 9 * outputs
    depth, n_taps = (z // 2 + 2, 2) if factor == 2 else (z + kz - 1, kz)
    n_small, n_small_weights = depth * (y // 2 + 2) * (16 + 2), 4 * factor * 4 * n_taps * outputs
    shared_bytes = _BYTES * max(n_read + n_weights, n_small + n_small_weights)
    kernel = Kernel("convolve_joined", "joined.cu", tuple(constants.items()), shared_bytes)
    images = [_last(x), _last(enlarged), x.shape[1], enlarged.shape[1]]
    arguments = [*images, prepared.weights, prepared.enlarging, *end]
    _launch(x, kernel, _n_tiles(x, (z, y, 32)), len(prepared.bias) // outputs, arguments)


def normalise(x: Tensor, groups: int, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    """Compute group normalisation of (N, C, (Z), Y, X); its moments are summed in float64.

    Raises
    ------
    ValueError
        C is not a multiple of 8 that divides 2048: threads share out the channels evenly.
    """
    (n, channels), n_voxels = x.shape[:2], math.prod(x.shape[2:])
    if channels % _VECTOR or THREADS % (channels // _VECTOR):
        raise ValueError(f"expected 8, 16, 32 ... 2048 channels, got {channels}")
    image, each = _last(x), max(n_blocks(n_voxels, _PARTS), _LEAST_OF_PART)
    n_parts = n_blocks(n_voxels, each)
    sums = torch.empty((n, n_parts, channels, 2), dtype=torch.float64, device=x.device)
    factors = torch.empty((n, 2, channels), device=x.device)
    size = c_longlong(n_voxels)
    _launch(x, Kernel("sums_of_parts"), n_parts, 1, [image, channels, size, each, sums])
    affine = [weight.detach().float().contiguous(), bias.detach().float().contiguous(), eps]
    _launch(x, Kernel("factors_of_groups"), groups, 1, [sums, channels, n_parts, size, *affine, factors])
    out = torch.empty_like(image)
    blocks = min(n_blocks(n_voxels * channels // _VECTOR), _SCALING_BLOCKS)
    _launch(x, Kernel("scale"), blocks, 1, [image, factors, channels, size, out])
    return out.movedim(-1, 1)


def pool(x: Tensor, factors: Sequence[int]) -> Tensor:
    """Take the largest value of each block of (N, C, (Z), Y, X), whose size is 1 or 2 along each axis."""
    channels = x.shape[1]
    size = tuple(s // f for s, f in zip(x.shape[2:], factors, strict=True))
    out = torch.empty((len(x), *size, channels), dtype=torch.bfloat16, device=x.device)
    all_factors, shape = ((1,) * (3 - len(size)) + tuple(size_) for size_ in (tuple(factors), size))
    vectors = channels // _VECTOR
    arguments = [_last(x), vectors, *all_factors, out, *shape]
    _launch(x, Kernel("pool"), n_blocks(math.prod(shape) * vectors), 1, arguments)
    return out.movedim(-1, 1)


def _kind(weight: Tensor, n_first: int | None, factors: Sequence[int]) -> Kind | None:
    outputs, inputs, *kernel = weight.shape
    size = set(kernel)
    if n_first is None:
        if size in ({1}, {3}) and inputs <= _MOST_FIRST_INPUTS and outputs == _FIRST_OUTPUTS:
            return "first"
        if size == {1} and inputs == _CHANNELS and outputs <= _MOST_LAST_OUTPUTS:
            return "last"
    elif size != {3} or n_first % _CHANNELS or set(factors[-2:]) != {2}:
        return None
    return "middle" if size in ({1}, {3}) and outputs % _CHANNELS == inputs % _CHANNELS == 0 else None


def _outputs_of_block(outputs: int) -> int:
    return 32 if outputs % 32 == 0 else 16


def _n_tiles(x: Tensor, size: Sequence[int]) -> int:
    return math.prod(n_blocks(s, each) for s, each in zip(_volume(x), size, strict=True))


def _volume(x: Tensor) -> tuple[int, ...]:
    return (1,) * (5 - x.ndim) + tuple(x.shape[2:])


def _last(x: Tensor) -> Tensor:
    """Return an image in bfloat16 as (N, (Z), Y, X, C), in this order in memory."""
    return x.to(torch.bfloat16).movedim(1, -1).contiguous()


def _launch(x: Tensor, kernel: Kernel, n_tiles: int, n_others: int, arguments: Sequence[object]) -> None:
    """Start a kernel for each item of an image, some tiles of it, and others such as groups of outputs."""
    kernels = kernels_of(x.device)
    if kernels is None:
        raise RuntimeError("ask serves() first: this device has no kernels")
    with torch.cuda.device(x.device):
        kernels.launch(kernel, (n_tiles, n_others, len(x)), arguments)
