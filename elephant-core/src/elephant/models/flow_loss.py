"""What the flow network is trained towards.

References
----------
Sugawara, Çevrim and Averof, eLife 2022, doi:10.7554/eLife.69380.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from elephant.images.sampling import sample_at, voxel_positions
from elephant.models.losses import LossParts, SmoothnessLoss, gaussian

SSIM_TAPS = (3, 7, 7)
SSIM_SIGMA = 1.5
C1, C2 = 0.01**2, 0.03**2
IMAGE_WEIGHT = 0.01


class FlowLoss(nn.Module):
    """(Instance + 0.01 SSIM + 0.01 smoothness) / 1.02 over sparse labels and two images.

    Parameters
    ----------
    dim_weights
        What the errors along X, Y(, Z) weigh, n values of at least 0; only their ratios count. All 0: equally.
    norm
        Voxels of the images of the batch that an output of 1 stands for, X, Y(, Z).
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
        """Compare a batch with its labels, and with what its images say by themselves.

        Parameters
        ----------
        flow
            The network's output, (N, n, (Z), Y, X), channels X, Y(, Z).
        labels
            Displacements over the norm, then a weight, (N, n + 1, (Z), Y, X); what has weight 0 does not count.
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
        """Move the later image to where the flow says that it was: w(v) = image(v - d(v)), 0 from outside."""
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
        self.n_dims = n_dims
        self.taps = SSIM_TAPS[-n_dims:]

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Compare (N, 1, (Z), Y, X) with intensities in 0..1; returns the similarity at each voxel, 1 at best."""
        mean_a, mean_b = self._blur(a), self._blur(b)
        variance_a = self._blur(a * a) - mean_a**2
        variance_b = self._blur(b * b) - mean_b**2
        covariance = self._blur(a * b) - mean_a * mean_b
        likeness = (2 * mean_a * mean_b + C1) * (2 * covariance + C2)
        return likeness / ((mean_a**2 + mean_b**2 + C1) * (variance_a + variance_b + C2))

    def _blur(self, x: Tensor) -> Tensor:
        """Blur axis by axis, which is the same as at once and quicker; outside is 0."""
        convolve = functional.conv3d if self.n_dims == 3 else functional.conv2d
        for axis, taps in enumerate(self.taps):
            shape = [taps if a == axis else 1 for a in range(self.n_dims)]
            window = gaussian(taps, SSIM_SIGMA).to(x).view(1, 1, *shape)
            x = convolve(x, window, padding=[s // 2 for s in shape])
        return x
