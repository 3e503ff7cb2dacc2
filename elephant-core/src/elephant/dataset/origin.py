"""What is written down of the movie of a dataset: its source, part, voxel size and fingerprint."""

import logging
from pathlib import Path

from elephant.config import ConversionParams
from elephant.dataset.readers import BIGDATAVIEWER
from elephant.dataset.readers.base import say_what_was_taken
from elephant.dataset.readers.movie import Movie
from elephant.dataset.readers.weighted import WeightedSum
from elephant.dataset.source import DatasetSource, Fingerprint, differ, voxel_size_in_words
from elephant.errors import DatasetError
from elephant.io.addresses import absolute
from elephant.types import Shape, VoxelSize

logger = logging.getLogger(__name__)


def describe_source(movie: Movie, destination: Path, params: ConversionParams, known: Fingerprint) -> DatasetSource:
    """Return what is known of a dataset's movie, but for how its values are scaled.

    Parameters
    ----------
    movie
        The part of the movie that the dataset holds.
    destination
        The dataset's folder. A dataset in it that was made from the same movie gives its voxel size if the movie has
        none.
    params
        The requested voxel size.
    known
        The movie's fingerprint.
    """
    n_dims = 2 if params.is_2d else 3
    size, unit = _voxel_size(movie, params, n_dims)
    if size is None:
        size, unit = _kept_voxel_size(destination, known, movie.reader.level, n_dims)
    return locate_source(movie, destination, known).model_copy(update={"voxel_size": size, "unit": unit})


def say_which_part(movie: Movie, params: ConversionParams) -> None:
    """Log which of several sources is used, and which timepoints of the dataset are blank."""
    setup, others = movie.reader.setup, movie.reader.others
    is_chosen = params.setup is not None or params.channel is not None
    if params.weights is not None:
        logger.info("the sum of sources of %s is used: %s", movie.path.name, setup.name)
        others = ()
    say_what_was_taken(movie.path, setup, others, sorted(movie.blank), is_chosen=is_chosen)


def spatial_shape(movie: Movie, params: ConversionParams) -> Shape:
    """Return the shape of a timepoint in the dataset, (Z, Y, X) or (Y, X).

    Raises
    ------
    DatasetError
        Planes were requested of a movie of volumes.
    """
    if params.is_2d and movie.reader.shape[0] != 1:
        raise DatasetError(
            f"expected a movie with a single plane for a 2D dataset, got {movie.path.name} with "
            f"{movie.reader.shape[0]}: make a 3D dataset, or export a projection"
        )
    if movie.reader.shape[0] == 1 and not params.is_2d:
        logger.info("%s has a single plane, but becomes a 3D dataset: set `is_2d` for a 2D one", movie.path.name)
    return movie.reader.shape[1:] if params.is_2d else movie.reader.shape


def locate_source(movie: Movie, destination: Path, known: Fingerprint) -> DatasetSource:
    """Return which part of which movie a dataset in the folder `destination` is of."""
    folder = absolute(movie.path).parent
    is_inside = folder.resolve() == destination.resolve()
    reader = movie.reader
    weights: tuple[tuple[int, float], ...] = ()
    if isinstance(reader, WeightedSum):
        weights = tuple((part.setup.id, weight) for part, weight in zip(reader.parts, reader.weights, strict=True))
    is_all = movie.n_timepoints == movie.reader.n_timepoints
    return DatasetSource(
        movie=movie.path.name,
        reader=None if movie.plugin == BIGDATAVIEWER.plugin else movie.plugin.name,
        folder=None if is_inside else str(folder),
        setup=None if weights else movie.reader.setup.id,
        setup_name=movie.reader.setup.name or None,
        n_setups=1 + len(movie.reader.others),
        axes=movie.reader.given_axes,
        weights=weights,
        level=movie.reader.level,
        t_start=None if is_all else movie.timepoints[0],
        t_end=None if is_all else movie.timepoints[-1],
        blank_timepoints=tuple(sorted(movie.blank)),
        interval=movie.reader.interval,
        fingerprint=known,
    )


def _voxel_size(movie: Movie, params: ConversionParams, n_dims: int) -> tuple[VoxelSize | None, str | None]:
    """Return the requested voxel size, else the movie's, and its unit; warn if both are known and differ."""
    own, unit = movie.reader.setup.voxel_size, params.unit or movie.reader.setup.unit or None
    asked = params.voxel_size
    if asked is not None and own is not None and differ(asked, own, n_dims):
        logger.warning(
            "%s has the voxel size %s, but %s was requested, and is stored with the dataset",
            movie.path.name,
            voxel_size_in_words(own, n_dims, movie.reader.setup.unit),
            voxel_size_in_words(asked, n_dims, params.unit),
        )
        unit = params.unit
    size = own if asked is None else asked
    return size, unit if size is not None else None


def _kept_voxel_size(
    destination: Path, known: Fingerprint, level: int, n_dims: int
) -> tuple[VoxelSize | None, str | None]:
    """Return the voxel size that the dataset had if its movie and level are the same; warn if it is lost."""
    before = DatasetSource.read(destination)
    if before is None or before.voxel_size is None:
        return None, None
    words = voxel_size_in_words(before.voxel_size, n_dims, before.unit)
    was = before.fingerprint
    is_same_movie = was is not None and (was.method, was.digest) == (known.method, known.digest)
    if is_same_movie and before.level == level:
        logger.info("the dataset keeps its voxel size %s: the movie is the same", words)
        return before.voxel_size, before.unit
    logger.warning(
        "the voxel size %s was that of the previous %s and is dropped: give `voxel_size` for this one",
        words,
        "level" if is_same_movie else "movie",
    )
    return None, None
