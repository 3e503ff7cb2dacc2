"""Detection: a network that is trained on labels of nuclei, and how one begins."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from typing_extensions import override

from elephant.config import DetectionTrainingParams, SelfSupervisedParams
from elephant.crops.sample import LabelledVolume, TimepointCache, anchors_of
from elephant.dataset import Dataset
from elephant.device import needs_memory
from elephant.images import prepare, rescale_labels
from elephant.methods.annotations import check_spots, labels_any, update_labels
from elephant.methods.base import Method
from elephant.methods.compatibility import of_detection
from elephant.methods.starting import ModelStart, Untrained
from elephant.methods.work import DEFAULT_CACHE_BYTES, START_REMEDY, ModelWork, seen_voxel_size
from elephant.models.ensemble import Ensemble
from elephant.models.pretrained import DETECTION_FILES
from elephant.models.provenance import ProvenanceEntry
from elephant.models.trained_with import TrainedWith
from elephant.models.unet import DetectionNet
from elephant.progress import CancelToken, ProgressReporter
from elephant.training.networks import DetectionTrainer
from elephant.training.self_supervised import train_on_intensities
from elephant.types import FloatArray, Shape, Spot, Tag

logger = logging.getLogger(__name__)


class DetectionMethod(Method[Spot, DetectionTrainingParams, LabelledVolume]):
    """Nuclei from sparse annotations of them; SCIENCE.md's detection."""

    annotated = "spots"
    network = DetectionNet
    nothing_to_train = "nothing to train: none of the spots labels a voxel; annotate some nuclei inside the image first"

    @override
    def check(self, dataset: Dataset, annotations: Sequence[Spot]) -> Mapping[int, Sequence[Spot]]:
        return check_spots(dataset, annotations)

    @override
    def labels_any(self, dataset: Dataset, annotations: Sequence[Spot], params: DetectionTrainingParams) -> bool:
        labels = params.labels
        return labels.auto_bg_thresh > 0 or labels_any(dataset, annotations, labels.voxel_size)

    @override
    def update_labels(
        self,
        dataset: Dataset,
        annotations: Sequence[Spot],
        params: DetectionTrainingParams,
        reporter: ProgressReporter,
        cancel: CancelToken,
    ) -> None:
        update_labels(dataset, annotations, params.labels, reporter, cancel)

    @override
    def is_labelled(self, dataset: Dataset, t: int) -> bool:
        return bool(dataset.read_labels(t).any())

    @override
    def positions(self, annotations: Sequence[Spot]) -> FloatArray:
        return positions_of(annotations)

    @override
    def n_images(self, n_dims: int) -> int:
        return 2  # the image and its labels

    @override
    def images(self, dataset: Dataset, t: int, params: DetectionTrainingParams) -> NDArray[np.float32]:
        return prepare(dataset.read_image(t), params.image)

    @override
    def sample(
        self,
        dataset: Dataset,
        t: int,
        positions: FloatArray,
        images: NDArray[np.float32],
        params: DetectionTrainingParams,
    ) -> LabelledVolume:
        labels = rescale_labels(dataset.read_labels(t), params.image.input_size)
        voxel_size = seen_voxel_size(params.labels.voxel_size, dataset.shape, images.shape)
        anchors = anchors_of(positions[:, 3 - dataset.n_dims :], voxel_size, images.shape)
        return LabelledVolume(images, labels, anchors, voxel_size)

    @override
    def trainer(
        self,
        model: Ensemble,
        samples: Callable[[int], LabelledVolume],
        params: DetectionTrainingParams,
        dataset: Dataset,
    ) -> DetectionTrainer:
        return DetectionTrainer(model, samples, params, dataset.n_dims)

    @override
    def n_keep_axials(self, params: DetectionTrainingParams) -> int:
        return params.n_keep_axials

    @override
    def trained_with(self, params: DetectionTrainingParams, shape: Shape) -> TrainedWith:
        return of_detection(params, shape)


DETECTION = DetectionMethod()


def positions_of(spots: Sequence[Spot]) -> FloatArray:
    """Return the positions of the annotated spots, (N, 3), Z, Y, X."""
    return np.array([spot.pos for spot in spots if spot.tag is not Tag.UNLABELED]).reshape(-1, 3)


def detection_start(
    work: ModelWork, n_dims: int, params: SelfSupervisedParams, cache_bytes: int = DEFAULT_CACHE_BYTES
) -> ModelStart:
    """Return how a detection model begins: without trained weights from the intensities of the dataset.

    Parameters
    ----------
    work
        The dataset and the model.
    n_dims
        Of the network: 2 for one that sees a volume slice by slice.
    params
        How a network is trained on intensities.
    cache_bytes
        Limit for the prepared timepoints that are kept in memory meanwhile.
    """

    @needs_memory("the start of the model", START_REMEDY)
    def untrained(why: str | None) -> Untrained:
        if why is not None:
            logger.warning("%s. Starting it from the intensities of the dataset instead.", why)
        with work.dataset.in_use():
            return _from_intensities(work, n_dims, params, cache_bytes)

    file = DETECTION_FILES[n_dims]
    return ModelStart(DetectionNet, n_dims, params.n_keep_axials, file, "detection model", untrained)


def _from_intensities(work: ModelWork, n_dims: int, params: SelfSupervisedParams, cache_bytes: int) -> Untrained:
    """Make a network from the intensities of the dataset, or, where it is to see no crop of it, from random weights."""
    if params.seed is not None:
        torch.manual_seed(params.seed)
    model = Ensemble([DetectionNet(n_dims, params.n_keep_axials)]).to(work.model_cache.device)
    if params.n_crops == 0:
        logger.warning(
            "Starting the model %s from random weights (n_crops is 0): train it before use.", work.model_path.name
        )
        return ProvenanceEntry(what="random"), model
    dataset = work.dataset
    images = TimepointCache(lambda t: PreparedImage(prepare(dataset.read_image(t), params.image)), cache_bytes)

    def image(t: int) -> NDArray[np.float32]:
        volume = images(t).image
        # A 2D network for a volume learns from its slices.
        return volume if volume.ndim == n_dims else volume[np.random.default_rng(t).integers(len(volume))]

    logger.info("Starting the model %s from the intensities of the dataset", work.model_path.name)
    train_on_intensities(model, image, dataset.n_timepoints, params, work.reporter, work.cancel)
    return ProvenanceEntry(what="intensities", dataset=dataset.name), model


@dataclass(frozen=True, slots=True, eq=False)
class PreparedImage:
    """A prepared timepoint, (Z), Y, X, for a cache."""

    image: NDArray[np.float32]

    @property
    def n_bytes(self) -> int:
        """Memory that it takes."""
        return self.image.nbytes
