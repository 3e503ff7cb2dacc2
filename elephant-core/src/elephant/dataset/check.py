"""Whether a dataset's folder is complete, in words."""

import logging
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from elephant.dataset.arrays import open_array
from elephant.dataset.layout import IMAGE_DTYPES, IMAGES, array_specs
from elephant.dataset.readers.registry import BIGDATAVIEWER, find_movie, format_of_movie
from elephant.dataset.source import METHOD, SOURCE_FILE, DatasetSource, FileStamp, stamp_of
from elephant.dataset.transaction import is_swapping, recover
from elephant.errors import DatasetError, ElephantError
from elephant.progress import NeverCancelled

READY = "ready"

_AGAIN = "generate the dataset again from its movie"
_ANEW = "generate the dataset again, which starts its labels and predictions anew"
_VERDICTS_KEPT = 128

logger = logging.getLogger(__name__)


def check_dataset(folder: Path, shape: Sequence[int] | None = None) -> str:
    """Tell whether a dataset can be worked with, and still belongs to its movie. Raises nothing for what it finds.

    Metadata alone are read, and of a movie whose file is another one than it was, some blocks.

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
    message = check_arrays(folder, shape)
    return message if message != READY else (describe_change(folder) or READY)


def check_arrays(folder: Path, shape: Sequence[int] | None = None) -> str:
    """Tell whether a dataset is whole, as :func:`check_dataset` does, but not whether its movie was replaced."""
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


def describe_change(folder: Path) -> str:
    """Tell in words when a dataset's movie is not the one any more that the dataset was made from, else nothing.

    A movie that was only touched or copied is the same. One that is gone is no change, unless the dataset's folder
    holds another one, which would be taken now. Nothing is known of datasets of the original server.

    Parameters
    ----------
    folder
        The dataset's folder.
    """
    source = DatasetSource.read(folder)
    if source is None:
        return ""
    try:
        return _describe_replacement(folder, source) or _describe_successor(folder, source)
    except OSError as error:  # a check is never refused
        logger.warning("the movie of %s cannot be looked at: %s", folder.name, error)
        return ""


def _describe_replacement(folder: Path, source: DatasetSource) -> str:
    known = source.fingerprint
    if known is None or known.method != METHOD:
        return ""
    path = source.movie_path(folder)
    found = tuple(stamp_of(path.parent, stamp.name) for stamp in known.files)
    if None in found or found == known.files:  # gone, or some of its partitions are; or nothing has changed
        return ""
    digest, trouble = _look_at(path, source.reader, source.setup, found)
    if digest == known.digest:
        return ""
    since = f"the movie {source.movie} has changed since this dataset was made from it"
    if trouble:
        return f"{since}, and cannot be read now ({trouble}): put it in place again, then {_ANEW}"
    return f"{since}: {_ANEW}"


@lru_cache(_VERDICTS_KEPT)
def _look_at(
    path: Path,
    reader: str | None,
    setup: int | None,
    stamps: tuple[FileStamp | None, ...],  # noqa: ARG001
) -> tuple[str, str]:
    """Return the digest of a movie whose files are these, or why there is none."""
    try:
        form = BIGDATAVIEWER if reader is None else format_of_movie(path, reader)
        return form.digest(path, setup, NeverCancelled()), ""
    except ElephantError as error:
        return "", str(error)


def _describe_successor(folder: Path, source: DatasetSource) -> str:
    """Tell when a movie that came later into the dataset's folder would be taken now."""
    if source.folder is not None:
        return ""
    is_there = source.movie_path(folder).is_file()
    if is_there and Path(source.movie).stem == folder.name:
        return ""
    successor = _movie_in(folder, folder.stat().st_mtime_ns)
    if successor is None or successor.name == source.movie or (is_there and successor.stem != folder.name):
        return ""
    if successor.stat().st_ctime_ns < (folder / SOURCE_FILE).stat().st_ctime_ns:
        return ""  # it was there, and another one was chosen
    gone = "" if is_there else ", which is gone"
    return (
        f"this dataset was made from {source.movie}{gone}, and its folder holds the movie {successor.name}: {_ANEW}, "
        f"or move {successor.name} out of the folder"
    )


@lru_cache(_VERDICTS_KEPT)
def _movie_in(folder: Path, mtime_ns: int) -> Path | None:  # noqa: ARG001
    """Return the movie that a dataset would be made from now; files come and go with the folder's time."""
    try:
        return find_movie(folder)
    except ElephantError:
        return None


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
