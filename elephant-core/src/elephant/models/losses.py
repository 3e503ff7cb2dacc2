"""What the networks are trained towards.

References
----------
Sugawara, Çevrim and Averof, eLife 2022, doi:10.7554/eLife.69380.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

CENTRE = 2
N_CLASSES = 3
SMOOTH_TAPS = (3, 5, 5)
SMOOTH_SIGMA = (1.0, 8.0, 8.0)
EPSILON = 1e-6


@dataclass(frozen=True, slots=True)
class LossParts:
    """The terms of a loss: the weighted `total` keeps its gradient, the others are plain numbers for a person."""

    total: Tensor
    parts: dict[str, Tensor]


class SmoothnessLoss(nn.Module):
    """Mean of ``|p - S(U(D(p)))|``: how far an image is from its smoothed self.

    D is a Gaussian filter of (3, 5, 5) taps, sigma (1, 8, 8), zero padding and stride 2, U nearest back to the size,
    S the filter with stride 1; in 2D the last two of each.
    """

    kernel: Tensor

    def __init__(self, n_dims: int) -> None:
        super().__init__()
        self.n_dims = n_dims
        taps = [gaussian(t, s) for t, s in zip(SMOOTH_TAPS[-n_dims:], SMOOTH_SIGMA[-n_dims:], strict=True)]
        kernel = taps[0]
        for tap in taps[1:]:
            kernel = kernel[..., None] * tap
        self.register_buffer("kernel", kernel[None, None])

    def forward(self, p: Tensor) -> Tensor:
        """Take (N, C, (Z), Y, X) and return the loss of each item, (N,)."""
        down = self._filter(p, stride=2)
        up = functional.interpolate(down, size=p.shape[2:], mode="nearest")
        return (p - self._filter(up, stride=1)).abs().flatten(1).mean(1)

    def _filter(self, x: Tensor, stride: int) -> Tensor:
        convolve = functional.conv3d if self.n_dims == 3 else functional.conv2d
        padding = [(k - 1) // 2 for k in self.kernel.shape[2:]]
        planes = x.flatten(0, 1)[:, None]
        out = convolve(planes, self.kernel.to(x.dtype), stride=stride, padding=padding)
        return out.view(*x.shape[:2], *out.shape[2:])


def gaussian(taps: int, sigma: float) -> Tensor:
    """Return a centred Gaussian window that sums to 1, (taps,)."""
    offset = torch.arange(taps, dtype=torch.float32) - (taps - 1) / 2
    window = torch.exp(-((offset / sigma) ** 2) / 2)
    return window / window.sum()


class DetectionLoss(nn.Module):
    """NLL / 7 + 5 Dice / 7 + smoothness / 7 over sparse labels.

    Labels from false annotations (4, 5, 6) weigh `false_weight` times as much per voxel as the others (1, 2, 3).
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

    def forward(self, log_prob: Tensor, labels: Tensor) -> LossParts:
        """Compare a batch with its labels.

        Parameters
        ----------
        log_prob
            Log-probabilities of background, border, centre, (N, 3, (Z), Y, X).
        labels
            Label values 0 to 6, (N, (Z), Y, X). Items without labels do not count.

        Raises
        ------
        ValueError
            No item has a label.
        """
        labelled = (labels > 0).flatten(1).any(1)
        if not bool(labelled.any()):
            raise ValueError("a batch needs at least one labelled voxel")
        # The sums of squares and weights over a whole crop need float32 also under autocast.
        log_prob, labels = log_prob[labelled].float(), labels[labelled]
        nll = torch.stack([self._nll(p, y) for p, y in zip(log_prob, labels, strict=True)]).mean()
        dice = torch.stack([self._dice(p, y) for p, y in zip(log_prob, labels, strict=True)]).mean()
        smooth = self.smoothness(log_prob[:, CENTRE : CENTRE + 1].exp()).mean()
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
        p, target = log_prob[CENTRE].exp(), labels
        if not bool((target % N_CLASSES == 0).logical_and(target > 0).any()):
            return torch.zeros_like(p[(0,) * p.ndim]) if self._last_dice is None else self._last_dice
        losses, counts = [], []
        for low in (1, 1 + N_CLASSES):
            mask = (target >= low) & (target < low + N_CLASSES)
            q = (target == low + CENTRE).to(p.dtype)
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
