"""What a model was trained with, and whether a piece of work uses it in the same way."""

import logging
from pathlib import Path

from elephant.config import (
    DetectionParams,
    DetectionTrainingParams,
    DisplacementParams,
    FlowParams,
    FlowTrainingParams,
    ImageParams,
    LabelParams,
    PredictionParams,
    SpotParams,
)
from elephant.methods.work import seen_per_stored
from elephant.models.provenance_text import tell
from elephant.models.trained_with import TrainedWith
from elephant.types import Shape

logger = logging.getLogger(__name__)

_said: dict[Path, str] = {}  # the last warning of each model, which hundreds of timepoints need not repeat


def of_detection(params: DetectionTrainingParams | DetectionParams, shape: Shape) -> TrainedWith:
    """Return on what a detection depends, of a training or of a prediction.

    Parameters
    ----------
    shape
        Size of the stored image, (Z), Y, X.
    """
    meaning: SpotParams | LabelParams
    seen: PredictionParams | DetectionTrainingParams
    if isinstance(params, DetectionParams):
        meaning, seen = params.spots, params.prediction
    else:
        meaning, seen = params.labels, params
    return TrainedWith(
        voxel_size=meaning.voxel_size.last(len(shape)),
        rescaling=_rescaling(seen.image, shape),
        n_keep_axials=seen.n_keep_axials,
        use_median=seen.image.use_median,
        c_ratio=meaning.c_ratio,
    )


def of_flow(params: FlowTrainingParams | FlowParams, shape: Shape) -> TrainedWith:
    """Return on what a flow depends, of a training or of a prediction."""
    image = params.prediction.image if isinstance(params, FlowParams) else params.image
    meaning: DisplacementParams = params.displacement
    return TrainedWith(
        voxel_size=meaning.voxel_size.last(len(shape)),
        rescaling=_rescaling(image, shape),
        n_keep_axials=meaning.n_keep_axials,
        use_median=image.use_median,
        max_displacement=meaning.max_displacement,
    )


def warn_of_differences(path: Path, now: TrainedWith, what: str) -> None:
    """Warn if a model is used with other settings than those of its training, as far as its provenance says.

    Parameters
    ----------
    path
        The model file.
    now
        What it is used with.
    what
        What is done with it: ``this prediction``.
    """
    before = tell(path).trained_with()
    found = [] if before is None else before.differences(now)
    words = f"{path.name} was trained with " + ", ".join(f"{name} {was}" for name, was, _ in found)
    words += f", but {what} has " + ", ".join(f"{name} {now}" for name, _, now in found)
    if not found:
        _said.pop(path, None)
    elif _said.get(path) != words:
        _said[path] = words
        logger.warning("%s: its results may be wrong; set the same values, or train the model with these", words)


def _rescaling(image: ImageParams, shape: Shape) -> tuple[float, ...]:
    return seen_per_stored(shape, image.input_size or shape)
