"""The layers of the networks, computed in whichever way is fast where they run.

On a CPU that is oneDNN with the channels last; elsewhere it is what PyTorch does. Names and shapes of the weights are
those of PyTorch's layers. ReLU and group normalisation are computed in one step, in pieces that stay in the CPU's
cache: PyTorch's own group normalisation takes ten times as long where the channels of a voxel lie beside each other.

References
----------
Wu and He, ECCV 2018, doi:10.1007/978-3-030-01261-8_1, for the normalisation; Chan, Golub and LeVeque, 1979, for
variances from those of pieces.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from elephant.models.cpu import convolution
from elephant.models.cpu.convolution import channels_last

_PIECE = 1 << 17  # values: half a megabyte


class Moments(NamedTuple):
    """Mean and inverse standard deviation of each channel's group, each (C,).

    Attributes
    ----------
    mean
        Mean over the voxels and channels of a group.
    inverse
        1 over the standard deviation.
    """

    mean: Tensor
    inverse: Tensor


def rectify_and_normalise(x: Tensor, n_groups: int, weight: Tensor, bias: Tensor, epsilon: float) -> Tensor:
    """Set negative values to 0 and normalise groups of channels.

    Without gradients it computes in place: `x` is the output of a convolution, which is not used again.

    Parameters
    ----------
    x
        (N, C, (Z), Y, X).
    n_groups
        Number of groups of channels.
    weight, bias
        Scale and offset of each channel, (C,).
    epsilon
        Added to the variance.

    Returns
    -------
    torch.Tensor
        (N, C, (Z), Y, X), channels last.
    """
    if torch.is_grad_enabled():
        out: Tensor = _RectifyAndNormalise.apply(x, n_groups, weight, bias, epsilon)  # type: ignore[no-untyped-call]
        return out
    x = channels_last(x)
    for rows in _items(x):
        moments = _rectify(rows, n_groups, epsilon, rows)
        _scale(rows, moments, weight, bias, rows)
    return x


def _items(x: Tensor) -> list[Tensor]:
    """Return the voxels of each item, (voxels, C), as views."""
    return list(x.movedim(1, -1).view(len(x), -1, x.shape[1]))


def _pieces(*rows: Tensor) -> Iterator[tuple[Tensor, ...]]:
    step = max(_PIECE // rows[0].shape[1], 1)
    return zip(*(torch.split(r, step) for r in rows), strict=True)


def _rectify(rows: Tensor, n_groups: int, epsilon: float, out: Tensor) -> Moments:
    """Write the values with negative ones set to 0, and return the moments of the result."""
    counts, means, spreads = [], [], []
    for piece, target in _pieces(rows, out):
        torch.clamp(piece, min=0, out=target)
        mean = target.mean(0)
        counts.append(len(target))
        means.append(mean)
        spreads.append((target - mean).square_().sum(0))
    n_channels = rows.shape[1] // n_groups
    count = torch.tensor(counts, dtype=torch.float64)[:, None, None]
    mean = torch.stack(means).double().view(len(counts), n_groups, n_channels)
    whole = (mean * count).sum((0, 2)) / (len(rows) * n_channels)
    apart = (mean - whole[:, None]).square() * count
    spread = torch.stack(spreads).double().view_as(mean) + apart
    variance = spread.sum((0, 2)) / (len(rows) * n_channels)
    inverse = torch.rsqrt(variance + epsilon)
    return Moments(*(v.float().repeat_interleave(n_channels) for v in (whole, inverse)))


def _scale(rows: Tensor, moments: Moments, weight: Tensor, bias: Tensor, out: Tensor) -> None:
    factor = weight * moments.inverse
    offset = bias - moments.mean * factor
    for piece, target in _pieces(rows, out):
        torch.addcmul(offset, piece, factor, out=target)


class _RectifyAndNormalise(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, n_groups: int, weight: Tensor, bias: Tensor, epsilon: float) -> Tensor:
        x = channels_last(x)
        kept, out = torch.empty_like(x), torch.empty_like(x)
        moments = []
        for rows, rectified, target in zip(_items(x), _items(kept), _items(out), strict=True):
            moments.append(_rectify(rows, n_groups, epsilon, rectified))
            _scale(rectified, moments[-1], weight, bias, target)
        ctx.save_for_backward(kept, weight, *(tensor for found in moments for tensor in found))
        ctx.n_groups = n_groups
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        kept, weight, *flat = ctx.saved_tensors
        grad = channels_last(grad)
        to_x = torch.empty_like(kept)
        to_weight, to_bias = torch.zeros_like(weight), torch.zeros_like(weight)
        for i, (rows, above, below) in enumerate(zip(_items(kept), _items(grad), _items(to_x), strict=True)):
            moments = Moments(*flat[2 * i : 2 * i + 2])
            to_scaled, to_offset = _sums(rows, above, moments)
            to_weight += to_scaled
            to_bias += to_offset
            _to_input(rows, above, below, moments, weight, (to_scaled, to_offset), ctx.n_groups)
        return to_x, None, to_weight, to_bias, None


def _sums(rows: Tensor, grad: Tensor, moments: Moments) -> tuple[Tensor, Tensor]:
    """Return the sums of the gradient times the normalised values, and of the gradient, each (C,)."""
    scaled, plain = [], []
    for piece, above in _pieces(rows, grad):
        plain.append(above.sum(0))
        scaled.append(((piece - moments.mean) * above).sum(0))
    return torch.stack(scaled).sum(0) * moments.inverse, torch.stack(plain).sum(0)


def _to_input(
    rows: Tensor,
    grad: Tensor,
    out: Tensor,
    moments: Moments,
    weight: Tensor,
    sums: tuple[Tensor, Tensor],
    n_groups: int,
) -> None:
    """Write the gradient with respect to the input."""
    n_channels = rows.shape[1] // n_groups
    scaled, plain = (
        (weight * s).view(n_groups, n_channels).sum(1).repeat_interleave(n_channels) / (len(rows) * n_channels)
        for s in sums
    )
    by_grad = weight * moments.inverse
    by_value = -moments.inverse.square() * scaled
    constant = -moments.inverse * plain - by_value * moments.mean
    for piece, above, target in _pieces(rows, grad, out):
        torch.addcmul(constant, piece, by_value, out=target)
        target.addcmul_(above, by_grad)
        torch.ops.aten.threshold_backward.grad_input(target, piece, 0, grad_input=target)


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


class Convolution3d(nn.Conv3d):
    """A size-preserving convolution of one image, or of two that are joined."""

    def forward(self, x: Tensor, joined: Joined | None = None) -> Tensor:
        """Map (N, inputs, Z, Y, X), concatenated after `joined`, to (N, outputs, Z, Y, X)."""
        if convolution.serves(x):
            return _convolve(x, self.weight, self.bias, joined)
        out: Tensor = super().forward(_put_together(x, joined))
        return out


class Convolution2d(nn.Conv2d):
    """A size-preserving convolution in 2D of one image, or of two that are joined."""

    def forward(self, x: Tensor, joined: Joined | None = None) -> Tensor:
        """Map (N, inputs, Y, X), concatenated after `joined`, to (N, outputs, Y, X)."""
        if convolution.serves(x):
            return _convolve(x, self.weight, self.bias, joined)
        out: Tensor = super().forward(_put_together(x, joined))
        return out


class RectifyingNorm(nn.GroupNorm):
    """ReLU followed by group normalisation of a convolution's output, which may be overwritten."""

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
    """Compute a convolution with kernels of 1 and few outputs as a matrix product."""
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
