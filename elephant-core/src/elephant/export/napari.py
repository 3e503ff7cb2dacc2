"""Tracked nuclei as a table for napari's layer of tracks, with the columns that ultrack writes, too."""

import csv
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from elephant.export.base import Exporter, Report, TrackedMovie
from elephant.export.graph import TrackGraph
from elephant.geometry import Ellipsoid
from elephant.progress import CancelToken, ProgressReporter
from elephant.words import counted

NONE = -1
_BEFORE, _AFTER = ("track_id", "t"), ("id", "parent_track_id", "parent_id", "radius", "tag")
_EVERY = 10_000

logger = logging.getLogger(__name__)


class NapariExporter(Exporter):
    """A table: ``track_id,t,z,y,x`` are the data of a layer of tracks, physical, and ``parent_track_id`` its graph."""

    endings = (".csv",)
    needs_voxel_size = False

    def export(self, movie: TrackedMovie, place: Path, reporter: ProgressReporter, cancel: CancelToken) -> Report:
        """Write the table, in the order of tracks and timepoints."""
        graph = TrackGraph.of(movie.nuclei, movie.params.timepoints)
        for remark in graph.remarks:
            logger.warning("%s", remark)
        n, has_quality = len(graph.nuclei), any(nucleus.quality is not None for nucleus in graph.nuclei)
        with place.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            axes = "zyx"[-movie.dataset.n_dims :]
            writer.writerow([*_BEFORE, *axes, *_AFTER, *(["quality"] if has_quality else [])])
            for done, row in enumerate(_rows(movie, graph, has_quality=has_quality), start=1):
                writer.writerow(row)
                if done % _EVERY == 0 or done == n:
                    cancel.check()
                    reporter.progress("nucleus", done, n)
        n_tracks, n_left_out = int(graph.tracklets.max(initial=0)), len(movie.nuclei) - n
        others = f"; {n_left_out} at other timepoints left out" if n_left_out else ""
        words = f"{counted(n, 'nucleus', 'nuclei')} in {counted(n_tracks, 'track')}{others}"
        return Report(words, {"nuclei": n, "tracks": n_tracks, "left_out": n_left_out})


def _rows(movie: TrackedMovie, graph: TrackGraph, *, has_quality: bool) -> Iterator[list[Any]]:
    n_dims, shift = movie.dataset.n_dims, movie.first_number - movie.params.t_start
    ids, tracks, parents = graph.ids.tolist(), graph.tracklets.tolist(), graph.parents.tolist()
    parent_tracks = _parent_tracks(tracks, parents)
    for i in sorted(range(len(ids)), key=lambda i: (tracks[i], graph.nuclei[i].t)):
        nucleus, parent = graph.nuclei[i], parents[i]
        yield [
            tracks[i],
            nucleus.t + shift,
            *nucleus.spot.pos[-n_dims:].tolist(),
            ids[i],
            parent_tracks.get(tracks[i], NONE),
            NONE if parent < 0 else ids[parent],
            Ellipsoid.from_spot(nucleus.spot, n_dims).mean_radius,
            None if nucleus.tag is None else nucleus.tag.value,
            *([nucleus.quality] if has_quality else []),
        ]


def _parent_tracks(tracks: list[int], parents: list[int]) -> dict[int, int]:
    """Return the number of the track that each track comes from, as far as it comes from one."""
    return {
        track: tracks[parent]
        for track, parent in zip(tracks, parents, strict=True)
        if parent >= 0 and tracks[parent] != track
    }
