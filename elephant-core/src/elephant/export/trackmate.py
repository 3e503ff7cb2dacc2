"""Tracked nuclei as a file that TrackMate opens: its model, its settings, and the state of its window.

References
----------
D. Ershov et al., TrackMate 7: integrating state-of-the-art segmentation algorithms into tracking pipelines, Nature
Methods 19, 829-832 (2022), https://doi.org/10.1038/s41592-022-01507-1.
"""

import logging
from collections.abc import Iterator
from importlib.metadata import version
from itertools import groupby
from pathlib import Path
from xml.sax.saxutils import quoteattr

from elephant.export.base import Exporter, Report, TrackedMovie, TrackedNucleus
from elephant.export.graph import TrackGraph
from elephant.export.trackmate_names import COVARIANCE, TAGS, UNKNOWN_QUALITY
from elephant.geometry import Ellipsoid
from elephant.progress import CancelToken, ProgressReporter
from elephant.units import unit_named
from elephant.words import counted

_VERSION = "7.11.1"
_UNITS = {"micrometer": "micron", "nanometer": "nm", "millimeter": "mm"}
_NO_UNIT = "a.u."
_FIRST_BYTES = 1000
_MARK = "written by elephant"

# Feature, name, short name, dimension, whether it is a whole number.
_SPOT_FEATURES = (
    ("QUALITY", "Quality", "Quality", "QUALITY", False),
    *((f"POSITION_{axis}", axis, axis, "POSITION", False) for axis in "XYZ"),
    ("POSITION_T", "T", "T", "TIME", False),
    ("FRAME", "Frame", "Frame", "NONE", True),
    ("RADIUS", "Radius", "R", "LENGTH", False),
    ("VISIBILITY", "Visibility", "Visibility", "NONE", True),
    (TAGS.feature, "Tag (-1 none, 0 unlabeled, 1 tp, 2 fp, 3 tn, 4 fn, 5 tb, 6 fb)", "Tag", "NONE", True),
    *((name, f"Covariance {name[-2:]}", name[-3:], "NONE", False) for name in COVARIANCE),
)
_EDGE_FEATURES = (
    ("SPOT_SOURCE_ID", "Source spot ID", "Source ID", "NONE", True),
    ("SPOT_TARGET_ID", "Target spot ID", "Target ID", "NONE", True),
    ("LINK_COST", "Edge cost", "Cost", "COST", False),
)
_TRACK_FEATURES = (
    ("TRACK_INDEX", "Track index", "Index", "NONE", True),
    ("TRACK_ID", "Track ID", "ID", "NONE", True),
    ("NUMBER_SPOTS", "Number of spots in track", "N spots", "NONE", True),
    ("TRACK_START", "Track start", "Start", "TIME", False),
    ("TRACK_STOP", "Track stop", "Stop", "TIME", False),
    ("TRACK_DURATION", "Track duration", "Duration", "TIME", False),
)
_END = """  <GUIState state="ConfigureViews" />
</TrackMate>
"""

logger = logging.getLogger(__name__)


class TrackMateExporter(Exporter):
    """Spots as balls of the same volume, with their ellipsoids, tags and qualities as features, and all links."""

    endings = (".xml",)

    def export(self, movie: TrackedMovie, place: Path, reporter: ProgressReporter, cancel: CancelToken) -> Report:
        """Write the file."""
        graph = TrackGraph.of(movie.nuclei, movie.params.timepoints)
        for remark in graph.remarks:
            logger.warning("%s", remark)
        radii = [Ellipsoid.from_spot(nucleus.spot, movie.dataset.n_dims).mean_radius for nucleus in graph.nuclei]
        with place.open("w", encoding="utf-8", newline="\n") as file:
            file.write(_beginning(movie))
            file.writelines(_spots(movie, graph, radii, reporter, cancel))
            n_tracks = 0
            for lines in _tracks(movie, graph, cancel):
                file.writelines(lines)
                n_tracks += 1
            file.write("    </AllTracks>\n    <FilteredTracks>\n")
            file.writelines(f'      <TrackID TRACK_ID="{number}" />\n' for number in range(n_tracks))
            file.write("    </FilteredTracks>\n  </Model>\n" + _settings(movie) + _END)
        n, n_edges, n_left_out = len(graph.nuclei), len(graph.edges), len(movie.nuclei) - len(graph.nuclei)
        others = f"; {n_left_out} at other timepoints left out" if n_left_out else ""
        words = f"{counted(n, 'spot')}, {counted(n_edges, 'link')}, {counted(n_tracks, 'track')}{others}"
        return Report(words, {"nuclei": n, "links": n_edges, "tracks": n_tracks, "left_out": n_left_out})

    def other_content(self, output: Path) -> str | None:
        """Return what a file is that no export wrote; None if one did."""
        if output.is_dir():
            return super().other_content(output)
        with output.open("rb") as file:
            is_ours = _MARK.encode() in file.read(_FIRST_BYTES)
        return None if is_ours else "a file of another program"


def _beginning(movie: TrackedMovie) -> str:
    source = movie.dataset.source
    unit = unit_named(source.unit if source is not None else None)
    if not unit:
        logger.warning("the unit of the positions is not known, so the file calls it %s", _NO_UNIT)
    declared = "".join(
        f"      <{kind}>\n{''.join(map(_declared, features))}      </{kind}>\n"
        for kind, features in (
            ("SpotFeatures", _SPOT_FEATURES),
            ("EdgeFeatures", _EDGE_FEATURES),
            ("TrackFeatures", _TRACK_FEATURES),
        )
    )
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<TrackMate version="{_VERSION}">\n'
        f"  <Log>{_MARK} {version('elephant-core')}</Log>\n"
        f'  <Model spatialunits={quoteattr(_UNITS.get(unit, unit) or _NO_UNIT)} timeunits="{_time(movie)[1]}">\n'
        f"    <FeatureDeclarations>\n{declared}    </FeatureDeclarations>\n"
    )


def _time(movie: TrackedMovie) -> tuple[float, str]:
    """Return the time between timepoints and its unit: frames, where the movie does not say it."""
    source = movie.dataset.source
    return (source.interval, "sec") if source is not None and source.interval is not None else (1.0, "frame")


def _declared(feature: tuple[str, str, str, str, bool]) -> str:
    key, name, short, dimension, is_int = feature
    return (
        f'        <Feature feature="{key}" name="{name}" shortname="{short}" dimension="{dimension}" '
        f'isint="{str(is_int).lower()}" />\n'
    )


def _spots(
    movie: TrackedMovie, graph: TrackGraph, radii: list[float], reporter: ProgressReporter, cancel: CancelToken
) -> Iterator[str]:
    shift, (seconds, _) = movie.first_number - movie.params.t_start, _time(movie)
    order = sorted(range(len(graph.nuclei)), key=lambda i: graph.nuclei[i].t)
    yield f'    <AllSpots nspots="{len(order)}">\n'
    done = 0
    for t, members in groupby(order, key=lambda i: graph.nuclei[i].t):
        cancel.check()
        yield f'      <SpotsInFrame frame="{t + shift}">\n'
        for i in members:
            yield _spot(graph.nuclei[i], int(graph.ids[i]), t + shift, radii[i], seconds)
            done += 1
        yield "      </SpotsInFrame>\n"
        reporter.progress("nucleus", done, len(order))
    yield "    </AllSpots>\n    <AllTracks>\n"


def _spot(nucleus: TrackedNucleus, number: int, frame: int, radius: float, seconds: float) -> str:
    spot = nucleus.spot
    z, y, x = spot.pos.tolist()
    ((czz, cyz, cxz), (_, cyy, cxy), (_, _, cxx)) = ((spot.covariance + spot.covariance.T) / 2).tolist()
    values = zip(COVARIANCE, (cxx, cxy, cxz, cyy, cyz, czz), strict=True)
    six = " ".join(f'{name}="{value!r}"' for name, value in values)
    quality = UNKNOWN_QUALITY if nucleus.quality is None else nucleus.quality
    return (
        f'        <Spot ID="{number}" name="ID{number}" QUALITY="{quality!r}" POSITION_X="{x!r}" POSITION_Y="{y!r}" '
        f'POSITION_Z="{z!r}" POSITION_T="{frame * seconds!r}" FRAME="{frame}" RADIUS="{radius!r}" VISIBILITY="1" '
        f'{TAGS.feature}="{TAGS.number_of(nucleus.tag)}" {six} />\n'
    )


def _tracks(movie: TrackedMovie, graph: TrackGraph, cancel: CancelToken) -> Iterator[list[str]]:
    """Yield the lines of each track that has a link."""
    shift, (seconds, _) = movie.first_number - movie.params.t_start, _time(movie)
    links = sorted(graph.edges.tolist(), key=lambda link: (graph.lineages[link[1]], graph.nuclei[link[1]].t))
    for number, (_, members) in enumerate(groupby(links, key=lambda link: graph.lineages[link[1]])):
        cancel.check()
        edges = list(members)
        times = [(graph.nuclei[i].t + shift) * seconds for edge in edges for i in edge]
        first, last = min(times), max(times)
        yield [
            f'      <Track name="Track_{number}" TRACK_INDEX="{number}" TRACK_ID="{number}" '
            f'NUMBER_SPOTS="{len(edges) + 1}" TRACK_START="{first!r}" TRACK_STOP="{last!r}" '
            f'TRACK_DURATION="{last - first!r}">\n',
            *(_edge(graph, parent, child) for parent, child in edges),
            "      </Track>\n",
        ]


def _edge(graph: TrackGraph, parent: int, child: int) -> str:
    """Return a link, whose cost is the squared distance between the parent and where it was expected."""
    later = graph.nuclei[child]
    expected = later.spot.pos if later.earlier is None else later.earlier
    cost = float(((graph.nuclei[parent].spot.pos - expected) ** 2).sum())
    return (
        f'        <Edge SPOT_SOURCE_ID="{graph.ids[parent]}" SPOT_TARGET_ID="{graph.ids[child]}" '
        f'LINK_COST="{cost!r}" />\n'
    )


def _settings(movie: TrackedMovie) -> str:
    dataset, voxel = movie.dataset, movie.voxel_size
    depth, height, width = (1, *dataset.shape)[-3:]
    name = quoteattr(dataset.source.movie if dataset.source is not None else dataset.name)
    return f"""  <Settings>
    <ImageData filename={name} folder="" width="{width}" height="{height}" nslices="{depth}" \
nframes="{dataset.n_timepoints}" pixelwidth="{voxel.x!r}" pixelheight="{voxel.y!r}" voxeldepth="{voxel.z!r}" \
timeinterval="{_time(movie)[0]!r}" />
    <BasicSettings xstart="0" xend="{width - 1}" ystart="0" yend="{height - 1}" zstart="0" zend="{depth - 1}" \
tstart="0" tend="{dataset.n_timepoints - 1}" />
    <DetectorSettings DETECTOR_NAME="MANUAL_DETECTOR" RADIUS="5.0" />
    <InitialSpotFilter feature="QUALITY" value="{UNKNOWN_QUALITY - 1}" isabove="true" />
    <SpotFilterCollection />
    <TrackerSettings TRACKER_NAME="MANUAL_TRACKER" />
    <TrackFilterCollection />
    <AnalyzerCollection>
      <SpotAnalyzers />
      <EdgeAnalyzers />
      <TrackAnalyzers />
    </AnalyzerCollection>
  </Settings>
"""
