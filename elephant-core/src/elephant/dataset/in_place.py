"""The images of a dataset: an array in its folder, or, read in place, the movie itself. All readers come through here.

In place, ``imgs.zarr`` holds nothing but its ``zarr.json``, with the shape and type of the images and a codec of a name
of our own, so that programs that know nothing of this refuse the array instead of seeing black images. ``source.json``
names the movie, and says how its values are scaled.
"""

import json
import logging
import mmap
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elephant.config import ConversionParams
from elephant.dataset.arrays import TimeSeries, check_place, metadata_of, open_array
from elephant.dataset.changes import Stamps, describe_loss, stamps_now
from elephant.dataset.layout import IMAGES, ArraySpec
from elephant.dataset.readers import BIGDATAVIEWER, reader_of_movie
from elephant.dataset.readers.base import Region
from elephant.dataset.readers.movie import Movie, Timepoint
from elephant.dataset.source import DatasetSource, stamp_of
from elephant.dataset.values import Scaling
from elephant.errors import DatasetError, ElephantError, reason_of
from elephant.progress import NeverCancelled
from elephant.types import Box, Shape

_CODEC = "elephant.in_place"
_MOVIES_KEPT = 16
_MOST_WATCHED = 16
_MOST_TRIES = 3  # to read from a movie that changes
_AGAIN = "add the movie again"

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ImagesFound:
    """What the metadata of a dataset's images say.

    Attributes
    ----------
    shape
        T, (Z), Y, X.
    dtype
        NumPy name of the type.
    in_place
        Whether the images are read from the movie.
    """

    shape: Shape
    dtype: str
    in_place: bool


def find_images(folder: Path) -> ImagesFound:
    """Return what images a dataset's folder has; neither they nor the movie are looked at.

    Raises
    ------
    DatasetError
        There are none, or their metadata cannot be read.
    """
    metadata = metadata_of(folder / IMAGES)
    if _CODEC.encode() not in metadata:
        array = open_array(folder / IMAGES)
        return ImagesFound(tuple(array.shape), array.dtype.name, in_place=False)
    try:
        found = json.loads(metadata)
        return ImagesFound(tuple(int(size) for size in found["shape"]), str(found["data_type"]), in_place=True)
    except (ValueError, TypeError, KeyError) as error:
        raise DatasetError(f"{IMAGES} in {folder} cannot be read ({error!r}): {_AGAIN}") from error


def open_images(folder: Path, spec: ArraySpec) -> "TimeSeries | MovieImages":
    """Return what reads the images of a dataset.

    Raises
    ------
    DatasetError
        The array, or what is known of the movie, cannot be read.
    """
    if find_images(folder).in_place:
        return MovieImages(folder, spec, source_in_place(folder))
    return TimeSeries(folder / IMAGES, spec)


def source_in_place(folder: Path) -> DatasetSource:
    """Return the source of a dataset whose images are read in place.

    Raises
    ------
    DatasetError
        It is missing, or that of a copied dataset.
    """
    source = DatasetSource.read(folder)
    if source is None or not source.in_place:
        raise DatasetError(
            f"expected source.json in {folder} to say which movie the images are read from, but it is missing, damaged "
            f"or that of another dataset: {_AGAIN}"
        )
    return source


def write_reference(folder: Path, spec: ArraySpec) -> None:
    """Write the ``imgs.zarr`` of images that are read in place into a folder."""
    (folder / IMAGES).mkdir()
    described = {
        "zarr_format": 3,
        "node_type": "array",
        "shape": spec.shape,
        "data_type": spec.dtype,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": spec.chunks}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "."}},
        "fill_value": 0,
        "codecs": [{"name": _CODEC, "configuration": {}}],
        "attributes": {"note": "The images are in the movie that source.json beside this folder names."},
    }
    (folder / IMAGES / "zarr.json").write_text(json.dumps(described, indent=1), encoding="utf-8")


class MovieImages:
    """Images that are read from the movie, each time that they are asked for.

    Parameters
    ----------
    folder
        The dataset's folder.
    spec
        Their shape and type.
    source
        Which part of which movie they are, and how values are scaled.
    """

    def __init__(self, folder: Path, spec: ArraySpec, source: DatasetSource) -> None:
        self._folder = folder
        self._spec = spec
        self._source = source
        self._path = source.movie_path(folder)
        step = -(-len(source.files) // _MOST_WATCHED) or 1
        self._as_added = source.files[::step]
        self._inspected: tuple[Stamps, Movie] | None = None

    def read(self, t: int, box: Box | None = None) -> NDArray[Any]:
        """Return a timepoint, or a box of it, ((Z), Y, X).

        Raises
        ------
        InvalidInputError
            The timepoint or the box is outside of the images.
        DatasetError
            The movie is damaged, or no longer the one that was added.
        """
        check_place(self._spec, t, box)
        region = (Box.whole(self._spec.spatial) if box is None else box).slices
        is_2d = len(region) == 2
        values = self._steady_values(t, (slice(0, 1), *region) if is_2d else region)
        return values[0] if is_2d else values

    def _steady_values(self, t: int, region: Region) -> NDArray[Any]:
        """Return the values of a box, (Z, Y, X), of a movie whose files stayed as they were while they were read."""
        for _ in range(_MOST_TRIES):
            try:
                before = self._seen()
                values = self._values(self._movie_at(before), t, region)
            except (ElephantError, OSError) as error:
                self.check_unchanged()
                if isinstance(error, ElephantError):
                    raise
                raise DatasetError(
                    f"timepoint {t} of {self._folder.name} cannot be read from {self._path} ({reason_of(error)}): "
                    "check that the disk is there, and who may read it"
                ) from error
            # What is deleted while it is read looks empty in some formats.
            if (now := self._seen()) != self._as_added:
                self.check_unchanged()
            if now == before:
                return values
        raise DatasetError(
            f"the movie {self._path} is being written while {self._folder.name} reads its images from there: wait "
            "until that is done, and try again"
        )

    def _seen(self) -> Stamps:
        """Return the present stamps of some of the movie's files."""
        return tuple(stamp_of(self._path.parent, stamp.name) for stamp in self._as_added)

    def _movie_at(self, stamps: Stamps) -> Movie:
        """Return the movie as it was inspected when some of its files had these stamps.

        The same movie that was saved anew may have its values in other places.
        """
        if self._inspected is None or self._inspected[0] != stamps:
            self._inspected = stamps, self._inspect()
        return self._inspected[1]

    def check_unchanged(self) -> None:
        """Check that the movie is still the one that was added.

        Raises
        ------
        DatasetError
            It is gone, or another one.
        """
        lost = describe_loss(self._folder, self._source)
        if lost:
            raise DatasetError(lost)

    def _values(self, movie: Movie, t: int, region: Region) -> NDArray[Any]:
        """Return the values of a box, (Z, Y, X), as the dataset has them."""
        scaling = self._scaling
        size = [part.stop - part.start for part in region]
        if t in movie.blank:
            return np.zeros(size, self._spec.dtype)
        with movie.timepoint(t) as timepoint:
            if scaling.keeps(movie.reader.dtype):
                return _own(timepoint.read(region)).astype(self._spec.dtype, copy=False)
            return self._scaled(timepoint, region, movie.pieces(region))

    def _scaled(self, timepoint: Timepoint, region: Region, pieces: Sequence[Region]) -> NDArray[Any]:
        values, n_clipped = np.empty([part.stop - part.start for part in region], self._spec.dtype), 0
        for piece in pieces:
            place = tuple(slice(p.start - r.start, p.stop - r.start) for p, r in zip(piece, region, strict=True))
            values[place], clipped = self._scaling.apply_counting(timepoint.read(piece))
            n_clipped += clipped
        if n_clipped and self._source.guessed_from:
            logger.warning(
                "%d voxels of timepoint %d of %s are outside of the range %g to %g, which was guessed when it was "
                "added, and are clipped: add it again with a `value_range`",
                *(n_clipped, timepoint.number, self._path.name, *self._scaling.bounds),
            )
        return values

    @property
    def _scaling(self) -> Scaling:
        source = self._source
        return Scaling(
            source.divisor,
            self._spec.dtype,
            offset=source.offset,
            factor=source.factor,
            has_nan=True,
            is_clipped=True,
        )

    def _inspect(self) -> Movie:
        movie = _opened(self._path, self._source, stamps_now(self._folder, self._source))
        found = (movie.n_timepoints, *movie.reader.shape[-len(self._spec.spatial) :])
        if found != self._spec.shape:
            raise DatasetError(
                f"expected images of shape {self._spec.shape} in the movie {self._path}, got {found}: {_AGAIN}"
            )
        return movie


@lru_cache(_MOVIES_KEPT)
def _opened(path: Path, source: DatasetSource, stamps: Stamps) -> Movie:  # noqa: ARG001
    """Return the inspected part of a movie; it is inspected again when its files have changed."""
    reader = BIGDATAVIEWER if source.reader is None else reader_of_movie(path, source.reader)
    chosen = ConversionParams(
        setup=source.setup,
        axes=source.axes,
        level=source.level,
        t_start=source.t_start,
        t_end=source.t_end,
        fill_gaps=True,
    )
    return reader.open_chosen(path, chosen, NeverCancelled(), source.weights)


def _own(values: NDArray[Any]) -> NDArray[Any]:
    """Return contiguous values that stay as they are when the movie's file goes."""
    base: Any = values
    while isinstance(base, np.ndarray):
        base = base.base
    is_mapped = isinstance(base, mmap.mmap)
    return np.array(values, order="C") if is_mapped else np.ascontiguousarray(values)
