"""What files could lose, or say wrongly, in silence."""

import json
import logging
from pathlib import Path

import numpy as np
import pytest
import tifffile

import elephant
from elephant.annotations import MovieFacts, SpotRecord, links_of, nuclei_of, read_all, read_annotations
from elephant.config import AnnotationParams
from elephant.dataset import Dataset
from elephant.errors import InvalidInputError
from elephant.export.base import ExportParams, TrackedMovie
from elephant.export.geff import GeffExporter
from elephant.progress import NeverCancelled, NoReporter
from elephant.types import Tag, VoxelSize

MOVIE = MovieFacts(shape=(10, 50, 50), n_timepoints=5, voxel_size=VoxelSize(2, 1, 1), unit="micrometer")


def _file(folder: Path, name: str, *lines: str) -> Path:
    (folder / name).write_text("\n".join(lines) + "\n")
    return folder / name


def test_spots_without_an_id_get_none_from_a_spot_that_an_earlier_file_has_too(tmp_path: Path) -> None:
    first = _file(tmp_path, "a.csv", "t,id,x,y,z,radius", "0,7,1,1,1,2")
    second = _file(tmp_path, "b.csv", "t,x,y,z,radius", "0,1,1,1,2", "1,9,9,9,2")
    assert [(r.t, r.id, r.parent) for r in read_all([first, second], movie=MOVIE)] == [(0, 7, None), (1, None, None)]


def test_a_link_to_a_spot_that_lost_its_id_is_not_lost_in_silence(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = _file(tmp_path, "a.csv", "t,x,y,z,radius", "0,1,1,1,2")
    second = _file(tmp_path, "b.csv", "t,id,x,y,z,radius,parent", "0,1,1,1,1,2,", "1,2,1,1,2,2,1")
    with caplog.at_level(logging.WARNING):
        assert [r.parent for r in read_all([first, second], movie=MOVIE)] == [None, None]
    assert "1 link left out, since the parents are in earlier files that give them no id" in caplog.text


@pytest.mark.parametrize(
    ("column", "lines"),
    [
        ("z", ("t,x,y,z,radius", "0,1,1,5,2", "0,9,9,,2")),
        ("czz", ("t,x,y,z,cxx,cxy,cyy", "0,1,1,5,9,0,9")),
        ("czz", ("t,x,y,z,cxx,cxy,cxz,cyy,cyz,czz", "0,1,1,5,9,0,0,9,0,")),
    ],
)
def test_a_nucleus_in_3d_needs_its_depth(tmp_path: Path, column: str, lines: tuple[str, ...]) -> None:
    file = _file(tmp_path, "a.csv", *lines)
    with pytest.raises(InvalidInputError, match=f"a.csv, nucleus . below the header: {column}: expected a number"):
        read_annotations(file, movie=MOVIE)
    assert read_annotations(file, movie=MovieFacts((50, 50), 5, VoxelSize(1, 1, 1)))


def test_links_need_parents_whose_id_is_unique(tmp_path: Path) -> None:
    file = _file(tmp_path, "a.csv", "t,id,x,y,z,radius,parent", "0,1,1,1,1,2,", "0,1,8,8,8,2,", "1,2,1,1,1,2,1")
    with pytest.raises(InvalidInputError, match="the parent 1, which several spots have as id"):
        links_of(read_annotations(file, movie=MOVIE))


def test_a_link_as_the_server_is_sent_it_is_no_nucleus(caplog: pytest.LogCaptureFixture) -> None:
    ball = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
    records = [SpotRecord(0, (1, 1, 1), ball), SpotRecord(0, (2, 2, 2), ball, displacement=(1, 0, 0))]
    with caplog.at_level(logging.WARNING):
        assert [nucleus.spot.pos[0] for nucleus in nuclei_of(records)] == [1]
    assert "1 link with a displacement left out" in caplog.text


@pytest.mark.parametrize(
    ("format", "ending"), [("json", ".json"), ("geff", ".zip"), ("trackmate", ".xml"), ("napari", ".csv")]
)
def test_unlabeled_and_without_a_tag_stay_apart(tmp_path: Path, format: str, ending: str) -> None:  # noqa: A002
    movie = elephant.open_dataset(np.zeros((1, 10, 20, 20), np.uint8), tmp_path / "m", voxel_size=(2, 1, 1), quiet=True)
    assert isinstance(movie, Dataset)
    lines = [f"0,{i},{4 * i + 2},4,4,1,{tag}" for i, tag in enumerate(("", "unlabeled", "fp"))]
    file = _file(tmp_path, "s.csv", "t,id,x,y,z,radius,tag", *lines)
    elephant.export_tracks(file, movie, tmp_path / f"o{ending}", format=format, quiet=True)
    again = read_annotations(tmp_path / f"o{ending}", movie=MovieFacts.of(movie))
    assert {r.id: r.tag for r in again} == {0: None, 1: Tag.UNLABELED, 2: Tag.FP}


def test_a_tag_of_trackmate_that_is_no_number_of_one_is_none(tmp_path: Path) -> None:
    for number in ("inf", "nan", "1e300", "-1", "1.5", "7"):
        file = _file(
            tmp_path,
            "t.xml",
            '<TrackMate version="7"><Model spatialunits="micron"><AllSpots><SpotsInFrame frame="0"><Spot ID="1" '
            f'POSITION_X="1" POSITION_Y="1" POSITION_Z="1" FRAME="0" RADIUS="2" ELEPHANT_TAG="{number}" />'
            "</SpotsInFrame></AllSpots></Model></TrackMate>",
        )
        assert [record.tag for record in read_annotations(file, movie=MOVIE)] == [None]


@pytest.mark.parametrize("unit", [None, "pixel"])
def test_a_graph_of_ours_is_physical_whatever_the_movie_calls_its_unit(tmp_path: Path, unit: str | None) -> None:
    movie = elephant.open_dataset(np.zeros((1, 10, 20, 20), np.uint8), tmp_path / "m", voxel_size=(2, 1, 1), quiet=True)
    source = json.loads((movie.folder / "source.json").read_text())
    (movie.folder / "source.json").write_text(json.dumps(source | {"unit": unit}))
    file = _file(tmp_path, "s.csv", "t,x,y,z,radius", "0,4,4,4,1")
    elephant.export_tracks(file, movie.folder, tmp_path / "o.geff", format="geff", quiet=True)
    (record,) = read_annotations(tmp_path / "o.geff", movie=MovieFacts.of(elephant.open_dataset(movie.folder)))
    assert record.pos == (4, 4, 4)


def test_a_radius_in_another_unit_than_the_positions_is_refused(tmp_path: Path) -> None:
    file = _file(tmp_path, "a.csv", "t,x (um),y (um),z (um),radius (pixel)", "0,1,1,1,2")
    with pytest.raises(InvalidInputError, match="the radius in the unit of the positions, got pixel and um"):
        read_annotations(file, movie=MOVIE)
    same = _file(tmp_path, "b.csv", "t,x (um),y (um),z (um),radius (micron)", "0,1,1,1,2")
    assert read_annotations(same, movie=MOVIE)


def test_what_is_said_of_json_and_has_no_effect_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = _file(tmp_path, "a.json", '{"spots": [{"t": 1, "pos": [1, 1, 1], "radius": 1}]}')
    with caplog.at_level(logging.WARNING):
        read_annotations(file, AnnotationParams(spots_unit="physical", first_frame=0), MOVIE)
        assert not caplog.text
        read_annotations(file, AnnotationParams(spots_unit="pixel", first_frame=1), MOVIE)
    assert "`spots_unit` is ignored" in caplog.text
    assert "`first_frame` is ignored" in caplog.text


def test_a_property_that_would_fill_the_memory_is_refused_before_it_is_read(tmp_path: Path) -> None:
    movie = elephant.open_dataset(np.zeros((1, 10, 20, 20), np.uint8), tmp_path / "m", voxel_size=(2, 1, 1), quiet=True)
    elephant.export_tracks(
        _file(tmp_path, "s.csv", "t,x,y,z,radius", "0,4,4,4,1"), movie, tmp_path / "o.geff", format="geff", quiet=True
    )
    array = tmp_path / "o.geff/nodes/props/radius/values/.zarray"
    array.write_text(json.dumps(json.loads(array.read_text()) | {"shape": [10**9], "chunks": [10**6]}))
    with pytest.raises(InvalidInputError, match=r"nodes/props/radius/values of o\.geff to take at most 2"):
        read_annotations(tmp_path / "o.geff", movie=MOVIE)


def test_a_part_of_a_movie_as_a_graph_gets_no_link_that_the_whole_has_not(tmp_path: Path) -> None:
    movie = elephant.open_dataset(np.zeros((6, 9, 20, 20), np.uint8), tmp_path / "m", voxel_size=(2, 1, 1), quiet=True)
    # One track of two daughters, of which one is not seen at timepoint 3.
    rows = ("0,1,8,,7", "1,2,8,1,7", "2,3,8,2,7", "2,4,12,2,7", "4,5,8,3,7", "3,6,12,4,7")
    file = _file(tmp_path, "s.csv", "t,id,x,parent,track,y,z,radius", *(f"{row},8,8,2" for row in rows))
    part = ExportParams(voxel_size=VoxelSize(2, 1, 1), t_start=3, t_end=5)
    nuclei = nuclei_of(read_annotations(file, movie=MovieFacts.of(movie)))
    GeffExporter().export(TrackedMovie(movie, nuclei, part), tmp_path / "o.geff", NoReporter(), NeverCancelled())
    again = read_annotations(tmp_path / "o.geff", movie=MovieFacts.of(movie))
    assert {(r.t, r.id) for r in again} == {(3, 6), (4, 5)}
    assert not links_of(again)


def test_files_that_count_from_1_begin_at_timepoint_0(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "labels").mkdir()
    for number in (1, 2):
        image = np.zeros((6, 16, 16), np.uint16)
        image[2:4, 4:8, 4:8] = number
        tifffile.imwrite(tmp_path / f"labels/t{number:03d}.tif", image, metadata={"axes": "ZYX"})
    for n_timepoints, expected in ((2, [0, 1]), (3, [1, 2])):
        movie = MovieFacts((6, 16, 16), n_timepoints, VoxelSize(2, 1, 1))
        assert [record.t for record in read_annotations(tmp_path / "labels", movie=movie)] == expected
    assert "frames are counted from 1" in caplog.text
