"""Detection as a method: its labels, how a model begins, and what a training is made of."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from typing_extensions import override

from elephant.config import (
    DEFAULT_C_RATIO,
    KEEP_KNOWN,
    DetectionParams,
    DetectionTrainingParams,
    LabelParams,
    StartParams,
)
from elephant.crops.sample import LabelledVolume, TimepointCache, anchors_of
from elephant.dataset import Dataset
from elephant.dataset.record import AnswersOf, LabelsOf
from elephant.device import needs_memory
from elephant.images import prepare, rescale_labels
from elephant.labels import detection_labels
from elephant.methods.base import Method
from elephant.methods.choosing import LookParams, better_start
from elephant.methods.compatibility import of_detection
from elephant.methods.held_out_nuclei import HeldOutNuclei
from elephant.methods.pieces import labelled_pieces
from elephant.methods.predict_detection import detect, detect_ahead
from elephant.methods.scale import by_labels, training_at_scale
from elephant.methods.starting import ModelStart, Started
from elephant.methods.work import (
    START_REMEDY,
    ModelWork,
    name_of,
    seen_voxel_size,
)
from elephant.models.ensemble import Ensemble
from elephant.models.losses import DetectionLoss
from elephant.models.pretrained import DETECTION_FILES
from elephant.models.provenance import ProvenanceEntry, SeenScale, TrainedWith
from elephant.models.unet import DetectionNet
from elephant.progress import CancelToken
from elephant.training.distillation import DistillationLoss
from elephant.training.networks import CropTrainer, train_on_intensities
from elephant.types import N_CLASSES, DetectedSpot, FloatArray, Shape, Spot, Tag, VoxelSize

logger = logging.getLogger(__name__)


class DetectionMethod(
    Method[Spot, LabelParams, DetectionTrainingParams, LabelledVolume, DetectionParams, DetectedSpot]
):
    """Nuclei from sparse annotations of them; SCIENCE.md's detection."""

    name = "detection"
    annotated = "spots"
    network = DetectionNet
    n_seen = 1
    nothing_to_train = "nothing to train: none of the spots labels a voxel; annotate some nuclei inside the image first"

    @override
    def start(
        self, params: DetectionTrainingParams | DetectionParams | StartParams, work: ModelWork | None = None
    ) -> ModelStart:
        """Return how a model begins: without trained weights from the intensities of the dataset."""
        if work is None:
            raise ValueError("a detection model begins with the images of a dataset")
        begin, wanted = work, _start_params(params, work.dataset.n_dims)

        @needs_memory("the start of the model", START_REMEDY)
        def untrained(why: str | None) -> Started:
            if why is not None:
                logger.warning("%s. Starting it from the intensities of the dataset instead.", why)
            with begin.dataset.in_use():
                return _from_intensities(begin, wanted)

        file = DETECTION_FILES[wanted.n_dims]

        @needs_memory("the start of the model", START_REMEDY)
        def judged(shipped: Started) -> Started:
            if isinstance(params, DetectionTrainingParams):  # nuclei are annotated
                return shipped
            look = _look_params(params, wanted, shipped[0])
            known = _known_scale(begin, look)
            if known is not None:
                return shipped[0].model_copy(update={"scales": {begin.dataset.name: known}}), shipped[1]
            with begin.dataset.in_use():
                return better_start(begin, shipped, lambda: _from_intensities(begin, wanted), look)

        return ModelStart(DetectionNet, wanted.n_dims, wanted.n_keep_axials, file, "detection model", untrained, judged)

    @override
    def counted(self, annotations: Sequence[Spot]) -> Sequence[Spot]:
        return [spot for spot in annotations if spot.tag is not Tag.UNLABELED]

    @override
    def labels_any(self, dataset: Dataset, annotations: Sequence[Spot], params: LabelParams) -> bool:
        return params.auto_bg_thresh > 0 or super().labels_any(dataset, annotations, params)

    @override
    def write_labels(
        self, dataset: Dataset, t: int, annotations: Sequence[Spot], params: LabelParams, cancel: CancelToken
    ) -> int:
        image = dataset.read_image(t) if params.auto_bg_thresh > 0 else None
        labels = detection_labels(dataset.shape, annotations, params, image, cancel)
        cancel.check()
        return dataset.write_labels(t, labels, LabelsOf(annotations, params.model_dump(mode="json")))

    @override
    def clear_labels(self, dataset: Dataset) -> None:
        dataset.clear_labels()

    @override
    def is_labelled(self, dataset: Dataset, t: int) -> bool:
        return bool(dataset.read_labels(t).any())

    @override
    def labelled_timepoints(self, dataset: Dataset) -> list[int]:
        return dataset.labelled_timepoints()

    @override
    def labelled_positions(self, dataset: Dataset, t: int, params: DetectionTrainingParams) -> FloatArray:
        pieces = labelled_pieces(dataset.read_labels(t), params.labels)
        return pieces.positions(params.labels.voxel_size.last(dataset.n_dims))

    @override
    def held_out(self, dataset: Dataset, params: DetectionTrainingParams) -> HeldOutNuclei | None:
        return HeldOutNuclei(dataset, params) if params.held_out else None

    @override
    def labels_of(self, params: DetectionTrainingParams) -> LabelParams:
        return params.labels

    @override
    def n_images(self, n_dims: int) -> int:
        return 2  # the image and its labels

    @override
    def images(self, dataset: Dataset, t: int, params: DetectionTrainingParams) -> NDArray[np.float32]:
        return prepare(dataset.read_image(t), params.image, name_of(dataset, t))

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
    ) -> CropTrainer:
        loss: nn.Module = DetectionLoss(dataset.n_dims, params.class_weights, params.false_weight)
        keep = self.resolved(params, model).keep_known
        if keep:
            logger.info("Where nothing is annotated, the model is kept near to what it was (`keep_known` %g)", keep)
            loss = DistillationLoss(loss, model, keep)
        return CropTrainer(model, samples, params, loss)

    @override
    def resolved(self, params: DetectionTrainingParams, model: Ensemble) -> DetectionTrainingParams:
        """Return the parameters with the weight of what the model knows."""
        if params.keep_known is not None:
            return params
        return params.model_copy(update={"keep_known": KEEP_KNOWN if model.began_trained else 0.0})

    @override
    def training_at_scale(
        self, params: DetectionTrainingParams, work: ModelWork, annotations: Sequence[Spot]
    ) -> DetectionTrainingParams:
        """Return the parameters with which a training sees the dataset as its model does."""
        return training_at_scale(params, work, [spot for spot in annotations if spot.tag in _NUCLEI])

    @override
    def n_keep_axials(self, params: DetectionTrainingParams) -> int:
        return params.n_keep_axials

    @override
    def trained_with(self, params: DetectionTrainingParams | DetectionParams, shape: Shape) -> TrainedWith:
        return of_detection(params, shape)

    @override
    def n_outputs(self, n_dims: int) -> int:
        return N_CLASSES

    @override
    def predict(
        self, work: ModelWork, t: int, params: DetectionParams, spots: Sequence[Spot] = ()
    ) -> list[DetectedSpot]:
        """Find the nuclei of a timepoint."""
        return detect(work, t, params)

    @override
    def predict_ahead(self, work: ModelWork, t: int, params: DetectionParams) -> bool:
        return detect_ahead(work, t, params)


DETECTION = DetectionMethod()


def paint_answers(
    dataset: Dataset, t: int, answers: Sequence[Spot], params: LabelParams, cancel: CancelToken, model: str = ""
) -> int:
    """Paint answers of a review over the labels of a timepoint that are there; return the CRC-32 of the labels.

    The record of the dataset holds the answers.

    Parameters
    ----------
    answers
        As :class:`elephant.types.AnsweredSpot`, where it is known what the model said.
    model
        File name of the model that was reviewed, where it is known.

    Raises
    ------
    elephant.errors.Cancelled
        `cancel` asked for the end, and the labels are as they were.
    """
    plain = params.model_copy(update={"auto_bg_thresh": 0.0})
    painted = detection_labels(dataset.shape, answers, plain, None, cancel)
    with dataset.labels_lock():
        labels = np.where(painted > 0, painted, dataset.read_labels(t))
        return dataset.write_labels(t, labels, AnswersOf(answers, plain.model_dump(mode="json"), model))


_NUCLEI = (Tag.TP, Tag.FN)


def _start_params(params: DetectionTrainingParams | DetectionParams | StartParams, n_dims: int) -> StartParams:
    """Return how a model begins that is missing for a training or a prediction of a dataset."""
    if isinstance(params, StartParams):
        return params
    if isinstance(params, DetectionParams):
        n_dims = 2 if params.prediction.use_2d else n_dims
        return StartParams(n_dims=n_dims, n_keep_axials=params.prediction.n_keep_axials)
    return StartParams(
        n_dims=n_dims,
        n_keep_axials=params.n_keep_axials,
        crop_size=params.crop_size,
        image=params.image,
        seed=params.loop.seed,
    )


def _look_params(params: DetectionParams | StartParams, wanted: StartParams, shipped: ProvenanceEntry) -> LookParams:
    """Return how a dataset is looked at to judge shipped weights."""
    facts = shipped.pretrained_with
    c_ratio = DEFAULT_C_RATIO if facts is None or facts.c_ratio is None else facts.c_ratio
    if isinstance(params, StartParams):
        voxel = params.voxel_size or VoxelSize(2.0**params.n_keep_axials, 1.0, 1.0)
        return LookParams(wanted.n_dims, voxel, c_ratio, params.image)
    return LookParams(wanted.n_dims, params.spots.voxel_size, c_ratio, params.prediction.image)


def _known_scale(work: ModelWork, look: LookParams) -> SeenScale | None:
    """Return the scale that suits the nuclei that were annotated before the model begins; None where it is not used."""
    if not (work.auto_scale and look.image.auto_scale and look.n_dims == work.dataset.n_dims):
        return None
    return by_labels(work.dataset, LabelParams(voxel_size=look.voxel_size, c_ratio=look.c_ratio))


def _from_intensities(work: ModelWork, params: StartParams) -> Started:
    """Make a network from the intensities of the dataset, or, where it is to see no crop of it, from random weights."""
    if params.seed is not None:
        torch.manual_seed(params.seed)
    n_dims = params.n_dims
    model = Ensemble([DetectionNet(n_dims, params.n_keep_axials)]).to(work.model_cache.device)
    if params.n_crops == 0:
        logger.warning(
            "Starting the model %s from random weights (n_crops is 0): train it before use.", work.model_path.name
        )
        return ProvenanceEntry(what="random"), model
    dataset = work.dataset

    def read(t: int) -> PreparedImage:
        return PreparedImage(prepare(dataset.read_image(t), params.image, name_of(dataset, t)))

    images = TimepointCache(read, work.cache_bytes)

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
