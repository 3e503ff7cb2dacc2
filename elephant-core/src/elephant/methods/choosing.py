"""What is chosen for a detection model before anything is annotated: its first weights, and its scale for a dataset.

Both are judged by how well the nuclei that are found explain an image; see :mod:`elephant.methods.explained`.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import numpy as np
from scipy.ndimage import gaussian_filter

from elephant.config import ImageParams
from elephant.dataset import Dataset
from elephant.errors import InvalidInputError
from elephant.images import normalise
from elephant.methods.first_look import Candidate, NetworkFor, View, best_scale
from elephant.methods.work import ModelWork, check_images
from elephant.models.ensemble import Ensemble
from elephant.models.provenance import ProvenanceEntry, SeenScale
from elephant.models.unet import UNet
from elephant.types import N_CLASSES, VoxelSize

logger = logging.getLogger(__name__)

Started = tuple[ProvenanceEntry, Ensemble]

# Shipped weights are worth more than their score says: they find what is dim, too.
_HEAD_START = 0.05
# A start from intensities takes seconds; it is not tried where bright spots explain much less than the shipped weights.
_HOPELESS = 0.15
# Nor where the shipped weights explain so much of the image that hardly anything is left to be better at.
_ENOUGH = 0.9  # of a score
_LIKE_NOISE = 0.1  # the share of an image that nuclei explain; what is found in noise alone explains up to 0.08
_LARGER_THAN_NOISE = 1.0  # standard deviation, voxels, of the image whose bright spots are looked at
_PREDICTED = 2 * N_CLASSES  # images of the size that the network sees, which memory has to hold


@dataclass(frozen=True, slots=True)
class LookParams:
    """How a dataset is looked at.

    Attributes
    ----------
    n_dims
        Number of axes of the network: 2 for one that sees a volume slice by slice.
    voxel_size
        Physical size of the stored voxels.
    c_ratio
        Semi-axes of a nucleus' centre divided by those of the nucleus, for the network.
    image
        Whether slices are shifted to the same median, and whether a scale is chosen.
    """

    n_dims: int
    voxel_size: VoxelSize
    c_ratio: float
    image: ImageParams


def scale_by_image(work: ModelWork, look: LookParams, networks: NetworkFor) -> SeenScale:
    """Return the scale at which a model sees a dataset best, as the image of a timepoint says."""
    view = _view(work, look)
    if view is None:
        return _stored(work.dataset)
    logger.info("Looking at which scale %s sees %s best", work.model_path.name, work.dataset.name)
    return _scale_of(best_scale(view, networks), work.dataset)


def better_start(work: ModelWork, shipped: Started, untrained: Callable[[], Started], look: LookParams) -> Started:
    """Return the better of two starts of a model, with the scale at which it sees the dataset.

    Parameters
    ----------
    shipped
        Shipped weights.
    untrained
        Starts a model from the intensities of the dataset.

    Returns
    -------
    tuple
        The provenance, which says why, and the network.
    """
    view = _view(work, look)
    if view is None:
        return shipped
    entry, model = shipped
    networks = _switched(model)
    logger.info("Looking at how %s starts best on %s", work.model_path.name, work.dataset.name)
    best = best_scale(view, networks) if look.image.auto_scale and work.auto_scale else None
    words = "the shipped weights"
    part = view.fine()
    of_shipped = part.stored(networks) if best is None else part.candidate(networks, best.rescaling, best.n_keep_axials)
    bright = _bright_spots(part)
    score = of_shipped.explanation.score + _HEAD_START
    if bright > score - _HOPELESS and of_shipped.explanation.score < _ENOUGH:
        logger.info("Bright spots explain %s, too: comparing with a start from its intensities", work.dataset.name)
        other, rival = untrained()
        of_rival = part.stored(_switched(rival)).explanation.score
        reason = f"nuclei explain the image: {words} {score:.2f}, the start from intensities {of_rival:.2f}"
        if other.what == "intensities" and of_rival > score:
            logger.warning("%s starts from the intensities of %s (%s)", work.model_path.name, work.dataset.name, reason)
            return other.model_copy(update={"remark": reason}), rival
    else:
        reason = f"nuclei explain the image: {words} {score:.2f}, bright spots {bright:.2f}"
    _warn_of_noise(work, of_shipped)
    scales = {} if best is None else {work.dataset.name: _scale_of(best, work.dataset)}
    for scale in scales.values():
        logger.info("%s: %s %s", work.model_path.name, work.dataset.name, scale.words())
    return entry.model_copy(update={"remark": reason, "scales": scales}), model


def _warn_of_noise(work: ModelWork, found: Candidate) -> None:
    share = found.explanation.share
    if found.spots and share < _LIKE_NOISE:
        words = (
            "What %s finds in %s explains %.0f%% of the image, as little as in noise: annotate some nuclei and train"
        )
        logger.warning(words, work.model_path.name, work.dataset.name, 100 * max(share, 0.0))


def _view(work: ModelWork, look: LookParams) -> View | None:
    """Return the timepoint in the middle of a movie, or the nearest that is not blank; None where all tried are."""
    dataset = work.dataset
    middle = dataset.n_timepoints // 2
    for t in sorted({middle, middle // 2, (middle + dataset.n_timepoints) // 2, 0}, key=lambda t: abs(t - middle)):
        work.cancel.check()
        stored = dataset.read_image(t)
        if stored.min() < stored.max():
            image = normalise(stored, look.image.use_median)
            plane = image[len(image) // 2] if image.ndim > look.n_dims else image
            return View(plane, look.voxel_size, look.c_ratio, work.cancel)
    return None


def _scale_of(found: Candidate, dataset: Dataset) -> SeenScale:
    """Return a scale for the whole dataset: the stored one where memory would not hold another."""
    n_more = dataset.n_dims - len(found.rescaling)  # of a network that sees a volume slice by slice
    rescaling = (1.0,) * n_more + tuple(round(ratio, 3) for ratio in found.rescaling)
    scale = SeenScale(rescaling=rescaling, n_keep_axials=found.n_keep_axials, shape=dataset.shape)
    try:
        check_images(dataset, ImageParams(input_size=scale.input_size(dataset.shape)), _PREDICTED)
    except InvalidInputError as error:
        logger.warning("%s is seen as stored, since memory does not hold it otherwise (%s)", dataset.name, error)
        return _stored(dataset)
    return scale


def _stored(dataset: Dataset) -> SeenScale:
    return SeenScale(rescaling=(1.0,) * dataset.n_dims, shape=dataset.shape)


def _switched(model: Ensemble) -> NetworkFor:
    """Return what lets a network leave Z alone in so many poolings."""
    model.eval()

    def network(keep: int) -> Ensemble:
        for member in model.members:
            cast("UNet", member).n_keep_axials = keep
        return model

    return network


def _bright_spots(part: View) -> float:
    """Return how well bright spots explain an image, which is about what a start from intensities finds."""
    smooth = gaussian_filter(part.image, _LARGER_THAN_NOISE)
    return part.explained(np.asarray(smooth, np.float32))[1].score
