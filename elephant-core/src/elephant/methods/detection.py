"""Detection: a network that is trained on labels of nuclei, how one begins, and the nuclei that it finds."""

import logging
import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from typing_extensions import override

from elephant.config import DEFAULT_C_RATIO, DetectionParams, DetectionTrainingParams, LabelParams, StartParams
from elephant.crops.sample import LabelledVolume, TimepointCache, anchors_of
from elephant.dataset import Dataset
from elephant.dataset.record import AnswersOf, LabelsOf
from elephant.device import needs_memory
from elephant.hardware import n_cores
from elephant.images import normalise, prepare, rescale, rescale_labels
from elephant.labels import detection_labels
from elephant.methods.base import Method
from elephant.methods.choosing import LookParams, better_start
from elephant.methods.compatibility import of_detection, warn_of_differences
from elephant.methods.held_out_nuclei import HeldOutNuclei
from elephant.methods.pieces import labelled_pieces
from elephant.methods.scale import by_labels, prediction_at_scale, training_at_scale
from elephant.methods.starting import ModelStart, Started
from elephant.methods.work import (
    PREDICTION_REMEDY,
    START_REMEDY,
    ModelWork,
    check_output,
    chosen_box,
    name_of,
    seen_size,
    seen_voxel_size,
)
from elephant.models.ensemble import Ensemble
from elephant.models.losses import CENTRE_CHANNEL, DetectionLoss
from elephant.models.pretrained import DETECTION_FILES
from elephant.models.provenance import ProvenanceEntry, SeenScale, TrainedWith
from elephant.models.shipped import pretrained_with
from elephant.models.unet import DetectionNet
from elephant.prediction import predict_probabilities
from elephant.progress import CancelToken, cancelled_by
from elephant.quality import Scene, calibrated
from elephant.quality.calibration import read_correction
from elephant.spots import find_spots
from elephant.training.distillation import DistillationLoss
from elephant.training.networks import CropTrainer, train_on_intensities
from elephant.types import N_CLASSES, Box, DetectedSpot, FloatArray, Label, Shape, Spot, Tag, VoxelSize

logger = logging.getLogger(__name__)


_needs_memory = needs_memory("the prediction", PREDICTION_REMEDY)


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
        return params.model_copy(update={"keep_known": float(model.began_trained)})

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
        with work.dataset.in_use():
            params = _compared(work, prediction_at_scale(params, work))
            seen = _seen(work, t, params)
            return _found(work, t, params, Seen(seen, _probabilities(work, seen, params)), _warn_of_none(params))


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


OnNone = Callable[[int, float], None]
T = TypeVar("T")
_MOST_EXTRACTED = 4  # at a time: the probabilities of each are in memory
_Image = NDArray[np.float32]


def detect_all(
    work: ModelWork, timepoints: Sequence[int], params: DetectionParams, on_none: OnNone | None = None
) -> Iterator[tuple[int, list[DetectedSpot]]]:
    """Find the nuclei of some timepoints, and yield each of them with its nuclei, in the order given.

    While the network looks at one, the next ones are read and the nuclei of those before are extracted.

    Parameters
    ----------
    on_none
        Called with each timepoint that has no nuclei, and its highest centre probability; by default a warning says so.

    Raises
    ------
    InvalidInputError, elephant.errors.ModelFileError, elephant.errors.Cancelled
        As for :meth:`DetectionMethod.predict`, after the timepoints before.
    """
    n_read, n_extracted = _beside(work.model_cache.device)
    with work.dataset.in_use(), ThreadPoolExecutor(n_read + n_extracted, thread_name_prefix="detection") as others:
        params = _compared(work, prediction_at_scale(params, work))
        following = iter(timepoints)
        reading: deque[tuple[int, Future[_Image]]] = deque()
        extracting: deque[tuple[int, Future[list[DetectedSpot]]]] = deque()

        def read_on() -> None:
            reading.extend((t, others.submit(_seen, work, t, params)) for t in islice(following, 1))

        for _ in range(n_read):
            read_on()
        while reading:
            t, future = reading.popleft()
            try:
                seen = future.result()
                read_on()
                probabilities = _probabilities(work, seen, params)
            except BaseException:
                yield from _results(extracting)  # what is done is given, also where this one fails
                raise
            found = others.submit(_found, work, t, params, Seen(seen, probabilities), on_none or _warn_of_none(params))
            extracting.append((t, found))
            if len(extracting) > n_extracted:
                yield from _results(extracting, 1)
        yield from _results(extracting)


def look_at(work: ModelWork, t: int, params: DetectionParams) -> tuple[Scene, list[DetectedSpot]]:
    """Find the nuclei of a timepoint, and return what the network saw and said, too, with the border probability.

    The quality of the nuclei is their mean centre probability.

    Raises
    ------
    InvalidInputError, elephant.errors.ModelFileError, elephant.errors.Cancelled
        As for :meth:`DetectionMethod.predict`.
    """
    with work.dataset.in_use():
        params = prediction_at_scale(params, work)
        image = _seen(work, t, params)
        seen = Seen(image, _probabilities(work, image, params, Label.BORDER.channel))
        raw = params.model_copy(update={"raw_quality": True})
        return seen.scene(params, work.dataset.shape), _found(work, t, raw, seen, lambda *_: None)


def _results(futures: deque[tuple[int, "Future[T]"]], n: int | None = None) -> Iterator[tuple[int, T]]:
    """Yield the first `n` of some futures as they are finished, or all of them."""
    for _ in range(len(futures) if n is None else n):
        t, future = futures.popleft()
        yield t, future.result()


def _beside(device: torch.device) -> tuple[int, int]:
    """Return how many timepoints are read and how many extracted while the network looks at one.

    On a CPU the network needs all cores. A GPU takes less time for a timepoint than one core for what lies beside it.
    """
    if device.type == "cpu":
        return 1, 1
    return 2, max(min(n_cores() // 2, _MOST_EXTRACTED), 1)


def _compared(work: ModelWork, params: DetectionParams) -> DetectionParams:
    """Return the parameters as the model needs them, and warn of what is most often a mistake.

    That is another use of the model than in its training, and radii in disorder. The centres of shipped weights have
    the size of their training, whatever the request says.
    """
    least, most = params.spots.r_min, params.spots.r_max
    if least > most:
        logger.warning(
            "r_min %g is above r_max %g: nuclei with a semi-axis below %g are dropped, and the others are reduced to "
            "%g",
            *(least, most, least, most),
        )
    warn_of_differences(work.model_path, of_detection(params, work.dataset.shape), "this prediction")
    facts, asked = pretrained_with(work.model_path), params.spots.c_ratio
    if facts is None or facts.c_ratio is None or math.isclose(facts.c_ratio, asked, rel_tol=1e-6):
        return params
    words = "%s has the c_ratio %g of its pretrained weights, in place of %g"
    logger.info(words, work.model_path.name, facts.c_ratio, asked)
    return params.model_copy(update={"spots": params.spots.model_copy(update={"c_ratio": facts.c_ratio})})


@_needs_memory
def _seen(work: ModelWork, t: int, params: DetectionParams) -> _Image:
    """Return what the network sees of a timepoint, (Z), Y, X."""
    dataset, image = work.dataset, params.prediction.image
    with cancelled_by(work.cancel):  # in a thread of its own
        stored = dataset.read_image(t)
    box = chosen_box(params.prediction.crop_box, dataset.shape)
    work.cancel.check()
    size = seen_size(dataset.shape, image.input_size, box)
    return rescale(normalise(stored, image.use_median, name_of(dataset, t))[box.slices], size)


@_needs_memory
def _probabilities(work: ModelWork, seen: _Image, params: DetectionParams, first: int = CENTRE_CHANNEL) -> _Image:
    """Return the probabilities from a class on, (n, (Z), Y, X), the centre last; of all classes where they are kept."""
    prediction = params.prediction
    n_dims = 2 if prediction.use_2d else work.dataset.n_dims
    model = work.model_cache.get(work.model_path, DetectionNet, n_dims, prediction.n_keep_axials)
    classes = slice(None) if params.output_prediction else slice(first, None)
    probabilities = predict_probabilities(model, seen, prediction, work.reporter, work.cancel, classes)
    check_output(probabilities, work.model_path)
    return probabilities


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """A timepoint as the network saw it, (Z), Y, X, and its probabilities, as of :func:`_probabilities`."""

    image: _Image
    probabilities: _Image

    def scene(self, params: DetectionParams, shape: Shape) -> Scene:
        """Return it with its place in the stored image, which has a shape, (Z), Y, X."""
        box, ratio = self.place(params, shape)
        stored = np.array(params.spots.voxel_size.last(len(shape)))
        zoom = np.array(ratio)
        origin = (np.array(box.origin) + (zoom - 1) / 2) * stored
        border = self.probabilities[-2] if len(self.probabilities) > 1 else None
        return Scene(self.image, self.probabilities[-1], stored * zoom, origin, border)

    def place(self, params: DetectionParams, shape: Shape) -> tuple[Box, tuple[float, ...]]:
        """Return the box in the stored image, and its size divided by that of what the network saw, per axis."""
        box = chosen_box(params.prediction.crop_box, shape)
        return box, tuple(b / s for b, s in zip(box.size, self.image.shape, strict=True))


@_needs_memory
def _found(work: ModelWork, t: int, params: DetectionParams, seen: Seen, on_none: OnNone) -> list[DetectedSpot]:
    """Return the nuclei, and keep the probabilities where that is wanted."""
    dataset = work.dataset
    box, ratio = seen.place(params, dataset.shape)
    if params.output_prediction:
        _keep(dataset, t, box, seen.probabilities)
    if seen.image.min() == seen.image.max():  # whatever the network makes of it
        logger.warning("No nuclei found at timepoint %d: the image is blank there", t)
        return []
    stretch = params.prediction.use_2d and dataset.is_3d
    centre = seen.probabilities[-1]
    spots = find_spots(centre, params.spots, box.origin, ratio, stretch)
    if not spots:
        on_none(t, float(centre.max()))
    if params.raw_quality:
        return spots
    return calibrated(seen.scene(params, dataset.shape), spots, read_correction(work.model_path))


def why_none(highest: float, params: DetectionParams) -> str:
    """Say why there are no nuclei.

    Parameters
    ----------
    highest
        The highest centre probability.
    """
    spots = params.spots
    peak = f"the highest centre probability is {highest:.3g}"
    if highest > spots.p_thresh:
        return (
            f"{peak}, but everything above `p_thresh` {spots.p_thresh:g} is single voxels, or smaller than `r_min` "
            f"{spots.r_min:g} allows: lower them, or check the voxel size"
        )
    return f"{peak}, and `p_thresh` is {spots.p_thresh:g}: lower `p_thresh`, or train the model further"


def _warn_of_none(params: DetectionParams) -> OnNone:
    return lambda t, highest: logger.warning("No nuclei found at timepoint %d: %s", t, why_none(highest, params))


def _keep(dataset: Dataset, t: int, box: Box, probabilities: _Image) -> None:
    stored = np.stack([rescale(np.ascontiguousarray(channel), box.size) for channel in probabilities], axis=-1)
    dataset.write_probabilities(t, stored, box)
