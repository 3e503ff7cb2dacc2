"""How a shipped network learns: the weights that it begins with, and the gradients of random crops."""

import copy
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from benchmarks.pretraining_movies import Rng, between
from benchmarks.pretraining_samples import Sample
from elephant.config import AugmentationParams
from elephant.crops import LabelledPair, cut_crop
from elephant.device import mixed_precision
from elephant.models.losses import DetectionLoss
from elephant.models.unet import N_LEVELS, DetectionNet, FlowNet
from elephant.types import Shape

FLOW_OUTPUT = 0.05  # of the last layer of flow: its weights at first, and its learning rate
STILL = 0.5  # edges of a voxel along X: errors are judged against the motion and this


def new_network(kind: str, n_dims: int, seed: int, flat: Mapping[str, Tensor] | None = None) -> DetectionNet | FlowNet:
    """Return a network to train.

    One for flow begins with little motion, and looks at the difference of the two images with half of its first
    kernels, at their sum with the others.

    Parameters
    ----------
    flat
        Weights of the same network in 2D, to begin with: its kernels become the middle planes of those in 3D.
    """
    torch.manual_seed(seed)
    if kind == "detection":
        return DetectionNet(n_dims, 0).train()
    network = FlowNet(n_dims, 0).train()
    with torch.no_grad():
        network.out_conv.weight *= FLOW_OUTPUT
        weights = network.state_dict()
        for weight in (weights["encoder.0.conv1.weight"], weights["encoder.0.res.weight"]):
            half = len(weight) // 2
            weight[:half, 1], weight[half:, 1] = -weight[:half, 0], weight[half:, 0]
        for name, value in (flat or {}).items():
            _deepen(weights[name], value)
    return network


def _deepen(weight: Tensor, flat: Tensor) -> None:
    """Fill a weight of a network in 3D with that of one in 2D; a row for motion along Z stays as it is."""
    if weight.ndim < 5:
        weight[: len(flat)] = flat
        return
    if weight.shape[1:] == (*flat.shape[1:2], 1, 1, 1):
        weight[: len(flat), :, 0] = flat
        return
    weight.zero_()
    weight[:, :, weight.shape[2] // 2] = flat


@dataclass(frozen=True, slots=True, eq=False)
class Crop:
    """A random crop.

    Attributes
    ----------
    images
        (C, (Z), Y, X).
    labels
        Of voxels, ((Z), Y, X) or (n + 1, (Z), Y, X).
    keep_axials
        How many poolings leave Z unchanged.
    norm
        What a displacement of 1 stands for, in edges of a voxel along X, X, Y(, Z); none for detection.
    """

    images: Tensor
    labels: Tensor
    keep_axials: int
    norm: tuple[float, ...]


def cut(sample: Sample, sizes: Sequence[Shape], device: torch.device, rng: Rng) -> Crop:
    """Cut a random crop of one of the sizes, (Z), Y, X; Z is as many planes as the poolings need, at least."""
    size = sizes[int(rng.integers(len(sizes)))]
    if len(size) == 3:
        size = (max(size[0], 2 ** (N_LEVELS - sample.keep_axials)), *size[1:])
    angle = 180 if rng.uniform() < 0.7 else 0
    params = AugmentationParams(aug_scale_factor_base=0.2, aug_rotation_angle=angle)
    found = cut_crop(sample.volume, size, params, device, rng)
    if isinstance(sample.volume, LabelledPair):
        images = found.images.clamp(0, 1) * between(rng, 0.4, 1)
        edges = sample.volume.voxel_size[::-1]
        norm = tuple(value * edge / edges[0] for value, edge in zip(sample.volume.norm, edges, strict=True))
        return Crop(images, found.labels, sample.keep_axials, norm)
    return Crop(_changed(found.images, rng), found.labels, sample.keep_axials, ())


def alike(crops: Sequence[Crop], most: int) -> list[list[Crop]]:
    """Return the crops in groups that the network may compute at a time, of at most so many."""
    groups: dict[tuple[int, Shape], list[Crop]] = defaultdict(list)
    for crop in crops:
        groups[crop.keep_axials, tuple(crop.images.shape)].append(crop)
    return [group[at : at + most] for group in groups.values() for at in range(0, len(group), most)]


class Learner:
    """A network that shares the weights of another, but has gradients of its own: those of a group of crops."""

    def __init__(self, network: DetectionNet | FlowNet, n_dims: int) -> None:
        self._device = next(network.parameters()).device
        self._network = copy.deepcopy(network)
        for own, shared in zip(self._network.parameters(), network.parameters(), strict=True):
            own.data = shared.data
        self._loss = DetectionLoss(n_dims, (1, 10, 10), 10).to(self._device)

    def learn(self, crops: Sequence[Crop]) -> dict[str, float]:
        """Compute the gradients of the sum of the crops' losses; returns the sums of what there is to report."""
        images, labels = (torch.stack([getattr(crop, name) for crop in crops]) for name in ("images", "labels"))
        self._network.n_keep_axials = crops[0].keep_axials
        self._network.zero_grad(set_to_none=True)
        with mixed_precision(self._device, trains=True):
            output = self._network(images)
        if isinstance(self._network, FlowNet):
            errors, motions = errors_of_flow(output, labels, torch.tensor([crop.norm for crop in crops]))
            loss = (errors / (motions + STILL)).sum()
            values = {"loss": loss, "error": errors.sum(), "motion": motions.sum()}
        else:
            loss = self._loss(output, labels, images).total * len(crops)
            values = {"loss": loss}
        torch.autograd.backward(loss)
        return {name: float(value.detach()) for name, value in values.items()}

    def gradients(self) -> list[Tensor]:
        """Return the gradient of each parameter."""
        return [parameter.grad for parameter in self._network.parameters() if parameter.grad is not None]


def errors_of_flow(flow: Tensor, labels: Tensor, norms: Tensor) -> tuple[Tensor, Tensor]:
    """Return how far the flow of each crop is from its labels, and how far the labels are from 0, both (N,).

    Both are the mean over the labelled voxels of the sum over the axes, in the unit of the norms.

    Parameters
    ----------
    flow
        The network's output, (N, n, (Z), Y, X), channels X, Y(, Z).
    labels
        Displacements divided by the norm, then a weight, (N, n + 1, (Z), Y, X).
    norms
        Of each crop, (N, n), X, Y(, Z).
    """
    norms = norms.to(flow.device, torch.float32).view(*norms.shape, *[1] * (flow.ndim - 2))
    weights = (labels[:, -1:] > 0).float()
    count = weights.flatten(1).sum(1).clamp(min=1)
    away = (flow.float() - labels[:, :-1]).abs() * norms * weights
    moved = labels[:, :-1].abs() * norms * weights
    return away.flatten(1).sum(1) / count, moved.flatten(1).sum(1) / count


def _changed(images: Tensor, rng: Rng) -> Tensor:
    """Change the gamma, the brightness (as if there were something brighter elsewhere), the offset and the noise."""
    images = images.clamp(0, 1)
    if rng.uniform() < 0.7:
        images = images ** float(np.exp(0.35 * rng.normal()))
    if rng.uniform() < 0.5:
        images = images * between(rng, 0.25, 1)
    if rng.uniform() < 0.3:
        images = images + float(rng.uniform(0, 0.2)) * (1 - images.max())
    if rng.uniform() < 0.3:
        width = between(rng, 0.003, 0.06) * float(images.max())
        images = images + torch.from_numpy(rng.normal(scale=width, size=images.shape)).to(images)
    return images.clamp(0, 1)
