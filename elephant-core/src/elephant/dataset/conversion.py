"""Converting a movie to a dataset: completely, or not at all."""

import errno
import logging
import math
import shutil
from collections.abc import Iterator
from contextlib import closing, nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from elephant.config import ConversionParams
from elephant.dataset.arrays import create_array, for_values, open_array
from elephant.dataset.layout import IMAGES, ArraySpec, array_specs, regions
from elephant.dataset.origin import describe_source, say_which_part, spatial_shape
from elephant.dataset.readers import reader_of_movie
from elephant.dataset.readers.movie import Movie
from elephant.dataset.source import DatasetSource, Fingerprint
from elephant.dataset.transaction import replacing_arrays, staging
from elephant.dataset.values import (
    OutgrownError,
    Scaling,
    ValueRange,
    choose_scaling,
    dtype_without_scan,
    is_decided,
    range_of,
    scaling_to_range,
    warn_of_few_levels,
)
from elephant.dataset.workers import run
from elephant.errors import DatasetError, reason_of
from elephant.io.atomic import new_folder
from elephant.progress import CancelToken, ProgressReporter, cancelled_by
from elephant.types import Shape
from elephant.words import in_bytes

_PARALLEL_FROM = 256 * 2**20  # raw bytes; below, starting processes takes longer than it saves
_CLEARLY_TOO_SMALL = 0.5  # of what the images take, raw or as compressed as in the movie

logger = logging.getLogger(__name__)


def convert(
    source: Path, destination: Path, params: ConversionParams, reporter: ProgressReporter, cancel: CancelToken
) -> None:
    """Make a dataset from a movie, replacing the arrays of an older one in the same folder.

    Labels, predictions and flow start empty. Whatever happens, the folder holds either all old arrays or all new ones.
    Other files in it, such as the movie, are left alone. Movies of more than 256 MiB are read by several processes.

    Parameters
    ----------
    source
        The movie: an ``.h5`` of BigDataViewer, the master file of a split one, the ``.xml`` that names it, or what a
        reader of another package claims. Or the address of an OME-Zarr movie (see :mod:`elephant.io.addresses`).
    destination
        The dataset's folder; created if it does not exist.
    params
        How values and axes are converted.
    reporter
        Receives each finished timepoint: ``progress("timepoint", k, T)``, k from 1.
    cancel
        Asked at least once per block, several times a second where other processes work.

    Raises
    ------
    NotFoundError
        The movie does not exist.
    PluginError
        The reader of another package cannot be loaded, or failed.
    DatasetError
        The movie cannot be read, several readers claim it, its values do not fit, the disk is full, or another
        conversion is running.
    InUseError
        The dataset that would be replaced is in use.
    Cancelled
        From `cancel`.
    """
    is_there = (destination / IMAGES).exists()
    with cancelled_by(cancel), replacing_arrays(destination) if is_there else nullcontext():
        _convert(source, destination, params, reporter, cancel)


def _convert(
    source: Path, destination: Path, params: ConversionParams, reporter: ProgressReporter, cancel: CancelToken
) -> None:
    movie = reader_of_movie(source, params.reader).open_chosen(source, params, cancel)
    say_which_part(movie, params)
    spatial = spatial_shape(movie, params)
    known = movie.fingerprint(cancel)
    made_from = describe_source(movie, destination, params, known)
    work = _Work(movie, spatial, destination, made_from, known, reporter, cancel)
    if params.value_range is not None:
        _write(work, scaling_to_range(params))
        return
    dtype = dtype_without_scan(movie.reader.dtype, params)
    divisor = params.divisor or 1.0
    if dtype is None and params.dtype == "auto" and movie.reader.dtype == "uint16":
        if _is_big(movie) and _exceeds_8_bits_at_first(movie, params, cancel):
            _write(work, Scaling(divisor, "uint16"))
            return
        # 16-bit movies that fit into 8 bits are read only once like this, and most others exceed them early.
        try:
            _write(work, Scaling(divisor, "uint8", is_checked=True))
        except OutgrownError:
            logger.info("%s needs 16 bits after all: starting again", movie.path.name)
        else:
            return
    _write(work, _scaling_by_scan(movie, params, cancel) if dtype is None else Scaling(divisor, dtype))


@dataclass(frozen=True, slots=True)
class _Work:
    """The inputs of a conversion: the movie and its fingerprint, the shape of a timepoint, and the destination."""

    movie: Movie
    spatial: Shape
    destination: Path
    source: DatasetSource
    known: Fingerprint
    reporter: ProgressReporter
    cancel: CancelToken


def _write(work: _Work, scaling: Scaling) -> None:
    with new_folder(work.destination):
        _write_into_folder(work, scaling)


def _write_into_folder(work: _Work, scaling: Scaling) -> None:
    movie, destination = work.movie, work.destination
    specs = array_specs(movie.n_timepoints, work.spatial, scaling.dtype)
    _check_room(movie, specs[IMAGES], destination)
    try:
        with staging(destination) as staged:
            for spec in specs.values():
                create_array(staged / spec.name, spec)
            _store_images(movie, staged / IMAGES, scaling, work.reporter, work.cancel)
            _check_unchanged(movie, work.known, work.cancel)
            scales = {"divisor": scaling.divisor, "offset": scaling.offset, "factor": scaling.factor}
            work.source.model_copy(update=scales).write(staged)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DatasetError(
                f"the images of {movie.path.name} need up to {in_bytes(_raw_bytes(specs[IMAGES]))} more, but "
                f"{destination} has {in_bytes(shutil.disk_usage(destination).free)} left ({reason_of(error)}): make "
                "room on the disk and convert again; the previous files are unchanged"
            ) from error
        raise


def _check_unchanged(movie: Movie, known: Fingerprint, cancel: CancelToken) -> None:
    """Refuse a movie that was replaced, or still being written, while it was read."""
    if movie.is_same(known, cancel):
        return
    raise DatasetError(
        f"{movie.path.name} changed while it was converted: wait until its export or copy is done, and convert again; "
        "the previous files are unchanged"
    )


def _exceeds_8_bits_at_first(movie: Movie, params: ConversionParams, cancel: CancelToken) -> bool:
    """Return whether a value of the first timepoint that has an image decides for 16 bits, before processes start."""
    t = next(t for t in range(movie.n_timepoints) if t not in movie.blank)
    return any(is_decided(part.high, movie.reader.dtype, params) for part in _ranges(movie, t, cancel))


def _scaling_by_scan(movie: Movie, params: ConversionParams, cancel: CancelToken) -> Scaling:
    logger.info("finding the smallest and the largest value of %s", movie.path.name)
    found = ValueRange()
    with closing(run(RangeOfValues(movie), movie.n_timepoints, cancel, parallel=_is_big(movie))) as ranges:
        for values in ranges:
            found = found.joined(values)
            if is_decided(found.high, movie.reader.dtype, params):
                break
    return choose_scaling(found, params, movie.path.name)


def _store_images(
    movie: Movie, images: Path, scaling: Scaling, reporter: ProgressReporter, cancel: CancelToken
) -> None:
    high = 0
    task = StoreTimepoint(movie, images, scaling)
    with closing(run(task, movie.n_timepoints, cancel, parallel=_is_big(movie))) as values:
        for done, value in enumerate(values, start=1):
            high = max(high, value)
            reporter.progress("timepoint", done, movie.n_timepoints)
    warn_of_few_levels(high, scaling, movie.path.name)


def _is_big(movie: Movie) -> bool:
    return movie.n_timepoints * movie.timepoint_bytes() > _PARALLEL_FROM


def _check_room(movie: Movie, images: ArraySpec, destination: Path) -> None:
    raw, stored = _raw_bytes(images), movie.stored_bytes()
    needed = int(_CLEARLY_TOO_SMALL * (raw if stored is None else min(raw, stored)))
    free = shutil.disk_usage(destination).free
    if free < needed:
        raise DatasetError(
            f"the images of {movie.path.name} need at least {needed / 2**20:.0f} MiB, but {destination} has "
            f"{free / 2**20:.0f} MiB left: make room on the disk"
        )


def _raw_bytes(images: ArraySpec) -> int:
    return math.prod(images.shape) * np.dtype(images.dtype).itemsize


@dataclass(frozen=True, slots=True)
class RangeOfValues:
    """Finds the range of the values of a timepoint."""

    movie: Movie

    def __call__(self, t: int, cancel: CancelToken) -> ValueRange:
        """Read the timepoint in pieces."""
        found = ValueRange()
        if t in self.movie.blank:
            cancel.check()
            return found
        for part in _ranges(self.movie, t, cancel):
            found = found.joined(part)
        return found


def _ranges(movie: Movie, t: int, cancel: CancelToken) -> Iterator[ValueRange]:
    """Yield the ranges of the pieces of a timepoint."""
    with movie.timepoint(t) as timepoint:
        for piece in movie.pieces(tuple(slice(0, s) for s in movie.reader.shape)):
            cancel.check()
            yield range_of(timepoint.read(piece), f"timepoint {movie.timepoints[t]} of {movie.path.name}")


@dataclass(frozen=True, slots=True)
class StoreTimepoint:
    """Copies a timepoint into the image array, file by file, and returns the largest value stored."""

    movie: Movie
    images: Path
    scaling: Scaling

    def __call__(self, t: int, cancel: CancelToken) -> int:
        """Read the timepoint in pieces, so that at most one file's content is in memory; a blank one is not stored."""
        if t in self.movie.blank:
            cancel.check()
            return 0
        array = open_array(self.images, writable=True)
        is_2d = array.ndim == 3
        file_shape = (1,) * is_2d + tuple(array.shards or array.chunks)[1:]
        high = 0
        with self.movie.timepoint(t) as timepoint:
            for region in sorted(regions(self.movie.reader.shape, file_shape), key=_along_z):
                values = np.empty([s.stop - s.start for s in region], self.scaling.dtype)
                for piece in self.movie.pieces(region):
                    cancel.check()
                    values[_within(piece, region)] = self.scaling.apply(timepoint.read(piece))
                high = max(high, int(values.max()))
                place: tuple[int | slice, ...] = (t, *region[is_2d:])
                for_values(array, values)[place] = values[0] if is_2d else values
        return high


def _along_z(region: tuple[slice, ...]) -> tuple[int, ...]:
    """Return a key for an order in which the blocks that two files share are soon needed again."""
    z, y, x = (part.start for part in region)
    return y, x, z


def _within(piece: tuple[slice, ...], region: tuple[slice, ...]) -> tuple[slice, ...]:
    return tuple(slice(p.start - r.start, p.stop - r.start) for p, r in zip(piece, region, strict=True))
