"""The losses of the networks."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from elephant.images import sample_at, voxel_positions
from elephant.types import N_CLASSES, Label

CENTRE_CHANNEL = Label.CENTRE.channel
SMOOTH_TAPS = (3, 5, 5)
SMOOTH_SIGMA = (1.0, 8.0, 8.0)
EPSILON = 1e-6


@dataclass(frozen=True, slots=True)
class LossParts:
    """The terms of a loss: the weighted `total` keeps its gradient, the others are for display."""

    total: Tensor
    parts: dict[str, Tensor]


class SmoothnessLoss(nn.Module):
    """Mean of ``|p - S(U(D(p)))|``: how far an image is from its smoothed self.

    D is a Gaussian filter of (3, 5, 5) taps, sigma (1, 8, 8), zero padding and stride 2, U nearest back to the size,
    S the filter with stride 1; in 2D the last two of each.
    """

    def __init__(self, n_dims: int) -> None:
        super().__init__()
        self.n_dims = n_dims
        shapes = zip(SMOOTH_TAPS[-n_dims:], SMOOTH_SIGMA[-n_dims:], strict=True)
        self.blur = Blur([gaussian(taps, sigma) for taps, sigma in shapes])

    def forward(self, p: Tensor) -> Tensor:
        """Take (N, C, (Z), Y, X) and return the loss of each item, (N,)."""
        planes = p.flatten(0, 1)[:, None]
        down = self.blur(planes)[(..., *[slice(None, None, 2)] * self.n_dims)]
        up = functional.interpolate(down, size=p.shape[2:], mode="nearest")
        away: Tensor = planes - self.blur(up)
        return away.abs().view(len(p), -1).mean(1)


def gaussian(taps: int, sigma: float) -> Tensor:
    """Return a centred Gaussian window that sums to 1, (taps,)."""
    offset = torch.arange(taps, dtype=torch.float32) - (taps - 1) / 2
    window = torch.exp(-((offset / sigma) ** 2) / 2)
    return window / window.sum()


class Blur(nn.Module):
    """Convolves images (N, 1, (Z), Y, X) axis by axis with a symmetric window of odd length; outside is 0."""

    def __init__(self, windows: Sequence[Tensor]) -> None:
        super().__init__()
        for axis, window in enumerate(windows):
            shape = [len(window) if a == axis else 1 for a in range(len(windows))]
            self.register_buffer(f"window_{axis}", window.view(1, 1, *shape))

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, 1, (Z), Y, X) to the same shape."""
        blurred: Tensor = _Symmetric.apply(x, list(self.buffers()))  # type: ignore[no-untyped-call]
        return blurred


class _Symmetric(torch.autograd.Function):
    """Convolutions with symmetric kernels: the gradient is the same, and PyTorch's own takes ten times as long."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, kernels: Sequence[Tensor]) -> Tensor:
        ctx.kernels = kernels
        return _convolve(x, kernels)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return _convolve(grad, ctx.kernels), None


def _convolve(x: Tensor, kernels: Sequence[Tensor]) -> Tensor:
    convolve = functional.conv3d if x.ndim == 5 else functional.conv2d
    for kernel in kernels:
        x = convolve(x, kernel.to(x.dtype), padding=[s // 2 for s in kernel.shape[2:]])
    return x


class DetectionLoss(nn.Module):
    """NLL / 7 + 5 Dice / 7 + smoothness / 7 over sparse labels.

    Labels of false annotations (4, 5, 6) weigh `false_weight` times as much per voxel as the others (1, 2, 3).
    The Dice term of an item without centre labels is that of the last item that had some, of this step or an earlier
    one, without gradient.

    Parameters
    ----------
    n_dims
        3 or 2.
    class_weights
        Weights of background, border and centre in the NLL.
    false_weight
        Weight of a false annotation.
    """

    class_weights: Tensor

    def __init__(self, n_dims: int, class_weights: Sequence[float], false_weight: float) -> None:
        super().__init__()
        self.false_weight = false_weight
        self.smoothness = SmoothnessLoss(n_dims)
        self.register_buffer("class_weights", torch.tensor(class_weights, dtype=torch.float32))
        self._last_dice: Tensor | None = None

    def forward(self, log_prob: Tensor, labels: Tensor, images: Tensor | None = None) -> LossParts:
        """Compare a batch with its labels.

        Parameters
        ----------
        log_prob
            Log-probabilities of background, border, centre, (N, 3, (Z), Y, X).
        labels
            Label values 0 to 6, (N, (Z), Y, X). Items without labels are ignored.
        images
            Not looked at: those of flow are.

        Raises
        ------
        ValueError
            No item has a label.
        """
        del images
        labelled = (labels > 0).flatten(1).any(1)
        if not bool(labelled.any()):
            raise ValueError("a batch needs at least one labelled voxel")
        # The sums of squares and weights over a whole crop need float32 also under autocast.
        log_prob, labels = log_prob[labelled].float(), labels[labelled]
        nll = torch.stack([self._nll(p, y) for p, y in zip(log_prob, labels, strict=True)]).mean()
        dice = torch.stack([self._dice(p, y) for p, y in zip(log_prob, labels, strict=True)]).mean()
        smooth = self.smoothness(log_prob[:, CENTRE_CHANNEL, None].exp()).mean()
        parts = {"nll": nll.detach(), "center": dice.detach(), "smooth": smooth.detach()}
        return LossParts((nll + 5 * dice + smooth) / 7, parts)

    def _nll(self, log_prob: Tensor, labels: Tensor) -> Tensor:
        flat, target = log_prob.flatten(1), labels.flatten().long()
        losses, counts = [], []
        for chosen in (target.clamp(max=N_CLASSES + 1) % (N_CLASSES + 1), (target - N_CLASSES).clamp(min=0)):
            # `chosen` holds 1, 2, 3 on the set's voxels and 0 elsewhere: the light labels, then the heavy ones.
            weight = torch.cat([self.class_weights.new_zeros(1), self.class_weights])[chosen]
            picked = flat.gather(0, (chosen - 1).clamp(min=0)[None])[0]
            losses.append(-(weight * picked).sum() / weight.sum().clamp(min=EPSILON))
            counts.append((chosen > 0).sum())
        return self._balanced(losses, counts)

    def _dice(self, log_prob: Tensor, labels: Tensor) -> Tensor:
        p, target = log_prob[CENTRE_CHANNEL].exp(), labels
        if not bool((target % N_CLASSES == 0).logical_and(target > 0).any()):
            return torch.zeros_like(p[(0,) * p.ndim]) if self._last_dice is None else self._last_dice
        losses, counts = [], []
        for low in (Label.BACKGROUND, Label.FALSE_BACKGROUND):
            mask = (target >= low) & (target < low + N_CLASSES)
            q = (target == low + CENTRE_CHANNEL).to(p.dtype)
            inside = p * mask
            overlap = 2 * (inside * q).sum()
            losses.append(1 - overlap / ((inside**2).sum() + q.sum()).clamp(min=EPSILON))
            counts.append(mask.sum())
        dice = self._balanced(losses, counts)
        self._last_dice = dice.detach()
        return dice

    def _balanced(self, losses: list[Tensor], counts: list[Tensor]) -> Tensor:
        light, heavy = counts[0], counts[1] * self.false_weight
        return (light * losses[0] + heavy * losses[1]) / (light + heavy).clamp(min=EPSILON)


SSIM_TAPS = (3, 7, 7)
SSIM_SIGMA = 1.5
C1, C2 = 0.01**2, 0.03**2
IMAGE_WEIGHT = 0.01


class FlowLoss(nn.Module):
    """(Instance + 0.01 SSIM + 0.01 smoothness) / 1.02 over sparse labels and two images.

    Parameters
    ----------
    dim_weights
        Weights of the errors along X, Y(, Z), n values of at least 0; only their ratios matter. All 0: equal.
    norm
        The displacement that an output of 1 stands for, in voxels of the batch's images, X, Y(, Z).
    """

    dim_weights: Tensor
    norm: Tensor

    def __init__(self, dim_weights: Sequence[float], norm: Sequence[float]) -> None:
        super().__init__()
        weights = torch.tensor(dim_weights, dtype=torch.float64)
        if not bool(weights.any()):
            weights = torch.ones_like(weights)
        self.register_buffer("dim_weights", (weights / weights.sum()).float())
        self.register_buffer("norm", torch.tensor(norm, dtype=torch.float32))
        self.similarity = StructuralSimilarity(len(norm))
        self.smoothness = SmoothnessLoss(len(norm))

    def forward(self, flow: Tensor, labels: Tensor, images: Tensor) -> LossParts:
        """Compare a batch with its labels and its images.

        Parameters
        ----------
        flow
            The network's output, (N, n, (Z), Y, X), channels X, Y(, Z).
        labels
            Displacements divided by the norm, then a weight, (N, n + 1, (Z), Y, X); voxels of weight 0 are ignored.
        images
            The earlier and the later timepoint, (N, 2, (Z), Y, X).

        Raises
        ------
        ValueError
            No voxel has a weight.
        """
        # Sums over a whole crop need float32 also under autocast.
        flow = flow.float()
        instance = self._instance(flow, labels)
        ssim = 1 - self.similarity(images[:, :1], self._warped(images[:, 1:], flow)).mean()
        smooth = self.smoothness(flow).mean()
        parts = {"instance": instance.detach(), "ssim": ssim.detach(), "smooth": smooth.detach()}
        total = (instance + IMAGE_WEIGHT * ssim + IMAGE_WEIGHT * smooth) / (1 + 2 * IMAGE_WEIGHT)
        return LossParts(total, parts)

    def _instance(self, flow: Tensor, labels: Tensor) -> Tensor:
        labelled = labels[:, -1] > 0
        if not bool(labelled.any()):
            raise ValueError("a batch needs at least one labelled voxel")
        error = (flow - labels[:, :-1]).abs().movedim(1, -1)[labelled]
        return (error.mean(0) * self.dim_weights).sum()

    def _warped(self, later: Tensor, flow: Tensor) -> Tensor:
        """Warp the later image by the flow, w(v) = image(v - d(v)), with 0 outside of the image."""
        at = voxel_positions(tuple(flow.shape[2:]), flow.dtype, flow.device)
        displacement = flow.movedim(1, -1) * self.norm
        return sample_at(later, at - displacement.flip(-1), "bilinear", "zeros")


class StructuralSimilarity(nn.Module):
    """SSIM with a Gaussian window of (3, 7, 7) taps, sigma 1.5; in 2D the last two of its axes.

    References
    ----------
    Wang et al., IEEE Transactions on Image Processing 2004, doi:10.1109/TIP.2003.819861.
    """

    def __init__(self, n_dims: int) -> None:
        super().__init__()
        self.blur = Blur([gaussian(taps, SSIM_SIGMA) for taps in SSIM_TAPS[-n_dims:]])

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Compare (N, 1, (Z), Y, X) with intensities in 0..1; returns the similarity at each voxel, 1 at best."""
        mean_a, mean_b = self.blur(a), self.blur(b)
        variance_a = self.blur(a * a) - mean_a**2
        variance_b = self.blur(b * b) - mean_b**2
        covariance = self.blur(a * b) - mean_a * mean_b
        likeness = (2 * mean_a * mean_b + C1) * (2 * covariance + C2)
        similarity: Tensor = likeness / ((mean_a**2 + mean_b**2 + C1) * (variance_a + variance_b + C2))
        return similarity
