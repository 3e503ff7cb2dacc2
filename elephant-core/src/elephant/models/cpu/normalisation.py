"""Group normalisation on a CPU of images with the channels last.

PyTorch's own adds up the values and the squares of a whole image in float32, one after another: of some million voxels
it is off by tenths of a percent, and where a channel varies little about a large mean, by far more. Its gradient takes
several times as long as this one.

References
----------
Wu and He, ECCV 2018, doi:10.1007/978-3-030-01261-8_1; Chan, Golub and LeVeque, 1979, for moments from those of blocks.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from elephant.models.cpu.convolution import channel_sums, channels_last

# Voxels whose moments are taken together; below 1024, PyTorch takes a slower way.
_BLOCK = 1024
_PIECE = 1 << 20  # values: what is computed from them stays in the cache
# With a larger mean, in standard deviations, the difference of the squares has lost too many digits.
_LARGEST_MEAN = 3.0
_NOTHING = 1e-30  # added to variances, in place of an epsilon


class Moments(NamedTuple):
    """Mean and inverse standard deviation of each channel's group, each (C,), float32.

    Attributes
    ----------
    mean
        Mean over the voxels and channels of a group.
    inverse
        1 over the standard deviation.
    """

    mean: Tensor
    inverse: Tensor


def normalise(x: Tensor, n_groups: int, weight: Tensor, bias: Tensor, epsilon: float) -> Tensor:
    """Normalise groups of channels to mean 0 and variance 1, then scale and shift each channel.

    Moments are computed in float32 from values of any type. Without gradients it computes in place: `x` is a result of
    a convolution that nothing else uses.

    Parameters
    ----------
    x
        (N, C, (Z), Y, X).
    n_groups
        Number of groups of channels.
    weight, bias
        Scale and offset of each channel, (C,), float32.
    epsilon
        Added to the variance.

    Returns
    -------
    torch.Tensor
        (N, C, (Z), Y, X), channels last, of the type of `x`.
    """
    if torch.is_grad_enabled():
        out: Tensor = _Normalisation.apply(x, n_groups, weight, bias, epsilon)  # type: ignore[no-untyped-call]
        return out
    x = channels_last(x)
    for voxels in _items(x):
        mean, inverse = _moments(voxels, n_groups, epsilon)
        scale = weight * inverse
        offset = bias - mean * scale
        for piece in torch.split(voxels, _piece(voxels)):
            piece.copy_(_affine(piece, scale, offset))
    return x


class _Normalisation(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, n_groups: int, weight: Tensor, bias: Tensor, epsilon: float) -> Tensor:
        x = channels_last(x)
        moments = [_moments(voxels, n_groups, epsilon) for voxels in _items(x)]
        ctx.save_for_backward(x, weight, *(tensor for found in moments for tensor in found))
        ctx.n_groups = n_groups
        out = []
        for item, (mean, inverse) in zip(torch.split(x, 1), moments, strict=True):
            scale = weight * inverse
            out.append(_affine(item, scale, bias - mean * scale))
        return _batch(out)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, *flat = ctx.saved_tensors
        to_weight, to_bias = torch.zeros_like(weight), torch.zeros_like(weight)
        to_x = []
        for i, (item, above) in enumerate(zip(torch.split(x, 1), torch.split(channels_last(grad), 1), strict=True)):
            moments = Moments(*flat[2 * i : 2 * i + 2])
            normalised = _affine(item, moments.inverse, -moments.mean * moments.inverse)
            sums = channel_sums(normalised.mul_(above)).float(), channel_sums(above).float()
            to_weight += sums[0]
            to_bias += sums[1]
            to_x.append(_to_input(item, above, moments, weight, sums, ctx.n_groups))
        return _batch(to_x), None, to_weight, to_bias, None


def _items(x: Tensor) -> list[Tensor]:
    """Return the voxels of each item, (voxels, C), as views."""
    return list(x.movedim(1, -1).view(len(x), -1, x.shape[1]))


def _piece(voxels: Tensor) -> int:
    """Return how many voxels of (voxels, C) a piece has."""
    return max(_PIECE // voxels.shape[1], 1)


def _batch(items: list[Tensor]) -> Tensor:
    """Put items, each (1, C, (Z), Y, X), together."""
    return items[0] if len(items) == 1 else channels_last(torch.cat(items))


def _affine(x: Tensor, scale: Tensor, offset: Tensor) -> Tensor:
    """Return x * scale + offset in one pass: an evaluation of batch normalisation, with moments of 0 and 1, is that."""
    zeros, ones = torch.zeros_like(scale), torch.ones_like(scale)
    return functional.batch_norm(x, zeros, ones, scale, offset, training=False, eps=0.0)


def _moments(voxels: Tensor, n_groups: int, epsilon: float) -> Moments:
    """Return the moments of (voxels, C)."""
    n_channels = voxels.shape[1] // n_groups
    n_blocks = max(len(voxels) // _BLOCK, 1)
    size = len(voxels) // n_blocks
    even, rest = torch.split(voxels, n_blocks * size) if len(voxels) % n_blocks else (voxels, None)
    pieces = torch.split(even, size * max(_piece(voxels) // size, 1))
    parts = [(part, min(size, len(part))) for part in (*pieces, rest) if part is not None]
    means, variances = zip(*(_of_blocks(part, length) for part, length in parts), strict=True)
    counts = torch.cat([torch.full((len(m), 1, 1), n) for m, (_, n) in zip(means, parts, strict=True)]).double()
    mean, variance = (torch.cat(each).double().view(-1, n_groups, n_channels) for each in (means, variances))
    n_values = len(voxels) * n_channels
    whole = (mean * counts).sum((0, 2)) / n_values
    spread = ((variance + (mean - whole[:, None]).square()) * counts).sum((0, 2)) / n_values
    if bool((whole.square() > _LARGEST_MEAN**2 * spread).any()):
        whole, spread = _about(voxels, whole, n_channels)
    return Moments(*(v.float().repeat_interleave(n_channels) for v in (whole, torch.rsqrt(spread + epsilon))))


def _of_blocks(voxels: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Return mean and variance of each channel in blocks of `size` of (voxels, C), each (blocks, C), float32.

    PyTorch's group normalisation of a channel a group finds them in one pass; what it returns besides is not used.
    """
    n_channels = voxels.shape[1]
    blocks = voxels.view(-1, size, 1, n_channels).permute(0, 3, 1, 2)
    one = torch.ones(n_channels)  # float32, which makes the moments float32
    _, mean, inverse = torch.native_group_norm(blocks, one, one, len(blocks), n_channels, size, n_channels, _NOTHING)
    return mean, inverse.pow(-2)


def _about(voxels: Tensor, mean: Tensor, n_channels: int) -> tuple[Tensor, Tensor]:
    """Return mean and variance of each group from the differences to nearly its mean, (groups,), float64."""
    near = mean.float().repeat_interleave(n_channels)
    sums = torch.zeros(2, len(near), dtype=torch.float64)
    for piece in torch.split(voxels, _piece(voxels)):
        apart = piece - near
        sums += torch.stack([apart.sum(0), apart.square().sum(0)])
    first, second = sums.view(2, len(mean), n_channels).sum(2) / (len(voxels) * n_channels)
    near = near[::n_channels].double()
    return near + first, second - first.square()


def _to_input(
    x: Tensor, grad: Tensor, moments: Moments, weight: Tensor, sums: tuple[Tensor, Tensor], n_groups: int
) -> Tensor:
    """Return the gradient with respect to the input from the sums of that of the scale and of the offset."""
    n_channels = x.shape[1] // n_groups
    n_values = x[0].numel() // n_groups
    scaled, plain = (
        (weight * s).view(n_groups, n_channels).sum(1).repeat_interleave(n_channels) / n_values for s in sums
    )
    by_value = -moments.inverse.square() * scaled
    constant = -moments.inverse * plain - by_value * moments.mean
    by_grad = weight * moments.inverse
    return _affine(x, by_value, constant).add_(_affine(grad, by_grad, torch.zeros_like(by_grad)))
