"""Flow: a network that is trained on links between timepoints, and how one begins."""

import logging
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from typing_extensions import override

from elephant.config import FlowStart, FlowTrainingParams, kept_poolings
from elephant.crops import LabelledPair
from elephant.crops.sample import anchors_of
from elephant.dataset import Dataset
from elephant.geometry import Ellipsoid, block_of
from elephant.images import prepare, rescale_labels
from elephant.methods.annotations import check_links, update_flow_labels
from elephant.methods.base import Method
from elephant.methods.compatibility import of_flow
from elephant.methods.starting import ModelStart, Untrained
from elephant.methods.work import seen_per_stored, seen_voxel_size
from elephant.models.ensemble import Ensemble
from elephant.models.pretrained import FLOW_FILES
from elephant.models.provenance import ProvenanceEntry
from elephant.models.trained_with import TrainedWith
from elephant.models.unet import FlowNet
from elephant.progress import CancelToken, ProgressReporter
from elephant.training.networks import FlowTrainer
from elephant.types import FloatArray, Link, Shape

logger = logging.getLogger(__name__)


class FlowMethod(Method[Link, FlowTrainingParams, LabelledPair]):
    """Where nuclei were, from sparse links between timepoints; SCIENCE.md's flow."""

    annotated = "links"
    network = FlowNet
    nothing_to_train = "nothing to train: none of the links has a spot in the image; link some nuclei first"

    @override
    def check(self, dataset: Dataset, annotations: Sequence[Link]) -> Mapping[int, Sequence[Link]]:
        return check_links(dataset, annotations)

    @override
    def labels_any(self, dataset: Dataset, annotations: Sequence[Link], params: FlowTrainingParams) -> bool:
        edges = params.displacement.voxel_size.last(dataset.n_dims)
        ellipsoids = Ellipsoid.from_spots(annotations, dataset.n_dims)
        return any(not block_of(ellipsoid, edges, dataset.shape).is_empty for ellipsoid in ellipsoids)

    @override
    def update_labels(
        self,
        dataset: Dataset,
        annotations: Sequence[Link],
        params: FlowTrainingParams,
        reporter: ProgressReporter,
        cancel: CancelToken,
    ) -> None:
        update_flow_labels(dataset, annotations, params.displacement, reporter, cancel)

    @override
    def is_labelled(self, dataset: Dataset, t: int) -> bool:
        return bool(dataset.read_flow_labels(t)[-1].any())

    @override
    def positions(self, annotations: Sequence[Link]) -> FloatArray:
        return np.array([link.pos for link in annotations]).reshape(-1, 3)

    @override
    def n_images(self, n_dims: int) -> int:
        return 3 + n_dims  # two images; a displacement along each axis and its weight

    @override
    def images(self, dataset: Dataset, t: int, params: FlowTrainingParams) -> NDArray[np.float32]:
        return np.stack([prepare(dataset.read_image(at), params.image) for at in (t, t + 1)])

    @override
    def sample(
        self,
        dataset: Dataset,
        t: int,
        positions: FloatArray,
        images: NDArray[np.float32],
        params: FlowTrainingParams,
    ) -> LabelledPair:
        shape = images.shape[1:]
        channels = dataset.read_flow_labels(t)
        labels = np.stack([rescale_labels(channel, params.image.input_size) for channel in channels])
        voxel_size = seen_voxel_size(params.displacement.voxel_size, dataset.shape, shape)
        anchors = anchors_of(positions[:, 3 - dataset.n_dims :], voxel_size, shape)
        return LabelledPair(images, labels, anchors, voxel_size, _seen_norm(dataset, params))

    @override
    def trainer(
        self, model: Ensemble, samples: Callable[[int], LabelledPair], params: FlowTrainingParams, dataset: Dataset
    ) -> FlowTrainer:
        return FlowTrainer(model, samples, params, _seen_norm(dataset, params))

    @override
    def n_keep_axials(self, params: FlowTrainingParams) -> int:
        return kept_poolings(params.displacement.n_keep_axials)

    @override
    def trained_with(self, params: FlowTrainingParams, shape: Shape) -> TrainedWith:
        return of_flow(params, shape)


FLOW = FlowMethod()


def flow_start(params: FlowStart) -> ModelStart:
    """Return how a flow model begins: without trained weights from random ones."""

    def untrained(why: str | None) -> Untrained:
        if why is None:
            logger.info("Starting the flow model from random weights")
        else:
            because = f"{why[:1].upper()}{why[1:]}"
            logger.warning("%s. Starting the flow model from random weights: train it before use.", because)
        if params.seed is not None:
            torch.manual_seed(params.seed)
        return ProvenanceEntry(what="random"), Ensemble([FlowNet(params.n_dims, params.n_keep_axials)])

    file = FLOW_FILES.get(params.n_dims)
    return ModelStart(FlowNet, params.n_dims, params.n_keep_axials, file, f"flow model for {params.n_dims}D", untrained)


def _seen_norm(dataset: Dataset, params: FlowTrainingParams) -> tuple[float, ...]:
    """Return the voxels of the rescaled image that a displacement of 1 stands for, X, Y(, Z)."""
    norm = params.displacement.norm(dataset.n_dims)
    per_stored = seen_per_stored(dataset.shape, params.image.input_size or dataset.shape)
    return tuple(n * r for n, r in zip(norm, reversed(per_stored), strict=True))
