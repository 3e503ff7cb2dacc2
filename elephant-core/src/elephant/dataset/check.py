"""Checking that a dataset's folder is complete, and still belongs to its movie."""

import logging
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from elephant.dataset.arrays import open_array
from elephant.dataset.changes import ANEW, describe_loss, describe_replacement
from elephant.dataset.in_place import ImagesFound, find_images, source_in_place
from elephant.dataset.layout import IMAGE_DTYPES, IMAGES, array_specs
from elephant.dataset.readers import find_movie
from elephant.dataset.readers.file_patterns import is_pattern, members_of_pattern
from elephant.dataset.source import SOURCE_FILE, DatasetSource
from elephant.dataset.transaction import is_swapping, recover
from elephant.errors import DatasetError, ElephantError

READY = "ready"

_AGAIN = "generate the dataset again from its movie"
_VERDICTS_KEPT = 128

logger = logging.getLogger(__name__)


def check_dataset(folder: Path, shape: Sequence[int] | None = None) -> str:
    """Check that a dataset can be used, and still belongs to its movie; return problems rather than raising them.

    Only metadata are read, and some blocks of a movie whose file has changed.

    Parameters
    ----------
    folder
        The dataset's folder.
    shape
        The shape that the client sees: T, Z, Y, X, or T, Y, X for 2D. None: not checked.

    Returns
    -------
    str
        ``ready``, or the first problem and what to do about it.
    """
    message = check_arrays(folder, shape)
    return message if message != READY else (describe_change(folder) or READY)


def check_arrays(folder: Path, shape: Sequence[int] | None = None) -> str:
    """Check that a dataset is complete, as :func:`check_dataset` does, but not whether its movie was replaced."""
    try:
        if not folder.is_dir():
            return f"the dataset's folder {folder} does not exist: generate the dataset, or upload its movie"
        recover(folder)
        message = _inspect(folder, shape)
        if message != READY and is_swapping(folder):  # a conversion has just finished
            recover(folder)
            message = _inspect(folder, shape)
    except (DatasetError, OSError) as error:
        return str(error)
    return message


def describe_change(folder: Path) -> str:
    """Return a sentence if a dataset's movie is no longer the one it was made from, otherwise an empty string.

    A movie that was only touched or copied is the same. A missing movie is no change, unless the dataset's folder
    holds another one, which would be used now. For datasets of the original server nothing is known.

    Parameters
    ----------
    folder
        The dataset's folder.
    """
    source = DatasetSource.read(folder)
    if source is None:
        return ""
    try:
        if source.in_place:
            return describe_loss(folder, source)
        return describe_replacement(folder, source) or _describe_successor(folder, source)
    except OSError as error:  # a check never fails
        logger.warning("the movie of %s cannot be read: %s", folder.name, error)
        return ""


def _describe_successor(folder: Path, source: DatasetSource) -> str:
    """Return a sentence if a movie that was added to the dataset's folder later would be used now."""
    if source.folder is not None:
        return ""
    is_there = source.movie_path(folder).exists()
    if is_there and Path(source.movie).stem == folder.name:
        return ""
    successor = _movie_in(folder, folder.stat().st_mtime_ns)
    if successor is None or successor.name == source.movie or (is_there and successor.stem != folder.name):
        return ""
    files = members_of_pattern(successor).files.values() if is_pattern(successor.name) else (successor,)
    if max(path.stat().st_ctime_ns for path in files) < (folder / SOURCE_FILE).stat().st_ctime_ns:
        return ""  # it was there already, and another one was chosen
    gone = "" if is_there else ", which is missing"
    return (
        f"this dataset was made from {source.movie}{gone}, and its folder holds the movie {successor.name}: {ANEW}, "
        f"or move {successor.name} out of the folder"
    )


@lru_cache(_VERDICTS_KEPT)
def _movie_in(folder: Path, mtime_ns: int) -> Path | None:  # noqa: ARG001
    """Return the movie that a dataset would be made from now; adding a file changes the folder's time."""
    try:
        return find_movie(folder)
    except ElephantError:
        return None


def _inspect(folder: Path, shape: Sequence[int] | None) -> str:
    images = find_images(folder)
    problem = _check_images(folder, images, shape) or _check_others(folder, images) or _check_movie(folder, images)
    return problem or READY


def _check_movie(folder: Path, images: ImagesFound) -> str:
    """Return what keeps images from being read in place, if they are."""
    return describe_loss(folder, source_in_place(folder)) if images.in_place else ""


def _check_images(folder: Path, images: ImagesFound, shape: Sequence[int] | None) -> str:
    found, dtype = images.shape, images.dtype
    if len(found) not in (3, 4) or min(found) < 1:
        return f"expected {IMAGES} of shape T, Z, Y, X or T, Y, X, got {found}: {_AGAIN}"
    if dtype not in IMAGE_DTYPES:
        return f"expected {IMAGES} of type {' or '.join(IMAGE_DTYPES)}, got {dtype}: {_AGAIN}"
    if shape is not None and tuple(shape) != found:
        source = DatasetSource.read(folder)
        part = f" ({source.part} of {source.movie})" if source is not None and source.part else ""
        return (
            f"expected {IMAGES} of shape {tuple(shape)}, that of the open movie, got {found}{part}: "
            f"choose the dataset that belongs to the movie (2D or 3D), or {_AGAIN}"
        )
    return ""


def _check_others(folder: Path, images: ImagesFound) -> str:
    specs = array_specs(images.shape[0], images.shape[1:], images.dtype)
    for spec in (spec for name, spec in specs.items() if name != IMAGES):
        array = open_array(folder / spec.name)
        dtype = np.dtype(spec.dtype)
        if (tuple(array.shape), _short(array.dtype)) != (spec.shape, _short(dtype)):
            return (
                f"expected {spec.name} of shape {spec.shape} and type {dtype}, got {tuple(array.shape)} "
                f"and {array.dtype}: {_AGAIN}"
            )
    return ""


def _short(dtype: np.dtype[Any]) -> str:
    """Return NumPy's short name of a type without its byte order, which does not matter to readers."""
    return dtype.str.lstrip("|<>=")
