"""What pieces of work on a model share: what they are given, their sizes, and whether memory holds them."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from elephant.config import ImageParams, LoopParams, PredictionParams
from elephant.dataset import Dataset
from elephant.errors import InvalidInputError, ModelFileError
from elephant.hardware import check_memory
from elephant.models.ensemble import ModelCache
from elephant.progress import CancelToken, ProgressReporter
from elephant.slabs import extremes
from elephant.types import Box, Shape, VoxelSize

if TYPE_CHECKING:  # it needs what stands here
    from elephant.methods.known import KnownPredictions

DEFAULT_CACHE_BYTES = 1 << 30
# What a person can change where there is too little memory. Settings are named as the client and its requests do; the
# command line puts its options in their place.
TRAINING_REMEDY = (
    "make `crop_size` or `batch_size` smaller, or `cache_maxbytes` if the machine's own memory is short; the model "
    "keeps its last finished epoch"
)
START_REMEDY = "make `crop_size` or `cache_maxbytes` smaller; the model is unchanged"
PREDICTION_REMEDY = "make `patch`, `batch_size` or `crop_box` smaller, or close other programs that use the device"


@dataclass(frozen=True, slots=True)
class ModelWork:
    """What every piece of work with a model and a dataset needs.

    Attributes
    ----------
    dataset
        Whose images are used.
    model_path
        The model file.
    model_cache
        Where models are kept warm; its device computes.
    reporter, cancel
        Who hears how far the work is and who may end it.
    cache_bytes
        Limit for the prepared timepoints that are kept in memory meanwhile.
    auto_scale
        Whether models see images at a scale that is chosen for them, where nothing else is asked for.
    known
        What predictions found before; None: each is computed.
    """

    dataset: Dataset
    model_path: Path
    model_cache: ModelCache
    reporter: ProgressReporter
    cancel: CancelToken
    cache_bytes: int = DEFAULT_CACHE_BYTES
    auto_scale: bool = True
    known: "KnownPredictions | None" = None


def name_of(dataset: Dataset, t: int) -> str:
    """Return what a timepoint is called in the log."""
    return f"timepoint {t} of {dataset.name}"


def chosen_box(crop_box: Box | None, shape: Shape) -> Box:
    """Return the box, or the one that covers the image where none was given.

    Raises
    ------
    InvalidInputError
        It is not inside the image.
    """
    box = crop_box or Box.whole(shape)
    if not box.fits(shape):
        raise InvalidInputError(
            f"the crop box from {_xyz(box.origin)} of {_xyz(box.size)} voxels is not inside the image of {_xyz(shape)} "
            "(X, Y, Z): correct `crop_box`"
        )
    return box


def _xyz(shape: Shape) -> str:
    return " x ".join(map(str, reversed(shape)))


def check_output(values: NDArray[np.floating], model_path: Path) -> None:
    """Check what a network gave.

    Raises
    ------
    ModelFileError
        It produced NaN or infinity: some of its weights are so large that they overflow.
    """
    lines = values.reshape(-1, values.shape[-1])
    if not np.isfinite(extremes(lines)).all():
        raise ModelFileError(
            f"the model {model_path.name} produces NaN or infinite values: its training diverged; reset it and train "
            f"it with a smaller learning rate"
        )


def seen_voxel_size(stored: VoxelSize, stored_shape: Shape, seen_shape: Shape) -> tuple[float, ...]:
    """Return the physical size of the voxels of a whole image as the network sees it, n values, (Z), Y, X."""
    edges = stored.last(len(stored_shape))
    return tuple(v * a / b for v, a, b in zip(edges, stored_shape, seen_shape, strict=True))


def seen_per_stored(stored_shape: Shape, seen_shape: Shape) -> tuple[float, ...]:
    """Return how many voxels of the image that the network sees lie along one stored voxel, n values, (Z), Y, X."""
    return tuple(seen / stored for seen, stored in zip(seen_shape, stored_shape, strict=True))


def seen_size(stored_shape: Shape, input_size: Shape | None, box: Box) -> Shape:
    """Return the size of a box once the whole image is rescaled to `input_size`."""
    whole = input_size or stored_shape
    return tuple(
        max(1, round(size * wanted / stored))
        for size, wanted, stored in zip(box.size, whole, stored_shape, strict=True)
    )


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
