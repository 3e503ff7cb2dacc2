"""Making a dataset that reads its images from a movie in place: in about a second, whatever the movie's size."""

import logging
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np

from elephant.config import ConversionParams
from elephant.dataset.arrays import create_array
from elephant.dataset.in_place import find_images, write_reference
from elephant.dataset.layout import IMAGES, array_specs
from elephant.dataset.origin import describe_source, locate_source, say_which_part, spatial_shape
from elephant.dataset.readers import reader_of_movie
from elephant.dataset.readers.movie import Movie
from elephant.dataset.source import SOURCE_FILE, DatasetSource, samples, unit_of
from elephant.dataset.transaction import replacing_arrays, staging
from elephant.dataset.values import (
    Scaling,
    ValueRange,
    dtype_without_scan,
    guess_scaling,
    range_of,
    scaling_to_range,
)
from elephant.errors import DatasetError, InvalidInputError
from elephant.io.atomic import explained_storage, new_folder, replacing
from elephant.progress import CancelToken

_Weights = tuple[tuple[int, float], ...]

logger = logging.getLogger(__name__)


def add(source: Path, destination: Path, params: ConversionParams, cancel: CancelToken) -> None:
    """Make a dataset that reads its images from a movie, replacing the arrays of an older one in the same folder.

    Labels, predictions and flow start empty. Images are read when they are needed, and nothing of them is copied.
    Values of uint8 and uint16 stay as they are. All others are scaled to 16 bits: to the range that is requested, or to
    one that is guessed from sampled blocks, with a warning.

    Parameters
    ----------
    source
        The movie, as for :func:`elephant.dataset.convert`. It has to stay where it is.
    destination
        The dataset's folder; created if it does not exist.
    params
        Which part of the movie is taken, and how values are scaled.
    cancel
        Asked for every sampled block.

    Raises
    ------
    NotFoundError, PluginError, DatasetError, InUseError, Cancelled
        As for :func:`elephant.dataset.convert`.
    InvalidInputError
        The format cannot be read in place, or the type was requested and only a look at all values could tell whether
        they fit.
    """
    with replacing_arrays(destination) if (destination / IMAGES).exists() else nullcontext():
        movie = _inspected(source, params, cancel)
        say_which_part(movie, params)
        spatial = spatial_shape(movie, params)
        made_from = describe_source(movie, destination, params, movie.fingerprint(cancel))
        scaling, n_sampled = _scaling(movie, params, cancel)
        specs = array_specs(movie.n_timepoints, spatial, scaling.dtype)
        scales = {"divisor": scaling.divisor, "offset": scaling.offset, "factor": scaling.factor}
        what = f"the dataset {destination.name}"
        with explained_storage(what, destination, 0), new_folder(destination), staging(destination) as staged:
            write_reference(staged, specs.pop(IMAGES))
            for spec in specs.values():
                create_array(staged / spec.name, spec)
            made_from.model_copy(update={"in_place": True, "guessed_from": n_sampled, **scales}).write(staged)


def relink(source: Path, destination: Path, params: ConversionParams, cancel: CancelToken) -> bool:
    """Tell a dataset that reads its images in place where its movie is now; labels and predictions stay.

    What `params` leaves open (source, axes, level, timepoints), since nobody set it, is as the dataset has it.

    Returns
    -------
    bool
        Whether that was done: False, with nothing changed, if `destination` is no such dataset, or if the movie, or the
        part of it that `params` asks for, is another one.
    """
    before = DatasetSource.read(destination)
    is_scaling_asked = params.divisor is not None or params.value_range is not None or params.dtype != "auto"
    if before is None or not before.in_place or is_scaling_asked or not (destination / IMAGES).exists():
        return False
    found = find_images(destination)
    chosen, weights = _as_before(params, before, n_dims=len(found.shape) - 1)
    try:
        movie = _inspected(source, chosen, cancel, weights)
    except InvalidInputError:  # another movie may have no such part
        _inspected(source, params, cancel)  # says so if the given parameters are at fault
        return False
    now = locate_source(movie, destination, movie.fingerprint(cancel))
    shape = movie.reader.shape[1:] if chosen.is_2d and movie.reader.shape[0] == 1 else movie.reader.shape
    if (movie.n_timepoints, *shape) != found.shape or _identity(now) != _identity(before):
        return False
    update: dict[str, Any] = {name: getattr(now, name) for name in ("movie", "folder", "reader", "fingerprint")}
    if params.voxel_size is not None:
        update |= {"voxel_size": params.voxel_size, "unit": params.unit}
    with replacing_arrays(destination), replacing(destination / SOURCE_FILE) as file:
        file.write(before.model_copy(update=update).as_json().encode())
    logger.info("the dataset %s reads its images from %s now; its labels are kept", destination.name, movie.path)
    return True


def _as_before(params: ConversionParams, before: DatasetSource, n_dims: int) -> tuple[ConversionParams, _Weights]:
    """Return parameters in which a dataset's own say what the given ones leave open, and the weights of sources."""
    given = params.model_fields_set
    kept: dict[str, Any] = {"is_2d": n_dims == 2, "axes": before.axes, "level": before.level}
    if not given & {"t_start", "t_end"}:
        kept |= {"t_start": before.t_start, "t_end": before.t_end}
    is_chosen = bool(given & {"setup", "channel", "weights"})
    if not is_chosen:
        kept["setup"] = before.setup
    update = {name: value for name, value in kept.items() if name not in given} | {"fill_gaps": True}
    return params.model_copy(update=update), () if is_chosen else before.weights


def _identity(source: DatasetSource) -> tuple[object, ...]:
    """Return what has to be the same for a dataset to keep its labels."""
    known = source.fingerprint
    digest = None if known is None else (known.method, known.digest)
    part = (source.level, source.t_start, source.t_end, source.blank_timepoints)
    return (digest, source.setup, source.weights, source.axes, *part)


def _inspected(source: Path, params: ConversionParams, cancel: CancelToken, weights: _Weights = ()) -> Movie:
    movie = reader_of_movie(source, params.reader).open_chosen(source, params, cancel, weights)
    if not movie.reader.in_place:
        raise InvalidInputError(
            f"{movie.path.name} cannot be read in place, since each small part of it would take as long as a whole "
            "timepoint: make a copy, with `elephant convert`"
        )
    return movie


def _scaling(movie: Movie, params: ConversionParams, cancel: CancelToken) -> tuple[Scaling, int | None]:
    """Return how values are scaled, and from how many blocks that was guessed; None if it was not."""
    if params.value_range is not None:
        return scaling_to_range(params), None
    kept = _dtype(movie, params)
    if kept is not None:
        return Scaling(params.divisor or 1.0, kept), None
    if params.divisor is not None or params.dtype == "uint8":
        raise InvalidInputError(
            f"only a look at all values of {movie.path.name} could tell whether they fit, which an added movie does "
            "not get: give the smallest and the largest value with `value_range`, or copy it, with `elephant convert`"
        )
    found, n_blocks = _sampled(movie, cancel)
    return guess_scaling(found, n_blocks, movie.path.name), n_blocks


def _dtype(movie: Movie, params: ConversionParams) -> str | None:
    """Return the type in which all values fit, whichever they are; None if there is none, or not the requested one."""
    chosen = dtype_without_scan(movie.reader.dtype, params)
    if chosen is None and params.dtype == "auto":
        chosen = dtype_without_scan(movie.reader.dtype, params.model_copy(update={"dtype": "uint16"}))
    return chosen


def _sampled(movie: Movie, cancel: CancelToken) -> tuple[ValueRange, int]:
    """Return the range of the values of blocks spread over the movie, and how many blocks that were."""
    reader, found, n_blocks = movie.reader, ValueRange(), 0
    itemsize = np.dtype(reader.dtype).itemsize
    unit = unit_of(reader.stored_blocks(), reader.shape, itemsize)
    for t, blocks in samples(movie.n_timepoints, reader.shape, unit, itemsize):
        if t in movie.blank:
            continue
        with movie.timepoint(t) as timepoint:
            for block in blocks:
                cancel.check()
                where = f"timepoint {timepoint.number} of {movie.path.name}"
                found = found.joined(range_of(timepoint.read(block), where))
                n_blocks += 1
    if found.high < found.low:
        raise DatasetError(
            f"expected finite values in {movie.path.name}, but all of {n_blocks} sampled blocks are NaN: give the "
            "smallest and the largest value with `value_range`"
        )
    if found.low == found.high:
        raise DatasetError(
            f"all values in {n_blocks} sampled blocks of {movie.path.name} are {found.low:g}, from which nobody can "
            "tell how bright the rest is: give the smallest and the largest value with `value_range`"
        )
    return found, n_blocks
