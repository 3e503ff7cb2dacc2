"""TrackMate's files, in and out."""

import logging
from pathlib import Path

import numpy as np
import pytest

from elephant.annotations import MovieFacts, SpotRecord, links_of, nucleus_of, read_annotations
from elephant.config import AnnotationParams
from elephant.dataset import Dataset, DatasetSource
from elephant.dataset.opening import open_dataset
from elephant.errors import InvalidInputError
from elephant.export.base import ExportParams, Report, TrackedMovie, TrackedNucleus
from elephant.export.trackmate import TrackMateExporter
from elephant.progress import NeverCancelled, NoReporter
from elephant.types import Spot, Tag, VoxelSize

VOXEL = VoxelSize(2.0, 0.5, 0.5)
MOVIE = MovieFacts(shape=(10, 40, 40), n_timepoints=9, voxel_size=VOXEL, unit="micrometer")
# A division of 1, a merge of 3 and 4, a gap from 5 to 6, a spot and a track that filters hide, and a spot alone.
SPOTS = {
    1: (0, 1, 1), 2: (1, 1, 1), 3: (2, 1, 1), 4: (2, 9, 1), 5: (3, 2, 1), 6: (5, 2, 1), 7: (0, 30, 0), 8: (0, 20, 1),
    9: (1, 20, 1), 10: (4, 12, 1),
}  # fmt: skip
EDGES = {0: [(1, 2), (3, 2), (2, 4), (3, 5), (4, 5), (5, 6)], 1: [(8, 9)]}


def xml(unit: str = "micron", pixel: str = "0.5", version: str = "7.11.1") -> str:
    spots = "".join(
        f'<Spot ID="{i}" name="ID{i}" FRAME="{t}" POSITION_X="{x}.5" POSITION_Y="4.0" POSITION_Z="6.0" QUALITY="5.5" '
        f'RADIUS="3.0" VISIBILITY="{seen}">1 2 3</Spot>'
        for i, (t, x, seen) in SPOTS.items()
    )
    tracks = "".join(
        f'<Track name="Track_{number}" TRACK_ID="{number}">'
        + "".join(f'<Edge SPOT_SOURCE_ID="{a}" SPOT_TARGET_ID="{b}" LINK_COST="1.0"/>' for a, b in edges)
        + "</Track>"
        for number, edges in EDGES.items()
    )
    return (
        f'<?xml version="1.0" encoding="UTF-8"?><TrackMate version="{version}"><Log>a &lt; b</Log>'
        f'<Model spatialunits="{unit}" timeunits="sec"><AllSpots nspots="8"><SpotsInFrame frame="0">{spots}'
        f"</SpotsInFrame></AllSpots><AllTracks>{tracks}</AllTracks>"
        '<FilteredTracks><TrackID TRACK_ID="0"/></FilteredTracks></Model>'
        f'<Settings><ImageData pixelwidth="{pixel}" pixelheight="{pixel}" voxeldepth="2.0"/></Settings></TrackMate>'
    )


def read(folder: Path, text: str, movie: MovieFacts = MOVIE, **said: object) -> list[SpotRecord]:
    (folder / "m.xml").write_text(text, encoding="utf-8")
    return read_annotations(folder / "m.xml", AnnotationParams.model_validate(said), movie)


@pytest.mark.parametrize("version", ["3.4.2", "7.11.1"])
def test_what_trackmate_shows_is_read(version: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    found = {record.id: record for record in read(tmp_path, xml(version=version))}
    assert sorted(found) == [1, 2, 3, 4, 5, 6, 10]
    assert {i: record.parent for i, record in found.items() if record.parent} == {2: 1, 3: 2, 4: 2, 5: 3, 6: 5}
    assert [found[i].track for i in (1, 2, 3, 4, 5, 6)] == [0] * 6
    assert found[10].track is None
    assert (found[3].t, found[3].pos, found[3].covariance[::4], found[3].quality) == (2, (1.5, 4, 6), (9, 9, 9), 5.5)
    assert [message.partition(": ")[2][:30] for message in caplog.messages] == [
        "1 spot left out, which a filte", "1 track with 2 spots left out,", "1 merge, such as at the spot 5",
    ]  # fmt: skip
    assert len(links_of(list(found.values()))) == 4


def test_a_root_that_a_merge_leaves_behind_is_a_track_of_its_own(tmp_path: Path) -> None:
    text = xml().replace('<Edge SPOT_SOURCE_ID="2" SPOT_TARGET_ID="4" LINK_COST="1.0"/>', "")
    found = {record.id: record for record in read(tmp_path, text)}
    assert (found[4].parent, found[4].track) == (None, 2)
    assert (found[3].parent, found[3].track) == (2, 0)


@pytest.mark.parametrize(
    ("unit", "pixel", "x"),
    [("pixel", "1.0", 4.75), ("pixels", "0.5", 9.5), ("nm", "500.0", 0.0095), ("µm", "0.5", 9.5)],
)
def test_units(unit: str, pixel: str, x: float, tmp_path: Path) -> None:
    found = {record.id: record for record in read(tmp_path, xml(unit, pixel))}
    assert found[4].pos[0] == pytest.approx(x)
    assert np.sqrt(found[4].covariance[0]) == pytest.approx(3 * x / 9.5)


def test_another_voxel_size_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    read(tmp_path, xml(pixel="0.25"))
    assert "voxels of 0.25 x 0.25 x 2, but the voxel size is 0.5 x 0.5 x 2" in caplog.text


def test_the_simple_export_of_tracks(tmp_path: Path) -> None:
    text = (
        '<Tracks nTracks="2" spaceUnits="micron"><particle nSpots="2"><detection t="0" x="1" y="2" z="3"/>'
        '<detection t="1" x="2" y="2" z="3"/></particle><particle nSpots="1"><detection t="0" x="9" y="2" z="3"/>'
        "</particle></Tracks>"
    )
    found = read(tmp_path, text, radius=2)
    assert [(r.t, r.pos[0], r.parent, r.track) for r in found] == [(0, 1, None, 0), (1, 2, 0, 0), (0, 9, None, None)]
    with pytest.raises(InvalidInputError, match=r"expected a RADIUS above 0 for each spot, got nan .*give `radius`"):
        read(tmp_path, text)


BOMB = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;">]>'


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (xml().replace("<TrackMate ", BOMB + "<TrackMate ").replace("a &lt; b", "&b;"), "has a document type"),
        (xml().replace("<TrackMate ", '<!DOCTYPE x SYSTEM "file:///etc/passwd"><TrackMate '), "has a document type"),
        (xml().replace("a &lt; b", "&b;"), r"damaged at line 1 \(undefined entity\)"),
        (xml()[:900], r"breaks off or is damaged at line 1 \(.*\): save or copy it again"),
        (xml().replace('POSITION_Y="4.0" ', "", 1), "line 1: Spot 1: expected POSITION_Y, got none"),
        (xml().replace('POSITION_Y="4.0"', 'POSITION_Y="four"', 1), "line 1: Spot 1: expected numbers .*'four'"),
        (xml().replace('POSITION_Y="4.0"', 'POSITION_Y="NaN"', 1), "line 1: Spot 1: expected numbers .*nan"),
        (xml().replace('ID="2" name', 'ID="1" name'), "several spots with the ID 1"),
        (xml().replace('RADIUS="3.0"', 'RADIUS="1e200"', 1), "line 1: Spot 1: expected numbers .*RADIUS 1e.200"),
        (xml().replace('FRAME="3"', 'FRAME="-3"'), "has frame -3: expected frames from 0 on"),
        (xml().replace("TrackMate", "Other"), "is XML, but not TrackMate's"),
    ],
)
def test_damaged_and_hostile_files(text: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=words) as caught:
        read(tmp_path, text)
    assert "m.xml" in str(caught.value)


def test_no_spots(tmp_path: Path) -> None:
    assert read(tmp_path, '<TrackMate version="7"><Model><AllSpots nspots="0"/></Model></TrackMate>') == []


def nuclei() -> list[TrackedNucleus]:
    ellipsoid = np.array([[9.0, 0.5, 0.25], [0.5, 4.0, -0.5], [0.25, -0.5, 1.0]])
    return [
        TrackedNucleus(Spot(0, np.array([6.0, 4.0, 1 / 3]), ellipsoid, Tag.TP), 5, None, 1, quality=0.75),
        TrackedNucleus(Spot(1, np.array([6.0, 4.0, 2.0]), ellipsoid, Tag.FN), 6, 5, 2),
        TrackedNucleus(
            Spot(1, np.array([6.0, 8.0, 1.0]), np.eye(3), Tag.TB), 7, 5, 3, None, 0.5, np.array([6.0, 5, 1])
        ),
        TrackedNucleus(Spot(2, np.array([6.0, 8.0, 1.0]), np.eye(3)), 8, None, 4),
    ]


@pytest.fixture
def exported(tmp_path: Path) -> tuple[Path, Report]:
    dataset = open_dataset(
        np.zeros((3, 10, 40, 40), np.uint8), tmp_path / "movie & co", voxel_size=VOXEL.zyx, quiet=True
    )
    movie = TrackedMovie(dataset, nuclei(), ExportParams(voxel_size=VOXEL, t_end=2))
    report = TrackMateExporter().export(movie, tmp_path / "out.xml", NoReporter(), NeverCancelled())
    assert report is not None
    return tmp_path / "out.xml", report


def test_what_is_exported_is_read_again(exported: tuple[Path, Report], caplog: pytest.LogCaptureFixture) -> None:
    caplog.clear()
    caplog.set_level(logging.WARNING)
    found = [nucleus_of(record) for record in read_annotations(exported[0], movie=MovieFacts(voxel_size=VOXEL))]
    for nucleus, again in zip(nuclei(), found, strict=True):
        assert again.spot.pos.tolist() == nucleus.spot.pos.tolist()
        assert again.spot.covariance.tolist() == nucleus.spot.covariance.tolist()
        assert (again.t, again.id, again.parent, again.quality) == (
            nucleus.t,
            nucleus.id,
            nucleus.parent,
            nucleus.quality,
        )
        assert again.spot.tag is nucleus.spot.tag
    assert [again.track for again in found] == [0, 0, 0, None]
    assert exported[1].words == "4 spots, 2 links, 1 track"
    assert caplog.messages == []


def test_times_are_in_seconds_where_the_movie_says_how_long_a_timepoint_takes(tmp_path: Path) -> None:
    folder = tmp_path / "movie"
    open_dataset(np.zeros((3, 10, 40, 40), np.uint8), folder, voxel_size=VOXEL.zyx, quiet=True)
    DatasetSource(movie="m.tif", voxel_size=VOXEL, interval=30).write(folder)
    movie = TrackedMovie(Dataset(folder), nuclei(), ExportParams(voxel_size=VOXEL, t_end=2))
    TrackMateExporter().export(movie, tmp_path / "out.xml", NoReporter(), NeverCancelled())
    text = (tmp_path / "out.xml").read_text()
    assert 'timeunits="sec"' in text
    assert 'timeinterval="30.0"' in text
    assert 'POSITION_T="60.0" FRAME="2"' in text
    assert 'TRACK_START="0.0" TRACK_STOP="30.0" TRACK_DURATION="30.0"' in text


def test_a_radius_that_was_changed_in_trackmate_counts(exported: tuple[Path, Report], tmp_path: Path) -> None:
    text = exported[0].read_text().replace('RADIUS="1.0"', 'RADIUS="1.5"')
    changed = [record for record in read(tmp_path, text) if record.id in (7, 8)]
    assert [record.covariance[0] for record in changed] == [2.25, 2.25]


def test_pytrackmate_reads_what_is_exported(exported: tuple[Path, Report]) -> None:
    pytrackmate = pytest.importorskip("pytrackmate")
    table = pytrackmate.trackmate_peak_import(exported[0], get_tracks=True)
    assert table[["t_stamp", "x", "y", "z"]].to_numpy().tolist() == [
        [n.t, *n.spot.pos[::-1].tolist()] for n in nuclei()
    ]  # fmt: skip
    assert table["q"].tolist() == [0.75, -1, 0.5, -1]
    assert table["label"].tolist() == [0, 0, 0, 1]


def test_only_what_an_export_wrote_is_replaced(exported: tuple[Path, Report], tmp_path: Path) -> None:
    assert TrackMateExporter().other_content(exported[0]) is None
    (tmp_path / "other.xml").write_text(xml())
    assert TrackMateExporter().other_content(tmp_path / "other.xml") == "a file of another program"
