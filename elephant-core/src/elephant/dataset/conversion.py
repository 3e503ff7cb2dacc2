"""A movie becomes a dataset: all of it, or nothing."""

import errno
import logging
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np

from elephant.config.conversion import ConversionParams
from elephant.dataset.bigdataviewer import Movie, Timepoint
from elephant.dataset.layout import IMAGES, ArraySpec, array_specs, grow, regions
from elephant.dataset.staging import staging
from elephant.dataset.storage import create_array, open_array
from elephant.dataset.values import Scaling, ValueRange, choose_dtype, is_decided, needs_no_scan
from elephant.errors import DatasetError
from elephant.reporting import CancelToken, ProgressReporter
from elephant.types import Shape

_PIECE_BYTES = 16 * 2**20  # read at a time
_CLEARLY_TOO_SMALL = 0.5  # of the smaller of raw and compressed size

logger = logging.getLogger(__name__)


def convert(
    source: Path, destination: Path, params: ConversionParams, reporter: ProgressReporter, cancel: CancelToken
) -> None:
    """Make a dataset from a BigDataViewer movie, replacing the arrays of an older one in the same folder.

    Labels, predictions and flow start empty. Whatever happens, the folder holds either the old arrays or all new ones;
    other files in it, the movie for instance, are left alone.

    Parameters
    ----------
    source
        The ``.h5`` file, the master file of a split movie.
    destination
        The dataset's folder; made where it does not exist.
    params
        How values and axes are taken over.
    reporter
        Is told of every timepoint that is finished: ``progress("timepoint", k, T)``, k from 1.
    cancel
        Asked at least once per block.

    Raises
    ------
    NotFoundError
        There is no such movie.
    DatasetError
        The movie cannot be read, its values do not fit, there is no room, or another conversion is running.
    Cancelled
        From `cancel`.
    """
    movie = Movie.inspect(source)
    spatial = _spatial(movie, params)
    scaling = Scaling(params.divisor, _stored_dtype(movie, params, cancel))
    specs = array_specs(movie.n_timepoints, spatial, scaling.dtype)
    destination.mkdir(parents=True, exist_ok=True)
    _check_room(movie, specs[IMAGES], destination)
    try:
        with staging(destination) as staged:
            for spec in specs.values():
                create_array(staged / spec.name, spec)
            high = 0
            for t in range(movie.n_timepoints):
                high = max(high, store_timepoint(movie, t, staged / IMAGES, scaling, cancel))
                reporter.progress("timepoint", t + 1, movie.n_timepoints)
    except OSError as error:
        raise _no_room(destination) if error.errno in (errno.ENOSPC, errno.EDQUOT) else error from error
    if high < 2:
        logger.warning("almost nothing is left of %s", source.name)


def _spatial(movie: Movie, params: ConversionParams) -> Shape:
    if not params.is_2d:
        return movie.shape
    if movie.shape[0] != 1:
        raise DatasetError(
            f"a 2D dataset needs a movie with a single plane, but {movie.path.name} has {movie.shape[0]}: "
            "make a 3D dataset, or export a projection"
        )
    return movie.shape[1:]


def _stored_dtype(movie: Movie, params: ConversionParams, cancel: CancelToken) -> str:
    known = needs_no_scan(movie.dtype, params)
    if known:
        return known
    high = 0.0
    for t in range(movie.n_timepoints):
        high = max(high, largest_value(movie, t, cancel))
        if is_decided(high, params) and not movie.dtype.startswith("float"):
            break
    return choose_dtype(high, params)


def largest_value(movie: Movie, t: int, cancel: CancelToken) -> float:
    high = 0.0
    with movie.timepoint(t) as timepoint:
        for region in _pieces(movie, tuple(slice(0, s) for s in movie.shape)):
            cancel.check()
            high = max(
                high, ValueRange.of(timepoint.read(region), f"timepoint {t} of {movie.path.name}").high
            )
    return high


def store_timepoint(movie: Movie, t: int, images: Path, scaling: Scaling, cancel: CancelToken) -> int:
    """Convert one timepoint and return its largest stored value."""
    array = open_array(images, writable=True)
    is_2d = array.ndim == 3
    file_shape = (array.shards or array.chunks)[1:]
    high = 0
    with movie.timepoint(t) as timepoint:
        for region in regions(movie.shape, (1, *file_shape) if is_2d else file_shape):
            values = np.empty([s.stop - s.start for s in region], scaling.dtype)
            for piece in _pieces(movie, region):
                cancel.check()
                inside = tuple(
                    slice(p.start - r.start, p.stop - r.start) for p, r in zip(piece, region, strict=True)
                )
                values[inside] = scaling.apply(timepoint.read(piece))
            high = max(high, int(values.max()))
            if is_2d:
                array[(t, *region[1:])] = values[0]
            else:
                array[(t, *region)] = values
    return high


def _pieces(movie: Movie, region: tuple[slice, ...]) -> Iterator[tuple[slice, ...]]:
    """Cut a region along the blocks of the movie into pieces that are read at once."""
    block = grow(movie.chunks, movie.shape, _PIECE_BYTES // np.dtype(movie.dtype).itemsize)
    for piece in regions(movie.shape, block):
        cut = tuple(
            slice(max(p.start, r.start), min(p.stop, r.stop)) for p, r in zip(piece, region, strict=True)
        )
        if all(c.start < c.stop for c in cut):
            yield cut


def _check_room(movie: Movie, images: ArraySpec, destination: Path) -> None:
    raw = int(np.prod(images.shape)) * np.dtype(images.dtype).itemsize
    if shutil.disk_usage(destination).free < _CLEARLY_TOO_SMALL * min(raw, movie.stored_bytes):
        raise _no_room(destination)


def _no_room(destination: Path) -> DatasetError:
    return DatasetError(f"no room in {destination}")
