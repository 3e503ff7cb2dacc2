"""``dashboard/api/movies``, ``movie``, ``preview`` and ``make``: movies, their sources, and datasets made from them."""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from operator import attrgetter

import numpy as np
from flask import Blueprint, Response, jsonify
from numpy.typing import NDArray

from elephant.dataset.readers.base import Reader, ViewSetup
from elephant.dataset.readers.movie import Movie
from elephant.errors import Cancelled, ElephantError, InvalidInputError
from elephant.io.paths import resolve_inside
from elephant.types import VoxelSize
from elephant_server.api.endpoint import endpoint, respond, submit
from elephant_server.api.parsing import read_body
from elephant_server.dashboard.datasets import answer_plane
from elephant_server.dashboard.views import admitted, read_query
from elephant_server.jobs.submit import DATASET_MAKE
from elephant_server.movies import MoviePlaces
from elephant_server.schemas.answers import Completed
from elephant_server.schemas.dashboard import (
    LevelAnswer,
    MovieAnswer,
    MoviePlace,
    MovieQuery,
    MoviesAnswer,
    PreviewQuery,
    SourceAnswer,
)
from elephant_server.schemas.dataset import DatasetMakeBody
from elephant_server.services import services

blueprint = Blueprint("dashboard_movies", __name__)

MOST = 500
LISTING_S, LOOKING_S = 4.0, 6.0
# Of a timepoint that can only be read as a whole.
MOST_BYTES = 256 << 20
_DARK, _BRIGHT = 1.0, 99.7  # percentiles


class TimeLimit:
    """A cancel token that ends what takes longer than some seconds."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    def check(self) -> None:
        """Return if there is time left.

        Raises
        ------
        Cancelled
            There is none.
        """
        if time.monotonic() > self._end:
            raise Cancelled


@contextmanager
def _limited(what: str) -> Iterator[TimeLimit]:
    """Give a time limit; what exceeds it is refused in words."""
    try:
        yield TimeLimit(LOOKING_S)
    except Cancelled:
        raise InvalidInputError(f"{what} takes longer than {LOOKING_S:.0f} s: make the dataset without it") from None


def _places() -> MoviePlaces:
    return MoviePlaces.of(services().settings)


@blueprint.get("/dashboard/api/movies")
@endpoint(MoviesAnswer)
@admitted
def get_movies() -> Response:
    """List the movies that datasets can be made from."""
    places, found, is_complete = _places(), [], True
    try:
        for folder, name in islice(places.find(TimeLimit(LISTING_S)), MOST + 1):
            found.append(MoviePlace(folder=folder, movie=name))
    except Cancelled:
        is_complete = False
    answer = MoviesAnswer(
        movies=found[:MOST], folders=list(map(str, places.folders)), is_complete=is_complete and len(found) <= MOST
    )
    return jsonify(answer.model_dump())


@blueprint.get("/dashboard/api/movie")
@endpoint(MovieAnswer, query=MovieQuery)
@admitted
def get_movie() -> Response:
    """Describe a movie and one of its sources; no image is read."""
    query, places = read_query(MovieQuery), _places()
    path = places.resolve(query.folder, query.movie)
    with _limited("looking into the movie") as limit:
        _, reader = places.inspect(path, query.source, limit, fill_gaps=True)
        needs_filling = bool(reader.blank_timepoints) and not _opens_with_gaps(places, query, limit)
    setups = sorted((reader.setup, *reader.others), key=attrgetter("id"))
    answer = MovieAnswer(
        sources=[_source(setup, reader) for setup in setups],
        source=reader.setup.id,
        levels=_levels(reader),
        n_timepoints=reader.n_timepoints,
        dtype=reader.dtype,
        blank_timepoints=list(reader.blank_timepoints),
        needs_filling=needs_filling,
        can_be_in_place=reader.in_place,
    )
    return jsonify(answer.model_dump())


def _opens_with_gaps(places: MoviePlaces, query: MovieQuery, limit: TimeLimit) -> bool:
    try:
        places.inspect(places.resolve(query.folder, query.movie), query.source, limit, fill_gaps=False)
    except ElephantError:
        return False
    return True


def _source(setup: ViewSetup, opened: Reader) -> SourceAnswer:
    size = opened.shape if setup is opened.setup else setup.size
    return SourceAnswer(
        id=setup.id,
        name=setup.name,
        shape=None if size is None else list(size),
        voxel_size=_edges(setup.voxel_size),
        unit=setup.unit,
    )


def _levels(reader: Reader) -> list[LevelAnswer]:
    if not reader.levels:
        return [LevelAnswer(shape=list(reader.shape), voxel_size=_edges(reader.setup.voxel_size))]
    return [LevelAnswer(shape=list(each.shape), voxel_size=_edges(each.voxel_size)) for each in reader.levels]


def _edges(size: VoxelSize | None) -> list[float] | None:
    return None if size is None else list(size.zyx)


@blueprint.get("/dashboard/api/preview")
@endpoint(None, query=PreviewQuery)
@admitted
def get_preview() -> Response:
    """Send the plane in the middle of a source's first image, subsampled: bytes, row by row, with good contrast."""
    query, places = read_query(PreviewQuery), _places()
    path = places.resolve(query.folder, query.movie)
    with _limited("a preview of the movie") as limit:
        installed, reader = places.inspect(path, query.source, limit, fill_gaps=True)
        reader = installed.at_level(reader, _coarsest(reader, query.most)) if reader.levels else reader
        movie = Movie(installed.plugin, reader, range(reader.n_timepoints))
        if not reader.in_place and movie.timepoint_bytes() > MOST_BYTES:
            raise InvalidInputError("no preview: it would take as long as reading a whole timepoint")
        plane, step = read_preview(movie, query.most, limit)
    return answer_plane(in_grey(plane), step)


def _coarsest(reader: Reader, most: int) -> int:
    """Return the coarsest level whose planes are not smaller than a preview."""
    fitting = [n for n, level in enumerate(reader.levels) if max(level.shape[1:]) >= most]
    return fitting[-1] if fitting else 0


def read_preview(movie: Movie, most: int, limit: TimeLimit) -> tuple[NDArray[np.float32], int]:
    """Return the middle plane of the first image, (Y, X), of which every n-th voxel is taken, and n.

    A few MB are in memory at a time.
    """
    depth, *shape = movie.reader.shape
    step = math.ceil(max(shape) / most)
    plane = np.zeros([math.ceil(size / step) for size in shape], dtype=np.float32)
    t = next(t for t in range(movie.n_timepoints) if t not in movie.blank)
    middle = slice(depth // 2, depth // 2 + 1)
    with movie.timepoint(t) as timepoint:
        for piece in movie.pieces((middle, *(slice(0, size) for size in shape))):
            limit.check()
            first = [-(-part.start // step) for part in piece[1:]]
            offset = [n * step - part.start for n, part in zip(first, piece[1:], strict=True)]
            taken = timepoint.read(piece)[0, offset[0] :: step, offset[1] :: step]
            plane[first[0] : first[0] + taken.shape[0], first[1] : first[1] + taken.shape[1]] = taken
    return plane, step


def in_grey(plane: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Scale values to 0 to 255 so that most of them can be told apart."""
    finite = plane[np.isfinite(plane)]
    if not finite.size:
        return np.zeros(plane.shape, dtype=np.uint8)
    dark, bright = np.percentile(finite, (_DARK, _BRIGHT))
    scaled = (np.nan_to_num(plane, nan=dark) - dark) / max(bright - dark, np.finfo(np.float32).tiny)
    grey: NDArray[np.uint8] = (np.clip(scaled, 0, 1) * 255).astype(np.uint8)
    return grey


@blueprint.post("/dashboard/api/make")
@endpoint(Completed, DatasetMakeBody, is_long=True, begins_late=True)
def make() -> Response:
    """Make a dataset from a listed movie: a copy, or one that reads its images in place."""
    body, parts = read_body(DatasetMakeBody), services()
    resolve_inside(parts.settings.datasets_dir, body.dataset_name)
    _places().resolve(body.folder, body.movie)
    return respond(submit(DATASET_MAKE, body), lambda outcome: {"completed": not outcome.cancelled})
