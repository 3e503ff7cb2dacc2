"""Tables of other programs."""

import logging
import os
import sys
import threading
from pathlib import Path

import pytest

from elephant.annotations import MovieFacts, SpotRecord, links_of, read_annotations
from elephant.config import AnnotationParams
from elephant.errors import InvalidInputError
from elephant.types import VoxelSize

MOVIE = MovieFacts(shape=(10, 40, 40), n_timepoints=4, voxel_size=VoxelSize(2.0, 0.5, 0.5))

TRACKMATE = (
    "LABEL,ID,TRACK_ID,QUALITY,POSITION_X,POSITION_Y,POSITION_Z,POSITION_T,FRAME,RADIUS,VISIBILITY\n"
    "Label,Spot ID,Track ID,Quality,X,Y,Z,T,Frame,Radius,Visibility\n"
    "Label,Spot ID,Track ID,Quality,X,Y,Z,T,Frame,R,Visibility\n"
    ",,,(quality),(micron),(micron),(micron),(sec),,(micron),\n"
    "ID7,7,0,5.5,8.5,4.0,6.0,30.0,1,3.0,1\n"
)
MASTODON = (
    "Label,ID,Detection quality,Spot frame,Spot position,Spot position,Spot position,Spot radius,Spot track ID\n"
    ",,,,X,Y,Z,,\n"
    ",,,,(µm),(µm),(µm),(µm),\n"
    '"7",7,5.5,1,8.5,4,6,3,0\n'
)
IMARIS = (
    "\nPosition\n ==================== \n"
    "Position X,Position Y,Position Z,Unit,Category,Collection,Time,TrackID,ID,\n"
    "8.5,4,6,um,Spot,Position,2,0,7,\n"
)


def read(
    folder: Path, text: str, movie: MovieFacts = MOVIE, encoding: str = "utf-8", **said: object
) -> list[SpotRecord]:
    (folder / "s.csv").write_text(text, encoding=encoding)
    return read_annotations(folder / "s.csv", AnnotationParams.model_validate(said), movie)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (TRACKMATE, {}),
        (MASTODON, {}),
        (MASTODON.replace("ition,Spot position,Spot position", "ition X (µm),Spot position Y (µm),Spot position Z (µm)")
         .replace(",,,,X,Y,Z,,\n,,,,(µm),(µm),(µm),(µm),\n", ""), {}),
        (IMARIS, {"radius": 3}),
        ("# comment\n\nsep=;\nID;TRACK_ID;POSITION_X;POSITION_Y;POSITION_Z;FRAME;RADIUS\n7;0;8,5;4;6;1;3\n", {}),
        ("index,axis-0,axis-1,axis-2,axis-3\n0.0,1.0,3.0,8.0,17.0\n", {"radius": 3}),
        ("track_id,t,z,y,x,id,parent_track_id,parent_id\n0,1,3,8,17,7,-1,-1\n", {"radius": 3, "spots_unit": "pixel"}),
        ("track_id\tt\tz\ty\tx\tid\n0\t1\t6\t4\t8.5\t7\n", {"radius": 3, "spots_unit": "physical"}),
        ("t,x,y,z,radius,track_id\n1,8.5,4,6,3,0\n", {}),
        ("frame,x,y,z,radius\n2,8.5,4,6,3\n", {"first_frame": 1}),
    ],
)  # fmt: skip
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_nucleus_of_each_program_is_where_it_was(
    text: str, said: dict[str, object], encoding: str, tmp_path: Path
) -> None:
    (record,) = read(tmp_path, text, encoding=encoding, **said)
    assert (record.t, record.pos, record.covariance[::4]) == (1, (8.5, 4, 6), (9, 9, 9))
    assert record.id in (7, None)
    assert record.track in (0, None)
    assert record.quality in (5.5, None)
    assert record.parent is None


def test_positions_in_pixels_are_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    in_pixels = TRACKMATE.replace("micron", "pixel")
    (record,) = read(tmp_path, in_pixels)
    assert (record.pos, record.covariance[::4]) == ((4.25, 2, 12), (2.25, 2.25, 2.25))
    assert "positions read as pixels, multiplied by the voxel size, 0.5 x 0.5 x 2 (X x Y x Z)" in caplog.text
    with pytest.raises(InvalidInputError, match="positions in pixels: expected the voxel size, got none: give"):
        read(tmp_path, in_pixels, MovieFacts())


def test_a_unit_that_only_one_reading_allows_is_guessed_and_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (record,) = read(tmp_path, "track_id,t,z,y,x\n1,0,3,8,30\n", radius=1)
    assert record.pos == (15, 4, 6)
    assert "positions read as pixel, since otherwise nuclei would be outside the movie" in caplog.text
    (record,) = read(tmp_path, "track_id,t,z,y,x\n1,0,15,8,10\n", radius=1)
    assert record.pos == (10, 8, 15)
    with pytest.raises(InvalidInputError, match="pixels or physical, and both are possible: give `spots_unit`"):
        read(tmp_path, "track_id,t,z,y,x\n1,0,3,8,10\n", radius=1)
    with pytest.raises(InvalidInputError, match="neither is in the movie: give `spots_unit`"):
        read(tmp_path, "track_id,t,z,y,x\n1,0,30,8,10\n", radius=1)


def test_frames_from_1_are_recognised_or_asked_for(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    header = "frame,x,y,z,radius\n"
    assert [r.t for r in read(tmp_path, header + "1,1,1,1,1\n4,1,1,1,1\n")] == [0, 3]
    assert "frames 1 to 4 are counted from 1: frame 1 is timepoint 0" in caplog.text
    assert [r.t for r in read(tmp_path, header + "0,1,1,1,1\n3,1,1,1,1\n")] == [0, 3]
    assert [r.t for r in read(tmp_path, header + "2,1,1,1,1\n3,1,1,1,1\n")] == [2, 3]
    with pytest.raises(InvalidInputError, match=r"frames 1 to 3 of 4 timepoints: .*give `first_frame`"):
        read(tmp_path, header + "1,1,1,1,1\n3,1,1,1,1\n")
    with pytest.raises(InvalidInputError, match="has frame 0: expected frames from 1 on"):
        read(tmp_path, header + "0,1,1,1,1\n", first_frame=1)


@pytest.mark.parametrize(
    "text",
    [
        "track_id,t,z,y,x,id,parent_track_id,parent_id\n1,0,1,1,1,10,-1,-1\n1,1,1,1,2,11,-1,10\n2,2,1,1,1,12,1,11\n3,2,1,1,3,13,1,11\n",
        "track_id,t,z,y,x,parent_track_id\n3,2,1,1,3,1\n1,0,1,1,1,0\n1,1,1,1,2,0\n2,2,1,1,1,1\n",
        "ID,t,x,y,z,parent,root,state,generation\n1,0,1,1,1,1,1,0,0\n1,1,2,1,1,1,1,0,0\n2,2,1,1,1,1,1,0,1\n3,2,3,1,1,1,1,0,1\n",
    ],
)
def test_divisions_of_ultrack_and_btrack(text: str, tmp_path: Path) -> None:
    found = links_of(read(tmp_path, text, radius=1, spots_unit="physical"))
    assert sorted((link.t, *link.pos, *link.displacement) for link in found) == [
        (0, 1, 1, 2, 0, 0, -1), (1, 1, 1, 1, 0, 0, 1), (1, 1, 1, 3, 0, 0, -1),
    ]  # fmt: skip


def test_links_over_a_gap_are_left_out_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    found = read(tmp_path, "t,x,y,z,radius,track\n0,1,1,1,1,5\n1,2,1,1,1,5\n3,3,1,1,1,5\n")
    assert len(links_of(found)) == 1
    assert "1 link left out, since they skip timepoints" in caplog.text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("t,x,y\n0,1,2\n", r"expected a column for the radius \(radius, R, ...\) or cxx to czz, got t, x, y: add one"),
        ("POSITION_X,POSITION_Y,POSITION_T,RADIUS\n1,2,3,4\n", "has POSITION_T, a time, but no frame"),
        ("FRAME,POSITION_Y,RADIUS\n1,2,3\n", r"a column for the position \(x, POSITION_X, ...\), such as"),
        ("t,x,x,y,radius\n0,1,1,2,3\n", "line 1: expected each column once, got 2 columns x: rename one"),
        (
            "FRAME,POSITION_X,POSITION_Y,RADIUS\n0,1,2,3\n0,1,wide,3\n",
            'line 3: POSITION_Y: expected a number, got "wide"',
        ),
        ("axis-0,axis-1,axis-2\n0,1,2\n", "expected columns axis-0 to axis-3, for t, z, y and x, got 3 axes"),
        (
            TRACKMATE.replace("(micron),(micron),(micron)", "(micron),(mm),(micron)"),
            "positions in one unit, got micron, mm",
        ),
        ("track_id,t,y,x,parent_id,radius\n1,0,1,1,,1\n", r"expected a column for the id .* to which parent_id refers"),
        ("t,x,y,radius\n0,1,2,1e200\n", 'line 2: radius: input should be a finite number below 1e.100, got "1e200"'),
        ("t,x,y,radius\n0,1,2,3\n-1,1,2,3\n", 'line 3: t: expected a timepoint of at least 0, got "-1"'),
        ("t x y radius\n0 1 2 3\n", "its first line is t x y radius: separate the cells by commas, semicolons or tabs"),
        ("t,x,y,radius\n0,1,2,3" + "9" * (1 << 20), "has a line of more than 1048576 letters"),
    ],
)
def test_what_a_table_lacks_is_said_by_name(text: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=words) as caught:
        read(tmp_path, text)
    assert str(caught.value).startswith("s.csv")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no named pipes in folders")
def test_a_pipe_is_read_once(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_text, args=("t,x,y,z,radius\n" + "0,1,2,3,4\n" * 1000,))
    writer.start()
    assert len(read_annotations(pipe)) == 1000
    writer.join()


def test_points_get_the_radius_that_is_given(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    first, second = read(tmp_path, "t,x,y,z,radius\n0,1,2,3,\n0,1,2,3,2\n", radius=5)
    assert (first.covariance[0], second.covariance[0]) == (25, 4)
    assert caplog.messages == []
