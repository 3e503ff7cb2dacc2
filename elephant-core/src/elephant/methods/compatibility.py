"""What a model was trained with, and whether a piece of work uses it in the same way."""

import logging
from pathlib import Path
from typing import Any

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
from elephant.dataset import Dataset
from elephant.methods.work import seen_per_stored
from elephant.models.provenance import TrainedWith
from elephant.models.provenance_text import provenance_of
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


def as_trained(path: Path, dataset: Dataset) -> dict[str, Any]:
    """Return what a prediction is made with where nothing else is asked for: what its model was trained with.

    Parameters
    ----------
    path
        The model file.
    dataset
        What it is used on. The voxel size is taken over only where the dataset does not tell its own.

    Returns
    -------
    dict
        Values by the names of parameters; sizes are (Z), Y, X. Empty where nobody knows.
    """
    before = provenance_of(path).trained_with()
    if before is None:
        return {}
    found: dict[str, Any] = {}
    if len(before.voxel_size) == dataset.n_dims:  # else it is a network for planes, used on slices
        is_known = dataset.source is not None and dataset.source.voxel_size is not None
        found["voxel_size"] = None if is_known else before.voxel_size
        found["n_keep_axials"] = before.n_keep_axials if before.n_keep_axials_was_chosen else None
        found["input_size"] = before.input_size(dataset.shape)
        found["max_displacement"] = before.max_displacement
    found |= {"use_median": before.use_median, "c_ratio": before.c_ratio}
    return {name: value for name, value in found.items() if value is not None}


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
    before = provenance_of(path).trained_with()
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
