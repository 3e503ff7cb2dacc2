"""Whether a dataset's folder is complete, in words."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from elephant.dataset.layout import IMAGE_DTYPES, IMAGES, array_specs
from elephant.dataset.staging import is_swapping, recover
from elephant.dataset.storage import open_array
from elephant.errors import DatasetError

READY = "ready"

_AGAIN = "generate the dataset again from its movie"


def check_dataset(folder: Path, shape: Sequence[int] | None = None) -> str:
    """Tell whether a dataset can be worked with. Reads metadata alone, and raises nothing for what it finds.

    Parameters
    ----------
    folder
        The dataset's folder.
    shape
        What the client sees: T, Z, Y, X, or T, Y, X for 2D. None where it does not matter.

    Returns
    -------
    str
        ``ready``, or the first thing that is wrong and what to do about it.
    """
    try:
        if not folder.is_dir():
            return f"the dataset's folder {folder} is not there: generate the dataset, or upload its movie"
        recover(folder)
        message = _inspect(folder, shape)
        if message != READY and is_swapping(folder):  # a conversion came to its end just now
            recover(folder)
            message = _inspect(folder, shape)
    except (DatasetError, OSError) as error:
        return str(error)
    return message


def _inspect(folder: Path, shape: Sequence[int] | None) -> str:
    images = open_array(folder / IMAGES)
    found = (tuple(images.shape), images.dtype.name)
    return _check_images(*found, shape) or _check_others(folder, *found) or READY


def _check_images(found: tuple[int, ...], dtype: str, shape: Sequence[int] | None) -> str:
    if len(found) not in (3, 4) or min(found) < 1:
        return f"{IMAGES} should be of shape T, Z, Y, X or T, Y, X, but is {found}: {_AGAIN}"
    if dtype not in IMAGE_DTYPES:
        return f"{IMAGES} should be of type {' or '.join(IMAGE_DTYPES)}, but is {dtype}: {_AGAIN}"
    if shape is not None and tuple(shape) != found:
        return (
            f"{IMAGES} should be of shape {tuple(shape)} as the movie that is open, but is {found}: "
            f"choose the dataset that belongs to the movie (2D or 3D), or {_AGAIN}"
        )
    return ""


def _check_others(folder: Path, images: tuple[int, ...], image_dtype: str) -> str:
    for spec in array_specs(images[0], images[1:], image_dtype).values():
        array = open_array(folder / spec.name)
        dtype = np.dtype(spec.dtype)
        if (tuple(array.shape), _short(array.dtype)) != (spec.shape, _short(dtype)):
            return (
                f"{spec.name} should be of shape {spec.shape} and type {dtype}, but is {tuple(array.shape)} "
                f"and {array.dtype}: {_AGAIN}"
            )
    return ""


def _short(dtype: np.dtype[Any]) -> str:
    """Return NumPy's short name of a type without its byte order, which readers do not see."""
    return dtype.str.lstrip("|<>=")
