"""Starting, training and using a detection model."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from elephant.config import DetectionTrainingParams, SelfSupervisedParams
from elephant.crops.sample import LabelledVolume, TimepointCache, anchors_of
from elephant.dataset import Dataset
from elephant.device import needs_memory
from elephant.errors import InvalidInputError, ModelFileError, NotFoundError
from elephant.images import prepare, rescale_labels
from elephant.models.ensemble import Ensemble, load_ensemble
from elephant.models.pretrained import DETECTION_FILES, ModelSource, Pretrained
from elephant.models.provenance import ProvenanceEntry
from elephant.models.unet import DetectionNet
from elephant.training.loop import TrainingControl
from elephant.training.networks import DetectionTrainer
from elephant.training.self_supervised import train_on_intensities
from elephant.types import FloatArray, Spot, Tag
from elephant.workflows.compatibility import of_detection, warn_of_differences
from elephant.workflows.labels import by_timepoint, check_spots, labels_any, update_labels
from elephant.workflows.preflight import check_batches, check_images
from elephant.workflows.starting import save_started
from elephant.workflows.training_run import in_training
from elephant.workflows.work import (
    DEFAULT_CACHE_BYTES,
    START_REMEDY,
    TRAINING_REMEDY,
    ModelWork,
    changes_model,
    seen_voxel_size,
)

logger = logging.getLogger(__name__)


NOTHING_TO_TRAIN = "nothing to train: none of the spots labels a voxel; annotate some nuclei inside the image first"


class DetectionWork(ModelWork):
    """What every piece of work of detection needs."""


@changes_model("a reset")
@needs_memory("the start of the model", START_REMEDY)
def reset_model(
    work: DetectionWork,
    pretrained: Pretrained,
    source: ModelSource,
    start: SelfSupervisedParams,
    cache_bytes: int = DEFAULT_CACHE_BYTES,
) -> None:
    """Start a model anew; the file is replaced whole at the end, or stays as it was.

    Parameters
    ----------
    pretrained
        The pretrained models.
    source
        Where the weights come from.
    start
        How a network is trained that starts from the dataset's intensities.
    cache_bytes
        Limit for the prepared timepoints that are kept in memory meanwhile.

    Raises
    ------
    NotFoundError, InvalidInputError, elephant.errors.ModelFileError
        The weights asked for cannot be had, or are none of such a network.
    elephant.errors.Cancelled
        The work was ended.
    """
    n_dims = work.dataset.n_dims
    if source.is_empty:
        entry, model = _anew(work, n_dims, start, cache_bytes)
    else:
        entry = source.entry(DETECTION_FILES[n_dims])
        with source.weights(pretrained, DETECTION_FILES[n_dims], work.cancel) as file:
            model = load_ensemble(file, DetectionNet, n_dims, start.n_keep_axials)
    work.cancel.check()
    model.save(work.model_path, entry)
    work.model_cache.forget(work.model_path)


@needs_memory("the start of the model", START_REMEDY)
def ensure_model(work: DetectionWork, pretrained: Pretrained, n_dims: int, start: SelfSupervisedParams) -> None:
    """Start the model where its file is not there yet: pretrained, or else from the dataset's intensities.

    That is a warning: whoever asked may have misspelt the name of another model.
    """
    if work.model_path.is_file():
        return
    entry = ProvenanceEntry(what="pretrained", source=DETECTION_FILES[n_dims])
    try:
        file = pretrained.get(DETECTION_FILES[n_dims])
        model = load_ensemble(file, DetectionNet, n_dims, start.n_keep_axials)
    except (NotFoundError, ModelFileError) as error:
        logger.warning("%s. Starting it from the intensities of the dataset instead.", error)
        entry, model = _anew(work, n_dims, start)
    save_started(model, work.model_path, entry, pretrained.folder.parent)


def load_model(work: DetectionWork, n_keep_axials: int) -> Ensemble:
    """Return the model of the dataset's dimensions, ready to be trained.

    Raises
    ------
    NotFoundError, elephant.errors.ModelFileError
        Its file is not there, or holds something else.
    """
    return work.model_cache.get(work.model_path, DetectionNet, work.dataset.n_dims, n_keep_axials)


def check_training(
    work: DetectionWork, spots: Sequence[Spot], params: DetectionTrainingParams, *, may_wait: bool = False
) -> None:
    """Check that a training can be done, before anything is written.

    Parameters
    ----------
    may_wait
        Whether spots may come later, as in a live session.

    Raises
    ------
    InvalidInputError
        A spot is wrong, none of them labels a voxel, or memory cannot hold what it needs.
    """
    dataset, labels = work.dataset, params.labels
    groups = check_spots(dataset, spots)
    if not may_wait and not labels.auto_bg_thresh and not labels_any(dataset, spots, labels.voxel_size):
        raise InvalidInputError(NOTHING_TO_TRAIN)
    check_images(dataset, params.image, n_images=2)
    seen = params.image.input_size or dataset.shape
    check_batches(params.crop_size, seen, params.loop, len(groups), work.model_cache.device)


@changes_model("a training")
@needs_memory("the training", TRAINING_REMEDY)
def train(
    work: DetectionWork,
    spots: Sequence[Spot],
    params: DetectionTrainingParams,
    control: TrainingControl,
    on_saved: Callable[[], None],
    cache_bytes: int = DEFAULT_CACHE_BYTES,
) -> None:
    """Label the timepoints of the spots, then train the model on them; it is saved after each epoch.

    Parameters
    ----------
    on_saved
        Called after each time that the model was saved.
    cache_bytes
        Limit for the prepared timepoints that are kept in memory.

    Raises
    ------
    InvalidInputError
        No voxel is labelled, or a spot is wrong.
    elephant.errors.Cancelled
        The work was ended: the file holds the last finished epoch.
    """
    dataset = work.dataset
    # Whatever is wrong with the model or the spots is found before the first label is written.
    check_training(work, spots, params)
    model = load_model(work, params.n_keep_axials)
    update_labels(dataset, spots, params.labels, work.reporter, work.cancel)
    groups = by_timepoint(spots, dataset.n_timepoints)
    timepoints = [t for t in groups if dataset.read_labels(t).any()]
    if not timepoints:
        raise InvalidInputError(NOTHING_TO_TRAIN)

    def make(t: int) -> LabelledVolume:
        image = prepare(dataset.read_image(t), params.image)
        return labelled_volume(dataset, t, positions_of(groups[t]), image, params)

    volumes = TimepointCache(make, cache_bytes)
    used = of_detection(params, dataset.shape)
    warn_of_differences(work.model_path, used, "this training")
    entry = ProvenanceEntry(what="training", dataset=dataset.name, annotated="spots", trained_with=used)
    with in_training(work, model, control, entry, on_saved) as training_run:
        training_run.trains_on({t: len(positions_of(groups[t])) for t in timepoints})
        trainer = DetectionTrainer(model, volumes, params, dataset.n_dims)
        trainer.run(timepoints, training_run, training_run, training_run.save)


def _anew(
    work: DetectionWork, n_dims: int, params: SelfSupervisedParams, cache_bytes: int = DEFAULT_CACHE_BYTES
) -> tuple[ProvenanceEntry, Ensemble]:
    """Make a network from the intensities of the dataset, or, where it is to see no crop of it, from random weights."""
    if params.seed is not None:
        torch.manual_seed(params.seed)
    model = Ensemble([DetectionNet(n_dims, params.n_keep_axials)]).to(work.model_cache.device)
    if params.n_crops == 0:
        logger.warning(
            "Starting the model %s from random weights (n_crops is 0): train it before use.", work.model_path.name
        )
        return ProvenanceEntry(what="random"), model
    _teach_intensities(work, model, n_dims, params, cache_bytes)
    return ProvenanceEntry(what="intensities", dataset=work.dataset.name), model


def _teach_intensities(
    work: DetectionWork, model: Ensemble, n_dims: int, params: SelfSupervisedParams, cache_bytes: int
) -> None:
    dataset = work.dataset
    images = TimepointCache(lambda t: PreparedImage(prepare(dataset.read_image(t), params.image)), cache_bytes)

    def image(t: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
        volume = images(t).image
        # A 2D network for a volume learns from its slices.
        return volume if volume.ndim == n_dims else volume[np.random.default_rng(t).integers(len(volume))]

    logger.info("Starting the model %s from the intensities of the dataset", work.model_path.name)
    train_on_intensities(model, image, dataset.n_timepoints, params, work.reporter, work.cancel)


@dataclass(frozen=True, slots=True, eq=False)
class PreparedImage:
    """A prepared timepoint, (Z), Y, X, for a cache."""

    image: np.ndarray[tuple[int, ...], np.dtype[np.float32]]

    @property
    def n_bytes(self) -> int:
        """Memory that it takes."""
        return self.image.nbytes


def positions_of(spots: Sequence[Spot]) -> FloatArray:
    """Return the positions of the annotated spots, (N, 3), Z, Y, X."""
    return np.array([spot.pos for spot in spots if spot.tag is not Tag.UNLABELED]).reshape(-1, 3)


def labelled_volume(
    dataset: Dataset, t: int, positions: FloatArray, image: NDArray[np.float32], params: DetectionTrainingParams
) -> LabelledVolume:
    """Return a timepoint ready for cutting crops, with its labels as they are now.

    Parameters
    ----------
    positions
        Of its annotated spots, (N, 3), Z, Y, X, physical.
    image
        The prepared timepoint, (Z), Y, X.
    """
    labels = rescale_labels(dataset.read_labels(t), params.image.input_size)
    voxel_size = seen_voxel_size(params.labels.voxel_size, dataset.shape, image.shape)
    anchors = anchors_of(positions[:, 3 - dataset.n_dims :], voxel_size, image.shape)
    return LabelledVolume(image, labels, anchors, voxel_size)
