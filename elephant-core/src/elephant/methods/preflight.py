"""Whether a piece of work can be done, before it changes anything: timepoints, boxes, and sizes against the memory."""

import math

import torch

from elephant.config import ImageParams, LoopParams, PredictionParams
from elephant.dataset import Dataset
from elephant.hardware import check_memory
from elephant.methods.work import chosen_box, seen_size
from elephant.types import Shape

_FLOAT_BYTES = 4
# What a network takes per voxel of its crops, measured with the models of this package on a CPU.
_TRAINING_BYTES = 1500


def check_prediction(dataset: Dataset, t: int, params: PredictionParams, n_images: int, n_outputs: int) -> None:
    """Check that a prediction can be done; its tiles are cut as memory allows.

    Parameters
    ----------
    t
        Timepoint.
    n_images, n_outputs
        Images that the network sees, and channels that it gives.

    Raises
    ------
    elephant.errors.InvalidInputError
        The timepoint or the box is outside of the movie, or memory cannot hold what it needs.
    """
    dataset.check_timepoint(t)
    box = chosen_box(params.crop_box, dataset.shape)
    seen = seen_size(dataset.shape, params.image.input_size, box)
    _check_image(seen, n_images + 2 * n_outputs)


def check_images(dataset: Dataset, image: ImageParams, n_images: int) -> None:
    """Check that the prepared images of a training step fit into memory.

    Raises
    ------
    elephant.errors.InvalidInputError
        They do not.
    """
    _check_image(image.input_size or dataset.shape, n_images)


def check_batches(crop_size: Shape, seen: Shape, loop: LoopParams, n_timepoints: int, device: torch.device) -> None:
    """Check that the crops of a training step go through the network.

    Parameters
    ----------
    seen
        Size of the image that crops are cut from, (Z), Y, X.
    n_timepoints
        From how many there are crops.

    Raises
    ------
    elephant.errors.InvalidInputError
        Memory cannot hold what that needs.
    """
    if device.type != "cpu":
        return
    crop = _voxels(crop_size, seen)
    at_once = min(loop.batch_size, loop.n_crops * max(n_timepoints, 1))
    check_memory(
        at_once * crop * _TRAINING_BYTES,
        f"training on {at_once} crop(s) of {crop} voxels at a time (`batch_size`, `crop_size`)",
        "choose a smaller `crop_size` or `batch_size`",
    )


def _check_image(seen: Shape, n_channels: int) -> None:
    size = " x ".join(str(s) for s in reversed(seen))
    check_memory(
        math.prod(seen) * n_channels * _FLOAT_BYTES,
        f"an image of {size} voxels (`input_size`)",
        "choose a smaller `input_size` or `crop_box`",
    )


def _voxels(wanted: Shape, there_are: Shape) -> int:
    return math.prod(min(a, b) for a, b in zip(wanted, there_are, strict=True))
