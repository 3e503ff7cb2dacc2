"""Using a detection model: the nuclei of a timepoint, or of many of them."""

import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import zip_longest

import numpy as np
from numpy.typing import NDArray

from elephant.config import DetectionParams
from elephant.dataset import Dataset
from elephant.device import needs_memory
from elephant.images import normalise, rescale
from elephant.methods.compatibility import of_detection, warn_of_differences
from elephant.methods.work import PREDICTION_REMEDY, ModelWork, check_output, chosen_box, seen_size
from elephant.models.losses import CENTRE
from elephant.models.unet import DetectionNet
from elephant.prediction import predict_probabilities
from elephant.spots import DetectedSpot, find_spots
from elephant.types import Box

logger = logging.getLogger(__name__)

OnNone = Callable[[int, float], None]
_Image = NDArray[np.float32]
_needs_memory = needs_memory("the prediction", PREDICTION_REMEDY)


def detect(work: ModelWork, t: int, params: DetectionParams) -> list[DetectedSpot]:
    """Find the nuclei of a timepoint.

    Raises
    ------
    InvalidInputError
        The timepoint or the box is outside of the movie.
    elephant.errors.ModelFileError
        The model is none of such a network, or is ruined.
    elephant.errors.Cancelled
        The work was ended; nothing was written.
    """
    with work.dataset.in_use():
        _compare(work, params)
        seen = _seen(work, t, params)
        return _found(work, t, params, _probabilities(work, seen, params), _warn_of_none(params))


def detect_all(
    work: ModelWork, timepoints: Sequence[int], params: DetectionParams, on_none: OnNone | None = None
) -> Iterator[tuple[int, list[DetectedSpot]]]:
    """Find the nuclei of some timepoints, and yield each of them with its nuclei, in the order given.

    While the network looks at one, the next one is read and the nuclei of the one before are extracted.

    Parameters
    ----------
    on_none
        Called with each timepoint that has no nuclei, and its highest centre probability; by default a warning says so.

    Raises
    ------
    InvalidInputError, elephant.errors.ModelFileError, elephant.errors.Cancelled
        As for :func:`detect`, after the timepoints before.
    """
    with work.dataset.in_use(), ThreadPoolExecutor(2, thread_name_prefix="detection") as others:
        _compare(work, params)
        reading = {t: others.submit(_seen, work, t, params) for t in timepoints[:1]}
        last: tuple[int, Future[list[DetectedSpot]]] | None = None
        for t, following in zip_longest(timepoints, timepoints[1:]):
            try:
                seen = reading.pop(t).result()
                if following is not None:
                    reading[following] = others.submit(_seen, work, following, params)
                probabilities = _probabilities(work, seen, params)
            finally:  # what is done is given, also where this one fails
                if last is not None:
                    yield last[0], last[1].result()
            last = t, others.submit(_found, work, t, params, probabilities, on_none or _warn_of_none(params))
        if last is not None:
            yield last[0], last[1].result()


def _compare(work: ModelWork, params: DetectionParams) -> None:
    """Warn of what is most often a mistake: another use of the model than in its training, and radii in disorder."""
    least, most = params.spots.r_min, params.spots.r_max
    if least > most:
        logger.warning(
            "r_min %g is above r_max %g: nuclei with a semi-axis below %g are dropped, and the others are reduced to "
            "%g",
            *(least, most, least, most),
        )
    warn_of_differences(work.model_path, of_detection(params, work.dataset.shape), "this prediction")


@_needs_memory
def _seen(work: ModelWork, t: int, params: DetectionParams) -> _Image:
    """Return what the network sees of a timepoint, (Z), Y, X."""
    dataset, image = work.dataset, params.prediction.image
    stored = dataset.read_image(t)
    box = chosen_box(params.prediction.crop_box, dataset.shape)
    work.cancel.check()
    size = seen_size(dataset.shape, image.input_size, box)
    return rescale(normalise(stored, image.use_median)[box.slices], size)


@_needs_memory
def _probabilities(work: ModelWork, seen: _Image, params: DetectionParams) -> _Image:
    """Return the probabilities of background, border and centre, (3, (Z), Y, X)."""
    prediction = params.prediction
    n_dims = 2 if prediction.use_2d else work.dataset.n_dims
    model = work.model_cache.get(work.model_path, DetectionNet, n_dims, prediction.n_keep_axials)
    probabilities = predict_probabilities(model, seen, prediction, work.reporter, work.cancel)
    check_output(probabilities, work.model_path)
    return probabilities


@_needs_memory
def _found(
    work: ModelWork, t: int, params: DetectionParams, probabilities: _Image, on_none: OnNone
) -> list[DetectedSpot]:
    """Return the nuclei, and keep the probabilities where that is wanted."""
    dataset = work.dataset
    box = chosen_box(params.prediction.crop_box, dataset.shape)
    if params.output_prediction:
        _keep(dataset, t, box, probabilities)
    ratio = tuple(b / s for b, s in zip(box.size, probabilities.shape[1:], strict=True))
    stretch = params.prediction.use_2d and dataset.is_3d
    spots = find_spots(probabilities[CENTRE], params.spots, box.origin, ratio, stretch)
    if not spots:
        on_none(t, float(probabilities[CENTRE].max()))
    return spots


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
