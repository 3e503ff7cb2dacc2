"""Predictions of detection: the nuclei that a network finds at a timepoint, or at one after the other."""

import logging
import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from elephant.config import DetectionParams
from elephant.dataset import Dataset
from elephant.device import needs_memory
from elephant.hardware import n_cores
from elephant.images import normalise, rescale
from elephant.methods.compatibility import of_detection, warn_of_differences
from elephant.methods.known import Asked, Detected
from elephant.methods.scale import prediction_at_scale
from elephant.methods.work import PREDICTION_REMEDY, ModelWork, check_output, chosen_box, name_of, seen_size
from elephant.models.losses import CENTRE_CHANNEL
from elephant.models.shipped import pretrained_with
from elephant.models.unet import DetectionNet
from elephant.prediction import predict_probabilities
from elephant.prediction.tiling import noticing_fallbacks
from elephant.progress import cancelled_by
from elephant.quality import Scene, calibrated
from elephant.quality.calibration import read_correction
from elephant.spots import find_spots
from elephant.types import Box, DetectedSpot, Label, Shape

logger = logging.getLogger(__name__)

_needs_memory = needs_memory("the prediction", PREDICTION_REMEDY)

OnNone = Callable[[int, float], None]
T = TypeVar("T")
_MOST_EXTRACTED = 4  # at a time: the probabilities of each are in memory
_Image = NDArray[np.float32]


def detect(work: ModelWork, t: int, params: DetectionParams) -> list[DetectedSpot]:
    """Find the nuclei of a timepoint.

    Raises
    ------
    InvalidInputError, elephant.errors.ModelFileError, elephant.errors.Cancelled
        As :meth:`elephant.methods.base.Method.predict`.
    """
    with work.dataset.in_use():
        params = _compared(work, prediction_at_scale(params, work))
        looked = _look(work, t, params)
        found = looked.found or _found(work, t, params, *_predicted(work, looked, params))
        return _told(t, found, _warn_of_none(params))


def detect_ahead(work: ModelWork, t: int, params: DetectionParams) -> bool:
    """Find the nuclei of a timepoint that nobody has asked for yet, so that they are known.

    The dataset may be replaced meanwhile, which it does not keep anyone from: then nothing is kept.

    Returns
    -------
    bool
        Whether there was something to do.

    Raises
    ------
    InvalidInputError, elephant.errors.ModelFileError, elephant.errors.Cancelled
        As for :func:`detect`.
    """
    params = _as_needed(work, prediction_at_scale(params, work))
    asked = _asked(work, t, params)
    if asked is None or work.known is None or work.known.knows(asked):
        return False
    looked = _Looked(_seen(work, t, params, asked.images.get(t)), asked)
    _found(work, t, params, *_predicted(work, looked, params))
    return True


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
        As for :func:`detect`, after the timepoints before.
    """
    n_read, n_extracted = _beside(work.model_cache.device)
    with work.dataset.in_use(), ThreadPoolExecutor(n_read + n_extracted, thread_name_prefix="detection") as others:
        params = _compared(work, prediction_at_scale(params, work))
        following = iter(timepoints)
        reading: deque[tuple[int, Future[_Looked]]] = deque()
        extracting: deque[tuple[int, Future[list[DetectedSpot]]]] = deque()
        tell = on_none or _warn_of_none(params)

        def read_on() -> None:
            reading.extend((t, others.submit(_look, work, t, params)) for t in islice(following, 1))

        def extract(t: int, looked: _Looked) -> Future[list[DetectedSpot]]:
            if looked.found is not None:
                work.cancel.check()
                return others.submit(_told, t, looked.found, tell)
            seen, asked = _predicted(work, looked, params)
            return others.submit(lambda: _told(t, _found(work, t, params, seen, asked), tell))

        for _ in range(n_read):
            read_on()
        while reading:
            t, future = reading.popleft()
            try:
                looked = future.result()
                read_on()
                found = extract(t, looked)
            except BaseException:
                yield from _results(extracting)  # what is done is given, also where this one fails
                raise
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
        As for :func:`detect`.
    """
    with work.dataset.in_use():
        params = prediction_at_scale(params, work)
        image = _seen(work, t, params)
        seen = Seen(image, _probabilities(work, image, params, Label.BORDER.channel))
        raw = params.model_copy(update={"raw_quality": True})
        return seen.scene(params, work.dataset.shape), _found(work, t, raw, seen).spots


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
    needed = _as_needed(work, params)
    if needed is not params:
        words = "%s has the c_ratio %g of its pretrained weights, in place of %g"
        logger.info(words, work.model_path.name, needed.spots.c_ratio, params.spots.c_ratio)
    return needed


def _as_needed(work: ModelWork, params: DetectionParams) -> DetectionParams:
    """Return the parameters as the model needs them: those of shipped weights where it has not been trained since."""
    facts = pretrained_with(work.model_path)
    if facts is None or facts.c_ratio is None or math.isclose(facts.c_ratio, params.spots.c_ratio, rel_tol=1e-6):
        return params
    return params.model_copy(update={"spots": params.spots.model_copy(update={"c_ratio": facts.c_ratio})})


@dataclass(frozen=True, slots=True, eq=False)
class _Looked:
    """A timepoint before the network looks at it.

    Attributes
    ----------
    image
        What the network is to see, (Z), Y, X; None where it need not look.
    asked
        The question whose answer may be kept.
    found
        The answer, where it is known.
    """

    image: _Image | None
    asked: Asked | None = None
    found: Detected | None = None


def _look(work: ModelWork, t: int, params: DetectionParams) -> _Looked:
    """Return what was found before, or else what the network is to see."""
    asked = _asked(work, t, params)
    content = None if asked is None or work.known is None else work.known.find(asked)
    if content is not None:
        logger.info("Timepoint %d of %s: what was found before is answered again", t, work.dataset.name)
        return _Looked(None, asked, Detected.unpack(content))
    return _Looked(_seen(work, t, params, None if asked is None else asked.images.get(t)), asked)


@_needs_memory
def _asked(work: ModelWork, t: int, params: DetectionParams) -> Asked | None:
    """Return the question; None where nothing is kept, or the probabilities have to be stored."""
    if work.known is None or params.output_prediction:
        return None
    with cancelled_by(work.cancel):  # in a thread of its own
        asked = work.known.ask(work.dataset, work.model_path, work.model_cache.device, [t], params)
    if asked is None or params.raw_quality:
        return asked
    return asked.about(correction=read_correction(work.model_path).model_dump(mode="json"))


@_needs_memory
def _seen(work: ModelWork, t: int, params: DetectionParams, stored: NDArray[Any] | None = None) -> _Image:
    """Return what the network sees of a timepoint, (Z), Y, X; it is read where it was not."""
    dataset, image = work.dataset, params.prediction.image
    if stored is None:
        with cancelled_by(work.cancel):  # in a thread of its own
            stored = dataset.read_image(t)
    box = chosen_box(params.prediction.crop_box, dataset.shape)
    work.cancel.check()
    size = seen_size(dataset.shape, image.input_size, box)
    return rescale(normalise(stored, image.use_median, name_of(dataset, t))[box.slices], size)


def _predicted(work: ModelWork, looked: _Looked, params: DetectionParams) -> "tuple[Seen, Asked | None]":
    """Return a timepoint with its probabilities, and the question whose answer may be kept."""
    if looked.image is None:
        raise ValueError("what is known already is not predicted")
    with noticing_fallbacks() as fallbacks:
        seen = Seen(looked.image, _probabilities(work, looked.image, params))
    return seen, None if fallbacks else looked.asked


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
def _found(work: ModelWork, t: int, params: DetectionParams, seen: Seen, asked: Asked | None = None) -> Detected:
    """Return the nuclei, and keep them as the answer to a question, and the probabilities where that is wanted."""
    dataset = work.dataset
    box, ratio = seen.place(params, dataset.shape)
    if params.output_prediction:
        _keep(dataset, t, box, seen.probabilities)
    found = _extracted(work, params, seen, box, ratio)
    if asked is not None and work.known is not None:
        work.known.keep(asked, found.pack())
    return found


def _extracted(work: ModelWork, params: DetectionParams, seen: Seen, box: Box, ratio: tuple[float, ...]) -> Detected:
    if seen.image.min() == seen.image.max():  # whatever the network makes of it
        return Detected([], None)
    stretch = params.prediction.use_2d and work.dataset.is_3d
    centre = seen.probabilities[-1]
    spots = find_spots(centre, params.spots, box.origin, ratio, stretch)
    if spots and not params.raw_quality:
        spots = calibrated(seen.scene(params, work.dataset.shape), spots, read_correction(work.model_path))
    return Detected(spots, float(centre.max()))


def _told(t: int, found: Detected, on_none: OnNone) -> list[DetectedSpot]:
    """Return the nuclei, and say why there are none."""
    if found.highest is None:
        logger.warning("No nuclei found at timepoint %d: the image is blank there", t)
    elif not found.spots:
        on_none(t, found.highest)
    return found.spots


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
