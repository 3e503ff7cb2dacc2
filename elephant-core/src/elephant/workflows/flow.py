"""Starting and training a flow model."""

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from elephant.config import DisplacementParams, FlowStart, FlowTrainingParams, kept_poolings
from elephant.crops import LabelledPair
from elephant.crops.sample import TimepointCache, anchors_of
from elephant.dataset import Dataset
from elephant.device import needs_memory
from elephant.errors import InvalidInputError, ModelFileError, NotFoundError
from elephant.geometry import Ellipsoid, block_of
from elephant.images import prepare, rescale_labels
from elephant.labels import flow_labels
from elephant.models.cache import ModelCache
from elephant.models.ensemble import Ensemble, load_ensemble
from elephant.models.lock import writing
from elephant.models.pretrained import FLOW_FILES, VERSATILE, ModelSource, Pretrained
from elephant.models.provenance import ProvenanceEntry
from elephant.models.unet import FlowNet
from elephant.progress import CancelToken, ProgressReporter
from elephant.training.loop import TrainingControl
from elephant.training.networks import FlowTrainer
from elephant.types import Link
from elephant.workflows.compatibility import of_flow, warn_of_differences
from elephant.workflows.labels import by_timepoint, in_words
from elephant.workflows.outside import warn_of_outside
from elephant.workflows.preflight import check_batches, check_images
from elephant.workflows.starting import save_started
from elephant.workflows.training_run import in_training
from elephant.workflows.work import (
    DEFAULT_CACHE_BYTES,
    TRAINING_REMEDY,
    ModelWork,
    changes_model,
    seen_per_stored,
    seen_voxel_size,
)

logger = logging.getLogger(__name__)


NOTHING_TO_TRAIN = "nothing to train: none of the links has a spot in the image; link some nuclei first"


class FlowWork(ModelWork):
    """What every piece of work with a flow model and a dataset needs."""


def update_flow_labels(
    dataset: Dataset,
    links: Sequence[Link],
    params: DisplacementParams,
    reporter: ProgressReporter,
    cancel: CancelToken,
) -> list[int]:
    """Replace the flow labels of every timepoint at which links begin.

    All links are checked before the first timepoint is written; each timepoint is replaced at once.

    Returns
    -------
    list of int
        The earlier timepoints, in order.

    Raises
    ------
    InvalidInputError
        A link leaves the movie, or its covariance is not positive definite.
    elephant.errors.Cancelled
        `cancel` asked for the end: each timepoint has its old or its new labels.
    """
    groups = check_links(dataset, links)
    warn_of_outside(links, params.voxel_size, dataset.shape, "label nothing")
    for done, (t, group) in enumerate(groups.items(), start=1):
        cancel.check()
        labels = flow_labels(dataset.shape, group, params, cancel)
        cancel.check()
        dataset.write_flow_labels(t, labels)
        reporter.progress("timepoint", done, len(groups))
    logger.info("Flow labels of %d links written at %s", len(links), in_words(list(groups)))
    return list(groups)


def check_links(dataset: Dataset, links: Sequence[Link]) -> Mapping[int, Sequence[Link]]:
    """Check links before any label is written, and return them by their earlier timepoints.

    Raises
    ------
    InvalidInputError
        A link leaves the movie, or its covariance is not positive definite.
    """
    groups = by_timepoint(links, dataset.n_timepoints)
    for link in links:
        _check(link, dataset)
    Ellipsoid.from_spots(links, dataset.n_dims)
    return groups


def reset_flow_model(
    path: Path,
    model_cache: ModelCache,
    pretrained: Pretrained,
    source: ModelSource,
    start: FlowStart,
    cancel: CancelToken,
) -> None:
    """Start a flow model anew; the file is replaced whole at the end, or stays as it was.

    Parameters
    ----------
    path
        The model file.
    model_cache
        Where models are kept warm.
    pretrained
        The pretrained models.
    source
        Where the weights come from; where it says nothing, they are random. So they are for the pretrained model in
        2D, of which there is none.

    Raises
    ------
    NotFoundError, InvalidInputError, elephant.errors.ModelFileError
        The weights asked for cannot be had, or are none of such a network.
    elephant.errors.Cancelled
        The work was ended.
    """
    with writing(path, "a reset"):
        _reset(path, model_cache, pretrained, source, start, cancel)


def _reset(
    path: Path,
    model_cache: ModelCache,
    pretrained: Pretrained,
    source: ModelSource,
    start: FlowStart,
    cancel: CancelToken,
) -> None:
    entry = ProvenanceEntry(what="random")
    if source.file is None and start.n_dims not in FLOW_FILES and source.url in (None, VERSATILE):
        model = _fresh(start, "There is no pretrained flow model for 2D")
    elif source.is_empty:
        model = _fresh(start)
    else:
        entry = source.entry(FLOW_FILES.get(start.n_dims, ""))
        with source.weights(pretrained, FLOW_FILES.get(start.n_dims, ""), cancel) as file:
            model = load_ensemble(file, FlowNet, start.n_dims, start.n_keep_axials)
    cancel.check()
    model.save(path, entry)
    model_cache.forget(path)


def ensure_flow_model(path: Path, pretrained: Pretrained, start: FlowStart) -> None:
    """Start the model where its file is not there yet: pretrained, or else from random weights.

    That is a warning: whoever asked may have misspelt the name of another model.
    """
    if path.is_file():
        return
    try:
        if start.n_dims not in FLOW_FILES:
            raise NotFoundError("there is no pretrained flow model for 2D")
        file = pretrained.get(FLOW_FILES[start.n_dims])
        model = load_ensemble(file, FlowNet, start.n_dims, start.n_keep_axials)
        entry = ProvenanceEntry(what="pretrained", source=file.name)
    except (NotFoundError, ModelFileError) as error:
        entry, model = ProvenanceEntry(what="random"), _fresh(start, str(error))
    save_started(model, path, entry, pretrained.folder.parent)


def load_flow_model(work: FlowWork, n_keep_axials: int) -> Ensemble:
    """Return the model of the dataset's dimensions, ready to be trained.

    Parameters
    ----------
    n_keep_axials
        As of the displacements, -1 to 31; the poolings take 0 to 4.

    Raises
    ------
    NotFoundError, ModelFileError
        Its file is not there, or holds something else.
    """
    return work.model_cache.get(work.model_path, FlowNet, work.dataset.n_dims, kept_poolings(n_keep_axials))


def check_flow_training(work: FlowWork, links: Sequence[Link], params: FlowTrainingParams) -> None:
    """Check that a training can be done, before anything is written.

    Raises
    ------
    InvalidInputError
        A link is wrong, none of them has voxels in the image, or memory cannot hold what it needs.
    """
    dataset = work.dataset
    groups = check_links(dataset, links)
    edges = params.displacement.voxel_size.last(dataset.n_dims)
    ellipsoids = Ellipsoid.from_spots(links, dataset.n_dims)
    if all(block_of(ellipsoid, edges, dataset.shape).is_empty for ellipsoid in ellipsoids):
        raise InvalidInputError(NOTHING_TO_TRAIN)
    check_images(dataset, params.image, n_images=3 + dataset.n_dims)
    seen = params.image.input_size or dataset.shape
    check_batches(params.crop_size, seen, params.loop, len(groups), work.model_cache.device)


@changes_model("a training")
@needs_memory("the training", TRAINING_REMEDY)
def train_flow(
    work: FlowWork,
    links: Sequence[Link],
    params: FlowTrainingParams,
    control: TrainingControl,
    on_saved: Callable[[], None],
    cache_bytes: int = DEFAULT_CACHE_BYTES,
) -> None:
    """Label the timepoints of the links, then train the model on them; it is saved after each epoch.

    Parameters
    ----------
    on_saved
        Called after each time that the model was saved.
    cache_bytes
        Limit for the prepared pairs of timepoints that are kept in memory.

    Raises
    ------
    InvalidInputError
        No voxel is labelled, or a link is wrong.
    elephant.errors.Cancelled
        The work was ended: the file holds the last finished epoch.
    """
    dataset = work.dataset
    # Whatever is wrong with the model or the links is found before the first label is written.
    check_flow_training(work, links, params)
    model = load_flow_model(work, params.displacement.n_keep_axials)
    update_flow_labels(dataset, links, params.displacement, work.reporter, work.cancel)
    groups = by_timepoint(links, dataset.n_timepoints)
    timepoints = [t for t in groups if dataset.read_flow_labels(t)[-1].any()]
    if not timepoints:
        raise InvalidInputError(NOTHING_TO_TRAIN)
    pairs = TimepointCache(lambda t: _labelled_pair(dataset, t, groups[t], params), cache_bytes)
    used = of_flow(params, dataset.shape)
    warn_of_differences(work.model_path, used, "this training")
    entry = ProvenanceEntry(what="training", dataset=dataset.name, annotated="links", trained_with=used)
    with in_training(work, model, control, entry, on_saved) as training_run:
        training_run.trains_on({t: len(groups[t]) for t in timepoints})
        trainer = FlowTrainer(model, pairs, params, _seen_norm(dataset, params))
        trainer.run(timepoints, training_run, training_run, training_run.save)


def _check(link: Link, dataset: Dataset) -> None:
    if link.t + 1 >= dataset.n_timepoints:
        raise InvalidInputError(
            f"a link begins at timepoint {link.t}, but its nucleus must be at {link.t + 1} and the dataset has "
            f"timepoints 0 to {dataset.n_timepoints - 1}: choose the dataset that these links belong to"
        )


def _fresh(start: FlowStart, reason: str | None = None) -> Ensemble:
    """Make a network from random weights; with a reason, warn that nothing better could be had."""
    if reason is None:
        logger.info("Starting the flow model from random weights")
    else:
        logger.warning("%s. Starting the flow model from random weights: train it before use.", reason)
    if start.seed is not None:
        torch.manual_seed(start.seed)
    return Ensemble([FlowNet(start.n_dims, start.n_keep_axials)])


def _labelled_pair(dataset: Dataset, t: int, links: Sequence[Link], params: FlowTrainingParams) -> LabelledPair:
    images = np.stack([prepare(dataset.read_image(at), params.image) for at in (t, t + 1)])
    shape = images.shape[1:]
    labels = np.stack([rescale_labels(channel, params.image.input_size) for channel in dataset.read_flow_labels(t)])
    voxel_size = seen_voxel_size(params.displacement.voxel_size, dataset.shape, shape)
    positions = np.array([link.pos[3 - dataset.n_dims :] for link in links])
    anchors = anchors_of(positions, voxel_size, shape)
    return LabelledPair(images, labels, anchors, voxel_size, _seen_norm(dataset, params))


def _seen_norm(dataset: Dataset, params: FlowTrainingParams) -> tuple[float, ...]:
    """Return the voxels of the rescaled image that a displacement of 1 stands for, X, Y(, Z)."""
    norm = params.displacement.norm(dataset.n_dims)
    per_stored = seen_per_stored(dataset.shape, params.image.input_size or dataset.shape)
    return tuple(n * r for n, r in zip(norm, reversed(per_stored), strict=True))
