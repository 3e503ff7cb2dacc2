"""The columns of a table to spots: units, frames, parents by their tracks."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from elephant.annotations.base import MovieFacts
from elephant.annotations.cells import NO_INT, Values
from elephant.annotations.columns import PARENT_TRACK, Columns
from elephant.annotations.records import COVARIANCE, VECTORS, SpotRecord
from elephant.annotations.units import scale_of, timepoints_of
from elephant.config import AnnotationParams
from elephant.errors import InvalidInputError
from elephant.types import FloatArray

# Where the six stand in the 3 x 3 matrix.
_PLACES = ((0, 1, 2), (1, 3, 4), (2, 4, 5))


def records_of(
    name: str, columns: Columns, values: Mapping[str, Values], params: AnnotationParams, movie: MovieFacts
) -> list[SpotRecord]:
    """Return the spots of a table.

    Parameters
    ----------
    name
        Of the file.
    columns
        What its columns mean.
    values
        The columns, (N,).

    Raises
    ------
    InvalidInputError
        Units or frames are ambiguous.
    """
    n = len(values["t"])
    if not n:
        return []
    pos = _vector(values, "pos", n)
    _check_depth(name, values, pos[:, 2], movie.n_dims)
    pos[:, 2] = np.nan_to_num(pos[:, 2])
    scale = scale_of(name, columns.unit(name), pos, params, movie)
    frames = timepoints_of(name, values["t"], params, movie, columns.first_frame())
    ids, parents = _lineage(values, none=None if columns.has_own("parent") else -1)
    fields: dict[str, Sequence[Any]] = {
        "t": frames.tolist(),
        "pos": (pos * scale).tolist(),
        "covariance": _covariances(values, n, scale, params.radius).tolist(),
        "id": ids,
        "parent": parents,
        **{field: _whole(values[field]) for field in ("track", "value") if field in values},
        **{field: _real(values[field]) for field in ("quality", "sqdisp", "probability") if field in values},
        **{field: _vectors(values, field, n, scale) for field in ("displacement", "earlier")},
    }
    if "tag" in values:
        fields["tag"] = values["tag"].tolist()
    given = {field: column for field, column in fields.items() if column}
    return [SpotRecord(**dict(zip(given, row, strict=True))) for row in zip(*given.values(), strict=True)]


def _check_depth(name: str, values: Mapping[str, Values], z: FloatArray, n_dims: int | None) -> None:
    """Refuse nuclei of a 3D movie without a z where others have one, and ellipsoids without a czz."""
    if n_dims != 3:
        return
    is_empty = np.isnan(z)
    has_shape = np.zeros(len(z), dtype=bool)
    for column in COVARIANCE:
        has_shape |= ~np.isnan(values.get(column, np.full(len(z), np.nan)))
    is_flat = has_shape & np.isnan(values.get("czz", np.full(len(z), np.nan)))
    for lacking, column in ((is_empty & (not is_empty.all()), "z"), (is_flat, "czz")):
        if lacking.any():
            raise InvalidInputError(
                f"{name}, nucleus {int(np.argmax(lacking)) + 1} below the header: {column}: expected a number, since "
                "the nuclei are 3D, got an empty cell: fill it in, or leave the nucleus out"
            )


def _vector(values: Mapping[str, Values], field: str, n: int) -> FloatArray:
    return np.stack([values.get(name, np.full(n, np.nan)) for name in VECTORS[field]], axis=1)


def _vectors(values: Mapping[str, Values], field: str, n: int, scale: FloatArray) -> list[list[float] | None]:
    """Return vectors, None where there is none; empty if there is none at all."""
    if not any(name in values for name in VECTORS[field]):
        return []
    found = _vector(values, field, n)
    is_given = ~np.isnan(found[:, 0])
    found[:, 2] = np.nan_to_num(found[:, 2])
    return [vector if given else None for vector, given in zip((found * scale).tolist(), is_given, strict=True)]


def _covariances(values: Mapping[str, Values], n: int, scale: FloatArray, radius: float | None) -> FloatArray:
    """Return the covariances, (N, 9), row-major over X, Y, Z."""
    radii = values.get("radius", np.full(n, np.nan)) * scale[0]
    if radius is not None:
        radii = np.where(np.isnan(radii), radius, radii)
    matrices: FloatArray = (radii**2)[:, None, None] * np.eye(3)
    six = np.stack([values.get(name, np.full(n, np.nan)) for name in COVARIANCE], axis=1)
    is_given = ~np.isnan(six).all(axis=1)
    if is_given.any():
        six = np.where(np.isnan(six), [0, 0, 0, 0, 0, 1], six)
        matrices[is_given] = six[:, np.array(_PLACES)][is_given] * np.outer(scale, scale)
    return matrices.reshape(n, 9)


def _whole(column: Values) -> list[int | None]:
    return [None if value == NO_INT else value for value in column.tolist()]


def _real(column: Values) -> list[float | None]:
    return [None if value != value else value for value in column.tolist()]  # noqa: PLR0124 - NaN


def _lineage(values: Mapping[str, Values], none: int | None) -> tuple[list[int | None], list[int | None]]:
    """Return the ids and the parents; an empty list where there are none."""
    ids = _whole(values["id"]) if "id" in values else []
    parents = [None if p == none else p for p in _whole(values["parent"])] if "parent" in values else []
    if PARENT_TRACK in values and "track" in values:
        if not ids:
            ids = list(range(len(values["t"])))
        parents = parents or [None] * len(ids)
        n_given = sum(parent is not None for parent in parents)
        if not n_given:
            for child, parent in _by_parent_track(values):
                parents[child] = ids[parent]
    return ids, parents


def _by_parent_track(values: Mapping[str, Values]) -> Iterator[tuple[int, int]]:
    """Yield the first nucleus of each track that has a parent, and the last one of that track."""
    track, parent_track, t = values["track"], values[PARENT_TRACK], values["t"]
    order = np.lexsort((t, track))
    tracks, first = np.unique(track[order], return_index=True)
    last = np.append(first[1:], len(order)) - 1
    by_track = dict(zip(tracks.tolist(), zip(order[first].tolist(), order[last].tolist(), strict=True), strict=True))
    for number, (begin, _) in by_track.items():
        parent = int(parent_track[begin])
        if number >= 0 and parent != number and parent in by_track:
            yield begin, by_track[parent][1]
