"""TrackMate's files: spots, tracks and filters of its versions 3 to 8, and its simple export of tracks.

Only what :mod:`elephant.annotations.trackmate_parser` reads from the file is in memory.

References
----------
D. Ershov et al., TrackMate 7: integrating state-of-the-art segmentation algorithms into tracking pipelines, Nature
Methods 19, 829-832 (2022), https://doi.org/10.1038/s41592-022-01507-1.
"""

import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elephant.annotations.base import AnnotationReader, MovieFacts
from elephant.annotations.records import SpotRecord, ball
from elephant.annotations.trackmate_parser import NO_TRACK, TrackMateFile, parse
from elephant.annotations.units import scale_of, timepoints_of
from elephant.config import AnnotationParams
from elephant.errors import InvalidInputError
from elephant.export.trackmate_names import COVARIANCE, TAGS, UNKNOWN_QUALITY
from elephant.progress import CancelToken
from elephant.types import FloatArray
from elephant.units import unit_named
from elephant.words import counted

_ROOT = re.compile(rb"<(TrackMate|Tracks)[\s>/]")
_SAME = 1e-3  # by which a radius may differ from that of the ellipsoid beside it
_PLACES = ((0, 1, 2), (1, 3, 4), (2, 4, 5))
NONE = -1

Indices = NDArray[np.int64]

logger = logging.getLogger(__name__)


class TrackMateReader(AnnotationReader):
    """Reads the spots and tracks that TrackMate shows: those that pass its filters."""

    suffixes = (".xml",)

    @classmethod
    def claims(cls, path: Path, head: bytes) -> bool:
        """Tell whether a file is TrackMate's, by its root."""
        return path.is_file() and _ROOT.search(head) is not None

    def read(
        self, path: Path, params: AnnotationParams, movie: MovieFacts, cancel: CancelToken
    ) -> Sequence[SpotRecord]:
        """Read all spots."""
        file = parse(path, cancel)
        links = _links(file, path.name)
        kept = _kept(file, links, path.name)
        parents = _parents(file, links, kept, path.name)
        tracks = _tracks(file, parents, links, kept)
        order = np.flatnonzero(kept)
        if not len(order):
            return []
        frames = timepoints_of(path.name, file.frame[order], params, movie, 0)
        scale = _scale(file, file.position[order], path.name, params, movie)
        fields = _fields(file, order, scale, params.radius, path.name)
        fields |= {
            "t": frames.tolist(),
            "id": file.id[order].tolist(),
            "parent": [None if p == NONE else int(file.id[p]) for p in parents[order].tolist()],
            "track": [None if number == NO_TRACK else number for number in tracks[order].tolist()],
        }
        return [SpotRecord(**dict(zip(fields, row, strict=True))) for row in zip(*fields.values(), strict=True)]


def _scale(
    file: TrackMateFile, positions: FloatArray, name: str, params: AnnotationParams, movie: MovieFacts
) -> FloatArray:
    """Return by what positions are multiplied, (3,), X, Y, Z; warn if the file is of another voxel size."""
    scale = scale_of(name, file.unit or None, positions, params, movie)
    if file.pixel is not None and unit_named(file.unit) == "pixel" and params.spots_unit == "auto":
        return scale / file.pixel
    if file.pixel is None or movie.voxel_size is None:
        return scale
    edges = np.array(movie.voxel_size.zyx[::-1])[: movie.n_dims or 3]
    written = (file.pixel * scale)[: len(edges)]
    if (np.abs(written - edges) > 0.01 * edges).any() and (file.pixel != 1).any():
        logger.warning(
            "%s is of a movie with voxels of %s, but the voxel size is %s (X x Y x Z): is it the same movie?",
            name,
            *(" x ".join(f"{edge:g}" for edge in size) for size in (written, edges)),
        )
    return scale


def _links(file: TrackMateFile, name: str) -> Indices:
    """Return the links as indices of an earlier and a later spot, (E, 2), -1 for a spot that is not there."""
    order = np.argsort(file.id, kind="stable")
    known = file.id[order]
    if len(known) and (repeated := known[1:] == known[:-1]).any():
        raise InvalidInputError(
            f"{name} has several spots with the ID {known[1:][repeated][0]}: expected each once: save it again in "
            "TrackMate"
        )
    if not len(known):
        return np.full_like(file.edge, NONE)
    at = np.minimum(np.searchsorted(known, file.edge), len(known) - 1)
    found = np.where(known[at] == file.edge, order[at], NONE)
    is_there = (found != NONE).all(axis=1)
    backwards = is_there & (file.frame[found[:, 0]] > file.frame[found[:, 1]])
    found[backwards] = found[backwards][:, ::-1]
    is_level = is_there & (file.frame[found[:, 0]] == file.frame[found[:, 1]])
    if n := int(is_level.sum()):
        logger.warning("%s: %s between spots of one frame left out", name, counted(n, "link"))
    found[is_level] = NONE
    if n := int((~is_there).sum()):
        logger.warning("%s: %s left out, whose spots are not in the file", name, counted(n, "link"))
    return found


def _kept(file: TrackMateFile, links: Indices, name: str) -> NDArray[np.bool_]:
    """Return which spots TrackMate shows, (N,): neither they nor their tracks are filtered out."""
    kept = file.is_visible.copy()
    if len(kept) and not kept.any():  # saved before the filters were set
        kept[:] = True
    hidden = int((~kept).sum())
    if hidden:
        logger.warning("%s: %s left out, which a filter hides in TrackMate", name, counted(hidden, "spot"))
    all_tracks = set(file.edge_track.tolist())
    shown = all_tracks & set(file.shown_tracks)
    if shown and shown != all_tracks:
        is_hidden = ~np.isin(file.edge_track, list(shown))
        members = np.unique(links[is_hidden & (links != NONE).all(axis=1)])
        hidden = int(kept[members].sum())
        kept[members] = False
        tracks = counted(len(all_tracks) - len(shown), "track")
        logger.warning("%s: %s with %s left out, which a filter hides", name, tracks, counted(hidden, "spot"))
    return kept


def _parents(file: TrackMateFile, links: Indices, kept: NDArray[np.bool_], name: str) -> Indices:
    """Return the index of each spot's parent, or -1, (N,): of several, the nearest."""
    parents = np.full(len(file.id), NONE, dtype=np.int64)
    links = links[(links != NONE).all(axis=1)]
    links = links[kept[links].all(axis=1)]
    if not len(links):
        return parents
    links = np.unique(links, axis=0)
    distance = np.linalg.norm(file.position[links[:, 0]] - file.position[links[:, 1]], axis=1)
    links = links[np.lexsort((distance, links[:, 1]))]
    child, first = np.unique(links[:, 1], return_index=True)
    parents[child] = links[first, 0]
    merges = np.bincount(links[:, 1])
    if n := int((merges > 1).sum()):
        example = int(file.id[int(np.argmax(merges))])
        logger.warning(
            "%s: %s, such as at the spot %d, where a nucleus has several parents: it keeps the nearest one, since a "
            "lineage has only divisions",
            name,
            counted(n, "merge"),
            example,
        )
    return parents


def _tracks(file: TrackMateFile, parents: Indices, links: Indices, kept: NDArray[np.bool_]) -> Indices:
    """Return the number of each spot's track, or `NO_TRACK`, (N,); a tree that was cut off gets a new one."""
    tracks = np.full(len(file.id), NO_TRACK, dtype=np.int64)
    is_there = (links != NONE).all(axis=1)
    tracks[links[is_there].T] = file.edge_track[is_there]
    has_children = np.zeros(len(tracks), dtype=bool)
    has_children[parents[parents != NONE]] = True
    used: set[int] = set()
    following = int(tracks.max(initial=0)) + 1
    for i in np.argsort(file.frame, kind="stable").tolist():
        if not kept[i]:
            continue
        parent = int(parents[i])
        if parent != NONE:
            tracks[i] = tracks[parent]
        elif not has_children[i] and tracks[i] == NO_TRACK:
            continue
        elif int(tracks[i]) in used or tracks[i] == NO_TRACK:
            tracks[i], following = following, following + 1
        used.add(int(tracks[i]))
    return tracks


def _fields(
    file: TrackMateFile, order: Indices, scale: FloatArray, radius: float | None, name: str
) -> dict[str, Sequence[Any]]:
    """Return positions, covariances, tags and qualities of some spots, by field."""
    radii = file.radius[order] * scale[0]
    if radius is not None:
        radii = np.where(radii > 0, radii, radius)
    if not (radii > 0).all():
        wrong = order[int(np.argmin(radii > 0))]
        raise InvalidInputError(
            f"{name}: expected a RADIUS above 0 for each spot, got {file.radius[wrong]:g} for the spot "
            f"{file.id[wrong]}: set it in TrackMate, or give `radius`"
        )
    fields: dict[str, Sequence[Any]] = {
        "pos": (file.position[order] * scale).tolist(),
        "covariance": list(_covariances(file.feature, order, radii, scale)),
        "quality": [None if q in (UNKNOWN_QUALITY, None) else q for q in _numbers(file.quality[order])],
    }
    if TAGS.feature in file.feature:
        codes = file.feature[TAGS.feature][order]
        fields["tag"] = [TAGS.tag_of(code) for code in codes.tolist()]
    return fields


def _numbers(values: FloatArray) -> list[float | None]:
    is_known = np.isfinite(values).tolist()
    return [value if known else None for value, known in zip(values.tolist(), is_known, strict=True)]


def _covariances(
    feature: Mapping[str, FloatArray], order: Indices, radii: FloatArray, scale: FloatArray
) -> Iterator[tuple[float, ...]]:
    """Yield the covariances: those that an export wrote, unless the radius was changed since."""
    spheres = map(ball, radii.tolist())
    if not set(COVARIANCE) <= feature.keys():
        yield from spheres
        return
    six = np.stack([feature[key][order] for key in COVARIANCE], axis=1)
    matrices = six[:, np.array(_PLACES)] * np.outer(scale, scale)
    with np.errstate(invalid="ignore"):
        volume, area = np.linalg.det(matrices) ** (1 / 6), np.linalg.det(matrices[:, :2, :2]) ** (1 / 4)
        is_same = (np.abs(volume - radii) < _SAME * radii) | (np.abs(area - radii) < _SAME * radii)
    for sphere, matrix, same in zip(spheres, matrices.reshape(-1, 9).tolist(), is_same.tolist(), strict=True):
        yield tuple(matrix) if same else sphere
