"""Tracks as a graph in the Graph Exchange File Format, which Mastodon, TrackMate, napari's plugins and others read."""

import json
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypedDict
from zipfile import ZIP_STORED, BadZipFile, ZipFile

import numpy as np
from geff.core_io import read_to_memory, write_arrays
from geff.validate.data import ValidationConfig
from geff_spec import Axis, DisplayHint, GeffMetadata, PropMetadata
from numpy.typing import NDArray

from elephant.errors import InvalidInputError
from elephant.export.base import A_FOLDER, Exporter, Report, TrackedMovie, TrackedNucleus
from elephant.export.graph import TrackGraph
from elephant.geometry import Ellipsoid
from elephant.progress import CancelToken, ProgressReporter
from elephant.units import unit_named
from elephant.words import counted

GEFF = "geff"
FOLDER_NAME = "tracks.geff"
# Readers written in Java take an array named covariance3d as a flat list, and fail at the matrices that the
# specification wants.
ELLIPSOID, RADIUS = "ellipsoid", "radius"

_ARCHIVE = ".zip"
_OURS = "elephant"
_ATTRIBUTES = ".zattrs"
_LARGEST_ATTRIBUTES = 16 << 20
_PARTS = frozenset({_ATTRIBUTES, ".zgroup", "nodes", "edges"})
# Up to so many nuclei the package checks whole tracks in a second; the time that it takes grows faster than they do.
_MOST_CHECKED = 20_000

logger = logging.getLogger(__name__)


class Property(TypedDict):
    """The values of a property, and which of them are missing."""

    values: NDArray[Any]
    missing: NDArray[np.bool_] | None


Properties = dict[str, Property]


class GeffExporter(Exporter):
    """A Zarr folder, or an archive of one, with a node for each nucleus and an edge for each link."""

    endings = (_ARCHIVE, A_FOLDER)
    folder_endings = (".geff", ".zarr")
    needs_voxel_size = False

    def export(self, movie: TrackedMovie, place: Path, reporter: ProgressReporter, cancel: CancelToken) -> Report:
        """Write the nuclei and their links, and check the result with the package geff."""
        graph = TrackGraph.of(movie.nuclei, movie.params.timepoints)
        for remark in graph.remarks:
            logger.warning("%s", remark)
        is_archive = place.suffix.lower() == _ARCHIVE
        folder = place.with_name(FOLDER_NAME) if is_archive else place
        _write(folder, graph, movie, cancel)
        reporter.progress("file", 1, 2)
        cancel.check()
        _check(folder, len(graph.nuclei), movie.dataset.n_dims)
        if is_archive:
            _pack(folder, place, cancel)
        reporter.progress("file", 2, 2)
        n, n_edges, n_left_out = len(graph.nuclei), len(graph.edges), len(movie.nuclei) - len(graph.nuclei)
        n_tracks = len(np.unique(graph.tracklets))
        others = f"; {n_left_out} at other timepoints left out" if n_left_out else ""
        words = f"{counted(n, 'nucleus', 'nuclei')}, {counted(n_edges, 'link')}, {counted(n_tracks, 'track')}{others}"
        return Report(words, {"nuclei": n, "links": n_edges, "tracks": n_tracks, "left_out": n_left_out})

    def other_content(self, output: Path) -> str | None:
        """Return the name of something that an export does not write; None if nothing is."""
        if output.is_dir():
            names = {path.name for path in output.iterdir()}
            other = min(names - _PARTS, default=None)
            if other is not None or not names:
                return other
            attributes = output / _ATTRIBUTES
            is_small = attributes.is_file() and attributes.stat().st_size <= _LARGEST_ATTRIBUTES
            return None if is_small and _is_ours(attributes.read_bytes()) else "a graph of another program"
        try:
            with ZipFile(output) as archive:
                names = {name.partition("/")[0] for name in archive.namelist()}
                if names != {FOLDER_NAME}:
                    return min(names - {FOLDER_NAME}, default="nothing")
                info = archive.getinfo(f"{FOLDER_NAME}/{_ATTRIBUTES}")
                is_small = info.file_size <= _LARGEST_ATTRIBUTES
                return None if is_small and _is_ours(archive.read(info)) else "a graph of another program"
        except (BadZipFile, OSError, KeyError):
            return "something other than an archive of a graph"


def _is_ours(attributes: bytes) -> bool:
    try:
        return _OURS in json.loads(attributes)["geff"]["extra"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return False


def _write(folder: Path, graph: TrackGraph, movie: TrackedMovie, cancel: CancelToken) -> None:
    n_dims = movie.dataset.n_dims
    # raises if one is not an ellipsoid
    ellipsoids = Ellipsoid.from_spots([nucleus.spot for nucleus in graph.nuclei], n_dims)
    nodes = _nodes(graph, ellipsoids, movie)
    cancel.check()
    edges = _edges(graph)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about units that OME does not list, and strings in Zarr format 3
        write_arrays(
            folder,
            graph.ids.astype(np.uint64),
            nodes,
            graph.ids[graph.edges].astype(np.uint64),
            edges,
            _metadata(movie, nodes, edges),
            zarr_format=2,  # the one that readers in Java know
        )


def _nodes(graph: TrackGraph, ellipsoids: list[Ellipsoid], movie: TrackedMovie) -> Properties:
    """Return the properties of the nuclei, in an order in which a person reads them."""
    nuclei, n_dims = graph.nuclei, movie.dataset.n_dims
    shift = movie.first_number - movie.params.t_start
    positions = np.array([nucleus.spot.pos for nucleus in nuclei]).reshape(-1, 3)
    covariances = np.array([nucleus.spot.covariance for nucleus in nuclei]).reshape(-1, 3, 3)[:, -n_dims:, -n_dims:]
    radii = [float(np.exp(np.log(ellipsoid.radii).mean())) for ellipsoid in ellipsoids]
    found: Properties = {"t": _all([nucleus.t + shift for nucleus in nuclei], np.int32)}
    # Some readers want a z in 2D too, where it is no axis.
    found |= {name: _all(positions[:, i], np.float64) for i, name in enumerate("zyx")}
    found[RADIUS] = _all(radii, np.float64)
    found[ELLIPSOID] = _all((covariances + covariances.swapaxes(1, 2)) / 2, np.float64)
    found["tracklet_id"], found["lineage_id"] = _all(graph.tracklets, np.int64), _all(graph.lineages, np.int64)
    tracks = graph.own_tracks()
    if any(track is not None for track in tracks):
        found["track"] = _some(tracks, np.int64)
    some: dict[str, tuple[Callable[[TrackedNucleus], Any], type[Any]]] = {
        "quality": (lambda nucleus: nucleus.quality, np.float64),
        "tag": (lambda nucleus: None if nucleus.tag is None else nucleus.tag.value, np.str_),
        "seg_id": (lambda nucleus: nucleus.value, np.int64),
    }
    for name, (value, dtype) in some.items():
        values = [value(nucleus) for nucleus in nuclei]
        if any(each is not None for each in values):
            found[name] = _some(values, dtype)
    return found


def _edges(graph: TrackGraph) -> Properties:
    """Return the properties of the links: how far each is, and by how much it missed what was expected, if known."""
    edges, nuclei = graph.edges, graph.nuclei
    positions = np.array([nucleus.spot.pos for nucleus in nuclei]).reshape(-1, 3)
    parents, children = edges[:, 0], edges[:, 1]
    distances = np.linalg.norm(positions[parents] - positions[children], axis=1)
    found: Properties = {"distance": _all(distances, np.float64)}
    costs = [
        None if (earlier := nuclei[child].earlier) is None else float(np.linalg.norm(positions[parent] - earlier))
        for parent, child in edges.tolist()
    ]
    if any(cost is not None for cost in costs):
        found["link_cost"] = _some(costs, np.float64)
    return found


def _all(values: Any, dtype: type[Any]) -> Property:
    return {"values": np.asarray(values, dtype=dtype), "missing": None}


def _some(values: list[Any], dtype: type[Any]) -> Property:
    """Return a property that some lack; what stands in their place is ignored."""
    missing = np.array([value is None for value in values])
    filled = np.array([dtype() if value is None else value for value in values], dtype=dtype)
    return {"values": filled, "missing": missing if missing.any() else None}


@dataclass(frozen=True, slots=True)
class _Meaning:
    """What a property is, for people; `unit` is that of a length, or what stands for it."""

    words: str
    is_length: bool = False


_MEANINGS = {
    RADIUS: _Meaning("radius of the sphere of the same volume", is_length=True),
    ELLIPSOID: _Meaning("covariance; the surface of the nucleus is its one-sigma level set"),
    "quality": _Meaning("probability that it is a nucleus, or how sure the detection is"),
    "tag": _Meaning("verdict of a person: tp, fp, tn, fn, tb, fb, unlabeled"),
    "tracklet_id": _Meaning("path without a division"),
    "lineage_id": _Meaning("tree of all descendants of a nucleus"),
    "track": _Meaning("number of the track in the table that was exported"),
    "seg_id": _Meaning("value of the voxels in masks"),
    "distance": _Meaning("between the two positions", is_length=True),
    "link_cost": _Meaning("distance between the parent and where it was expected", is_length=True),
}


def _metadata(movie: TrackedMovie, nodes: Properties, edges: Properties) -> GeffMetadata:
    unit = _unit(movie)
    space = "zyx"[-movie.dataset.n_dims :]
    return GeffMetadata(
        directed=True,
        axes=[
            Axis(name="t", type="time", unit="frame"),
            *(Axis(name=name, type="space", unit=unit) for name in space),
        ],
        node_props_metadata=_described(nodes, unit),
        edge_props_metadata=_described(edges, unit),
        sphere=RADIUS,
        ellipsoid=ELLIPSOID,
        track_node_props={"tracklet": "tracklet_id", "lineage": "lineage_id"},
        display_hints=DisplayHint(
            display_horizontal="x",
            display_vertical="y",
            display_depth="z" if "z" in space else None,
            display_time="t",
        ),
        extra={_OURS: _origin(movie)},
    )


def _unit(movie: TrackedMovie) -> str | None:
    source = movie.dataset.source
    unit = unit_named(source.unit) if source is not None else ""
    if not unit:
        logger.warning("the unit of the positions is not known, so the file names none")
    return unit or None


def _origin(movie: TrackedMovie) -> Mapping[str, Any]:
    voxel = movie.params.voxel_size
    size = {} if voxel is None else {"voxel_size": dict(zip("zyx", voxel.zyx, strict=True))}
    source = movie.dataset.source
    time = {} if source is None or source.interval is None else {"interval_s": source.interval}
    return {"version": version("elephant-core"), "dataset": movie.dataset.name, **size, **time}


def _described(properties: Properties, unit: str | None) -> Mapping[str, Any]:
    found = {}
    for name, each in properties.items():
        meaning = _MEANINGS.get(name, _Meaning(""))
        found[name] = PropMetadata(
            identifier=name,
            dtype=str(np.asarray(each["values"]).dtype),
            unit=unit if meaning.is_length else None,
            description=meaning.words or None,
        )
    return found


def _check(folder: Path, n_nuclei: int, n_dims: int) -> None:
    """Let the package geff read what was written, and check it.

    Raises
    ------
    InvalidInputError
        It is not a valid graph.
    """
    is_small = n_nuclei <= _MOST_CHECKED
    config = ValidationConfig(
        graph=True,
        sphere=True,
        ellipsoid=n_dims == 2,  # in 3D it expects an array of four axes: every one is refused
        lineage=is_small,
        tracklet=is_small,
    )
    try:
        read_to_memory(folder, structure_validation=True, data_validation=config)
    except (ValueError, TypeError, KeyError) as error:
        raise InvalidInputError(f"the nuclei cannot be written as GEFF: {error}") from error


def _pack(folder: Path, archive: Path, cancel: CancelToken) -> None:
    """Write the folder into an archive; its files are compressed already."""
    with ZipFile(archive, "w", ZIP_STORED) as whole:
        for path in _files(folder):
            cancel.check()
            whole.write(path, f"{FOLDER_NAME}/{path.relative_to(folder).as_posix()}")


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.is_file())
