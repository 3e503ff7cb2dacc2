"""Keeping what a model knew before a training, where nothing is annotated.

A pretrained model finds most nuclei before the first annotation. A few annotations say nothing of all the others, and a
training on them alone may lose some of those. So there the model also learns from what it said before.

References
----------
Li and Hoiem, IEEE TPAMI 2018, doi:10.1109/TPAMI.2017.2773081: learning without forgetting.
"""

import copy
from typing import cast

import torch
from torch import Tensor, nn

from elephant.device import mixed_precision
from elephant.models.losses import LossParts

UNLABELLED = 0


class DistillationLoss(nn.Module):
    """A loss over labels, and the divergence from the model as it is now over the voxels without a label.

    The divergence is the mean of KL(before || now) between the probabilities of the classes.

    Parameters
    ----------
    loss
        Takes log-probabilities, labels and images.
    model
        It is copied.
    weight
        Of the divergence.
    """

    def __init__(self, loss: nn.Module, model: nn.Module, weight: float) -> None:
        super().__init__()
        self._loss = loss
        self._before = copy.deepcopy(model).eval().requires_grad_(False)
        self._weight = weight

    def forward(self, log_prob: Tensor, labels: Tensor, images: Tensor) -> LossParts:
        """Compare a batch with its labels, and with what the model said before.

        Parameters
        ----------
        log_prob
            Log-probabilities of background, border, centre, (N, 3, (Z), Y, X).
        labels
            Label values 0 to 6, (N, (Z), Y, X).
        images
            What the network saw, (N, 1, (Z), Y, X).
        """
        found = cast("LossParts", self._loss(log_prob, labels, images))
        with torch.no_grad(), mixed_precision(images.device, trains=True):
            before = self._before(images).float()
        divergence = (before.exp() * (before - log_prob.float())).sum(1)
        unlabelled = labels == UNLABELLED
        known = (divergence * unlabelled).sum() / unlabelled.sum().clamp(min=1)
        return LossParts(found.total + self._weight * known, {**found.parts, "known": known.detach()})
