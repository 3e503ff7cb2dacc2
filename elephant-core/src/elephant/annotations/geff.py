"""Graphs in the Graph Exchange File Format, as Mastodon, TrackMate, Ultrack, Trackastra and others write them."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, cast

import numpy as np
from numpy.typing import NDArray

from elephant.annotations.base import A_FOLDER, AnnotationReader, MovieFacts
from elephant.annotations.geff_links import parents_of
from elephant.annotations.geff_nodes import Axes, Nodes
from elephant.annotations.geff_store import GeffStore, roots_of
from elephant.annotations.records import Covariance, SpotRecord, Vector
from elephant.annotations.units import timepoints_of
from elephant.config import AnnotationParams
from elephant.dataset.readers.zarr_places import place_of
from elephant.errors import ElephantError, InvalidInputError
from elephant.progress import CancelToken
from elephant.types import FloatArray, Tag
from elephant.words import counted

_ASK_EVERY = 10_000

Integers = NDArray[np.int64]

logger = logging.getLogger(__name__)


class GeffReader(AnnotationReader):
    """Reads nodes as nuclei, and edges as links from parents to children."""

    suffixes: ClassVar[tuple[str, ...]] = (A_FOLDER, ".zip")

    @classmethod
    def claims(cls, path: Path, head: bytes) -> bool:
        """Tell whether a folder or an archive holds a graph, by its metadata."""
        if not path.is_dir() and not head.startswith(b"PK\x03\x04"):
            return False
        try:
            return path.suffix.lower() == ".geff" or bool(roots_of(place_of(path)))
        except (ElephantError, OSError, ValueError):
            return False

    def read(
        self, path: Path, params: AnnotationParams, movie: MovieFacts, cancel: CancelToken
    ) -> Sequence[SpotRecord]:
        """Read all nuclei and their links."""
        store = GeffStore.open(path)
        if not store.metadata.directed:
            raise InvalidInputError(
                f"{store.name} is an undirected graph: expected edges from parents to children: export it as a "
                "directed one"
            )
        ids = store.ids("nodes")
        _check_unique(ids, store.name)
        nodes = Nodes(store, len(ids))
        cancel.check()
        axes = Axes.of(store, movie)
        frames = nodes.frames(axes.time)
        positions, scale = nodes.positions(axes, params, movie)
        times = timepoints_of(store.name, frames, params, movie, 0)
        cancel.check()
        covariances = nodes.covariances(axes, scale, ids, params)
        parents = parents_of(store, ids, times, positions)
        cancel.check()
        return _Found(ids, times, positions, covariances, parents).records(nodes, cancel)


def _check_unique(ids: Integers, name: str) -> None:
    values, counts = np.unique(ids, return_counts=True)
    if len(values) < len(ids):
        raise InvalidInputError(
            f"{name} has {counted(int((counts > 1).sum()), 'id')} of several nodes, such as "
            f"{values[np.argmax(counts)]}: expected an id of its own for each: export it again"
        )


@dataclass(frozen=True, slots=True, eq=False)
class _Found:
    """The N nuclei: ids, timepoints, positions, (N, n), and covariances, (N, n, n), Z, Y, X, and indices of parents."""

    ids: Integers
    times: Integers
    positions: FloatArray
    covariances: FloatArray
    parents: Integers

    def records(self, nodes: Nodes, cancel: CancelToken) -> list[SpotRecord]:
        """Return them as records, with what else is known of them."""
        is_ours = nodes.store.metadata.is_ours
        values = _optional(nodes, "seg_id" if is_ours else None, whole=True)
        tracks, tags = _tracks(nodes, is_ours), _tags(nodes)
        qualities = _optional(nodes, "quality") or _optional(nodes, "probability")
        numbers, parents = self.ids.tolist(), self.parents.tolist()
        found = []
        for i, (t, pos, covariance) in enumerate(zip(self.times.tolist(), *self._vectors(), strict=True)):
            if i % _ASK_EVERY == 0:
                cancel.check()
            found.append(
                SpotRecord(
                    t=t,
                    pos=cast("Vector", tuple(pos)),
                    covariance=cast("Covariance", tuple(covariance)),
                    id=numbers[i],
                    tag=tags[i] if tags else None,
                    quality=qualities[i] if qualities else None,
                    parent=numbers[parents[i]] if parents[i] >= 0 else None,
                    track=tracks[i] if tracks else None,
                    value=values[i] if values else None,
                )
            )
        return found

    def _vectors(self) -> tuple[list[list[float]], list[list[float]]]:
        """Return positions and covariances, X, Y, Z."""
        n, n_axes = self.positions.shape
        positions, covariances = np.zeros((n, 3)), np.tile(np.eye(3), (n, 1, 1))
        positions[:, :n_axes] = self.positions[:, ::-1]
        covariances[:, :n_axes, :n_axes] = self.covariances[:, ::-1, ::-1]
        return positions.tolist(), covariances.reshape(n, 9).tolist()


def _tracks(nodes: Nodes, is_ours: bool) -> list[Any] | None:
    """Return the number of the track of each node: the one in the table that was exported, or else its tracklet."""
    names = nodes.store.metadata.track_node_props or {}
    own = _optional(nodes, "track" if is_ours else None, whole=True)
    return own or _optional(nodes, names.get("tracklet"), whole=True)


def _optional(nodes: Nodes, name: str | None, *, whole: bool = False) -> list[Any] | None:
    """Return a number for each node, None where it is missing; None if there is no such property of numbers."""
    found = nodes.get(name)
    if found is None or found.values.ndim != 1 or found.values.dtype.kind not in ("iu" if whole else "iuf"):
        return None
    has = ~found.missing & (np.isfinite(found.values) if found.values.dtype.kind == "f" else True)
    return [value if is_there else None for value, is_there in zip(found.values.tolist(), has.tolist(), strict=True)]


def _tags(nodes: Nodes) -> list[Tag | None] | None:
    found = nodes.get("tag")
    if found is None or found.values.ndim != 1 or found.values.dtype.kind not in "UT":
        return None
    known = {tag.value: tag for tag in Tag}
    values = found.values.astype(object).tolist()
    unknown = sorted({value for value, missing in zip(values, found.missing, strict=True) if not missing} - set(known))
    if unknown:
        logger.warning("%s: tags that have no meaning here are ignored: %s", nodes.store.name, ", ".join(unknown[:5]))
    return [None if missing else known.get(value) for value, missing in zip(values, found.missing, strict=True)]
