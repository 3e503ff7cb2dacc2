"""From pixels to the unit of the voxel size, and from the numbers of frames to timepoints."""

import logging
from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from elephant.annotations.base import MovieFacts
from elephant.config import AnnotationParams
from elephant.errors import InvalidInputError
from elephant.types import FloatArray, VoxelSize
from elephant.units import factor_between, unit_named

Frames = NDArray[np.int64]
Unit = Literal["pixel", "physical"]

logger = logging.getLogger(__name__)


def scale_of(
    name: str, stated: str | None, positions: FloatArray, params: AnnotationParams, movie: MovieFacts
) -> FloatArray:
    """Return by what positions are multiplied so that they are physical, (3,), X, Y, Z.

    Parameters
    ----------
    name
        Of the file.
    stated
        What the file says of it: ``pixel``, a unit of length, or ``physical`` for that of the voxel size; None if it
        says nothing.
    positions
        All of them, (N, 3), X, Y, Z.

    Raises
    ------
    InvalidInputError
        They may be either, or they are voxels, whose size is unknown.
    """
    given = None if params.spots_unit == "auto" else params.spots_unit
    unit = given or stated or _guessed(name, positions, movie)
    if unit_named(unit) != "pixel":
        return np.full(3, 1.0 if unit == "physical" else _factor(name, unit, movie))
    if movie.voxel_size is None:
        raise InvalidInputError(f"{name} has positions in pixels: expected the voxel size, got none: give `voxel_size`")
    scale = _edges(movie.voxel_size, movie)
    if given is None and (scale != 1).any():
        words = " x ".join(f"{edge:g}" for edge in scale)
        logger.warning("%s: positions read as pixels, multiplied by the voxel size, %s (X x Y x Z)", name, words)
    return scale


def _factor(name: str, unit: str, movie: MovieFacts) -> float:
    """Return how many units of the voxel size a file's unit of length is."""
    factor = factor_between(unit, movie.unit) if movie.unit else 1.0
    if factor is None:
        logger.warning("%s has positions in %s, the voxel size is in %s: read as the same", name, unit, movie.unit)
        return 1.0
    if factor != 1:
        logger.warning(
            "%s: positions in %s multiplied by %g, since the voxel size is in %s", name, unit, factor, movie.unit
        )
    return factor


def _guessed(name: str, positions: FloatArray, movie: MovieFacts) -> Unit:
    """Return the unit of positions of which the file says nothing, if only one can be right."""
    if movie.voxel_size is None:
        logger.warning(
            "%s does not say in what positions are measured: read as physical (else give `spots_unit`)", name
        )
        return "physical"
    edges = _edges(movie.voxel_size, movie)
    if (edges == 1).all():
        return "physical"
    fits: list[Unit] = []
    if movie.shape is not None and len(positions):
        size = np.array((*movie.shape[::-1], 1)[:3], dtype=np.float64)
        low, high = positions.min(axis=0), positions.max(axis=0)
        candidates: tuple[tuple[Unit, FloatArray], ...] = (("pixel", np.ones(3)), ("physical", edges))
        fits = [unit for unit, edge in candidates if (low >= -edge / 2).all() and (high <= (size - 0.5) * edge).all()]
    if len(fits) == 1:
        logger.warning("%s: positions read as %s, since otherwise nuclei would be outside the movie", name, fits[0])
        return fits[0]
    why = "both are possible" if fits else "neither is in the movie" if movie.shape else "the movie's size is unknown"
    raise InvalidInputError(
        f"{name} does not say whether positions are in pixels or physical, and {why}: give `spots_unit` (pixel or "
        "physical)"
    )


def _edges(voxel: VoxelSize, movie: MovieFacts) -> FloatArray:
    edges = np.array(voxel.zyx[::-1])
    if movie.n_dims == 2:
        edges[2] = 1.0
    return edges


def timepoints_of(name: str, frames: Frames, params: AnnotationParams, movie: MovieFacts, first: int | None) -> Frames:
    """Return the timepoints, from 0, of frames.

    Parameters
    ----------
    name
        Of the file.
    frames
        As the file numbers them, (N,).
    first
        The number that its program gives the first; None if it is not known.

    Raises
    ------
    InvalidInputError
        A frame is before the first, or it may be counted from 0 or from 1.
    """
    if not len(frames):
        return frames
    if movie.t_start and params.first_frame is None:
        logger.warning(
            "%s: frames are read as timepoints of the dataset, which begins at timepoint %d of its movie (else give "
            "`first_frame`)",
            name,
            movie.t_start,
        )
    low, high = int(frames.min()), int(frames.max())
    if params.first_frame is not None:
        first = params.first_frame
    elif first is None:
        first = _first(name, low, high, movie)
    elif first and low >= first:
        logger.warning("%s: frames are counted from %d: %d is timepoint 0", name, first, first)
    if low < first:
        raise InvalidInputError(
            f"{name} has frame {low}: expected frames from {first} on: give `first_frame`, the number of the first one"
        )
    return frames - first


def timepoints_of_files(name: str, numbers: Sequence[int], params: AnnotationParams, movie: MovieFacts) -> Frames:
    """Return the timepoints of numbered files, from 0; the number of one is that of its timepoint.

    They count from 1 where the last would be beyond the movie otherwise.

    Raises
    ------
    InvalidInputError
        As for :func:`timepoints_of`.
    """
    is_from_1 = bool(numbers) and min(numbers) >= 1 and max(numbers) == movie.n_timepoints
    return timepoints_of(name, np.array(numbers, dtype=np.int64), params, movie, int(is_from_1))


def _first(name: str, low: int, high: int, movie: MovieFacts) -> int:
    """Return from which number the frames of a program that is not known are counted."""
    if low != 1 or movie.n_timepoints is None:
        return 0
    if high == movie.n_timepoints:
        logger.warning("%s: frames 1 to %d are counted from 1: frame 1 is timepoint 0", name, high)
        return 1
    if high > movie.n_timepoints or movie.n_timepoints == 1:
        return 0
    raise InvalidInputError(
        f"{name} has frames {low} to {high} of {movie.n_timepoints} timepoints: expected to know whether the first "
        "timepoint is 0 or 1: give `first_frame` (0 or 1)"
    )
