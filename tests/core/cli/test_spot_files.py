"""Files of spots."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from elephant.annotations.reading import read_annotations as read_spots
from elephant.annotations.records import SpotRecord, links_of, record_of, spot_of
from elephant.cli.files_write import write_spots
from elephant.errors import InvalidInputError, NotFoundError
from elephant.types import DetectedSpot, Tag

COVARIANCE = (4.0, 0.5, 0.25, 0.5, 9.0, -1.0, 0.25, -1.0, 16.0)
FULL = SpotRecord(
    t=3, id=7, pos=(1, 2, 3), covariance=COVARIANCE, tag=Tag.TP, quality=0.5, displacement=(0.1, 0.2, 0.3),
    earlier=(1.5, 2.5, 3.5), sqdisp=0.75, parent=2, track=4, value=5,
)  # fmt: skip
BARE = SpotRecord(t=0, pos=(0.1, 0.2, 0.3), covariance=COVARIANCE)


@pytest.mark.parametrize("name", ["spots.json", "spots.csv", "SPOTS.CSV"])
def test_what_is_written_is_read_again(name: str, tmp_path: Path) -> None:
    write_spots(tmp_path / name, [FULL, BARE])
    assert read_spots(tmp_path / name) == [FULL, BARE]
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", ["none.json", "none.csv"])
def test_no_spots_are_a_file_too(name: str, tmp_path: Path) -> None:
    write_spots(tmp_path / name, [])
    assert read_spots(tmp_path / name) == []


def test_json_is_that_of_the_server(tmp_path: Path) -> None:
    write_spots(tmp_path / "s.json", [BARE], is_completed=False)
    expected = {"spots": [{"t": 0, "pos": [0.1, 0.2, 0.3], "covariance": list(COVARIANCE)}], "completed": False}
    assert json.loads((tmp_path / "s.json").read_text()) == expected
    sent = {"spots": [{**expected["spots"][0], "tag": "fn", "label": "a", "id": 3}], "dataset_name": "x"}  # type: ignore[index]
    (tmp_path / "sent.json").write_text(json.dumps(sent))
    (record,) = read_spots(tmp_path / "sent.json")
    assert (record.tag, record.id) == (Tag.FN, 3)


def test_a_csv_made_by_hand(tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_text(
        "\ufeffT, X ,y,z,Radius,tag,note\n0,1,2,3,2,tp,ours\n\n1,4,5,,3,,\n", encoding="utf-8"
    )
    first, second = read_spots(tmp_path / "s.csv")
    assert (first.t, first.pos, first.tag) == (0, (1, 2, 3), Tag.TP)
    assert first.covariance == (4, 0, 0, 0, 4, 0, 0, 0, 4)
    assert (second.pos, second.tag, second.covariance[0]) == ((4, 5, 0), None, 9)


def test_vectors_are_xyz_in_files_and_zyx_inside() -> None:
    spot = spot_of(FULL)
    assert spot.pos.tolist() == [3, 2, 1]
    assert np.diag(spot.covariance).tolist() == [16, 9, 4]
    assert spot.covariance[0, 1] == -1
    again = record_of(3, 7, DetectedSpot(spot.pos, spot.covariance, 0.75))
    assert (again.t, again.id, again.pos, again.covariance) == (3, 7, FULL.pos, FULL.covariance)
    assert again.quality == 0.75


def test_a_spot_without_a_tag_gets_the_one_asked_for() -> None:
    assert spot_of(BARE).tag is Tag.UNLABELED
    assert spot_of(BARE, Tag.TP).tag is Tag.TP
    assert spot_of(replace(BARE, tag=Tag.UNLABELED), Tag.TP).tag is Tag.UNLABELED


def test_links_come_from_parents_and_from_displacements() -> None:
    parent = SpotRecord(t=2, id=1, pos=(1, 1, 1), covariance=COVARIANCE)
    child = SpotRecord(t=3, id=2, pos=(2, 4, 8), covariance=COVARIANCE, parent=1)
    sent = SpotRecord(t=5, pos=(0, 0, 0), covariance=COVARIANCE, displacement=(1, 2, 3))
    links = links_of([child, parent, sent])
    assert [link.t for link in links] == [2, 5]
    assert links[0].pos.tolist() == [8, 4, 2]
    assert [link.displacement.tolist() for link in links] == [[-7, -3, -1], [3, 2, 1]]


@pytest.mark.parametrize("parent", [9, 2])
def test_a_parent_must_be_at_the_timepoint_before(parent: int) -> None:
    spots = [SpotRecord(t=3, id=2, pos=(0, 0, 0), covariance=COVARIANCE, parent=parent)]
    with pytest.raises(InvalidInputError, match="expected a spot at timepoint 2"):
        links_of(spots)


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("s.json", "{", "is not valid JSON"),
        ("s.json", "[" * 100_000, "is not valid JSON"),
        ("s.json", "{}", "has no list of spots"),
        ("s.json", "3", "has no list of spots"),
        ("s.json", "[3]", r"spots\[0\]"),
        ("s.json", '[{"t": 0, "pos": [1, 2], "covariance": []}]', r"spots\[0\]: pos"),
        ("s.json", '[{"t": -1, "pos": [1, 2, 3], "radius": 1}]', r"spots\[0\]: t"),
        ("s.json", '[{"t": 0, "pos": [1, 2, NaN], "radius": 1}]', r"pos\.2: .*finite"),
        ("s.json", '[{"t": 0, "pos": [1, 2, 3], "radius": "wide"}]', r"spots\[0\]: radius: .*wide"),
        ("s.json", '[{"t": 0, "pos": [1, 2, 3], "radius": 1, "tag": "good"}]', "'tp'"),
        ("s.csv", "", "s.csv: the file is empty: expected"),
        ("s.json", " \n", "s.json: the file is empty: expected"),
        ("s.csv", "a,b\n1,2\n", "needs a header"),
        ("s.csv", "t,x,y,z,size\n0,1,2,3,4\n", "expected a column for the radius .* got t, x, y, z, size: add one"),
        ("s.csv", "t,x,y,radius\n0,1,2,3\n0,1,wide,3\n", 'line 3: y: expected a number, got "wide"$'),
        ("s.csv", "t,x,y,radius\n0,abc,2,3\n", 'line 2: x: expected a number, got "abc"$'),
        ("s.csv", "t,x,y,radius\n0,,2,3\n", "line 2: x: expected a number, got an empty cell$"),
        ("s.csv", "t,x,y,radius\n,1,2,3\n", "line 2: t: expected a whole number, got an empty cell$"),
        ("s.csv", "t,x,y,radius\n0.5,1,2,3\n", 'line 2: t: expected a whole number, got "0.5"$'),
        ("s.csv", "t,x,y,radius,earlier_x,earlier_y\n0,1,2,3,1,b\n", 'line 2: earlier_y: expected a number, got "b"$'),
        ("s.csv", "t,x,y,radius,tag\n0,1,2,3,good\n", 'line 2: tag: input should be .*got "good"$'),
        ("s.csv", "t,x,y,z,radius\n0,1,2,inf,3\n", "line 2: z: .*finite"),
        ("s.csv", "t,x,y,radius\n0,1,2,\n", "line 2: radius: expected a number, got an empty cell$"),
        ("s.csv", "t,x,y,cxx\n0,1,2,3\n", "line 2: cxy: expected a number, got an empty cell$"),
        ("s.csv", "t,x,y,cxx,cxy,cyy\n0,1,2,,,\n", "line 2: cxx: expected a number, got an empty cell$"),
        ("s.csv", "t,x,y,cxx,cxy,cyy\n0,1,2,4,0,b\n", 'line 2: cyy: expected a number, got "b"$'),
        ("s.csv", "t,x,y,radius\n0,1,2,3,\n0,1,5,2,3\n", "line 3: expected at most 4 cells.*got 5"),
        ("s.csv", 't,x,y,radius,tag\n0,1,2,3,"' + "0,1,2,3,tp\n" * 20_000, "is not a valid CSV file.*field"),
    ],
)
def test_what_is_wrong_is_named(name: str, text: str, words: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(InvalidInputError, match=words) as caught:
        read_spots(tmp_path / name)
    assert name in str(caught.value)


def test_what_is_wrong_is_shown_in_short(tmp_path: Path) -> None:
    for pos in (str([0] * 100_000), '"' + "x" * 100_000 + '"'):
        (tmp_path / "s.json").write_text(f'[{{"t": 0, "pos": {pos}, "radius": 1}}]')
        with pytest.raises(InvalidInputError, match=r"spots\[0\]: pos") as caught:
            read_spots(tmp_path / "s.json")
        assert len(str(caught.value)) < 300


def test_a_file_that_is_not_there_and_one_that_is_no_text(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no file of spots"):
        read_spots(tmp_path / "s.json")
    (tmp_path / "s.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InvalidInputError, match="UTF-8"):
        read_spots(tmp_path / "s.csv")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("s.csv", "t;x;y;z;radius\n0;8,5;-1,25;1e1;3\n"),  # as Excel writes it in most of Europe
        ("s.csv", "t\tx\ty\tz\tradius\n0\t8.5\t-1.25\t10\t3\n"),
        ("s.tsv", "t\tx\ty\tz\tradius\n0\t8,5\t-1,25\t10\t3\n"),
        ("s.txt", "t,x,y,z,radius\n0,8.5,-1.25,10,3\n"),
        ("s", "t;x;y;z;radius\n0;8.5;-1.25;10;3\n"),
    ],
)
def test_tables_of_spreadsheets(name: str, text: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / name).write_text(text)
    (record,) = read_spots(tmp_path / name)
    assert (record.t, record.pos, record.covariance[0]) == (0, (8.5, -1.25, 10), 9)
    assert [m for m in caplog.messages if "decimal points" in m] == [
        f"{name}: commas in numbers read as decimal points" for _ in range("8,5" in text)
    ]


TEXTS = "a,b,c,d,e,f,g,h\n" * 2 + "ID1,1,"
TRACKMATE = (
    "LABEL,ID,TRACK_ID,POSITION_X,POSITION_Y,POSITION_Z,FRAME,RADIUS\nLabel,Spot ID,Track ID,X,Y,Z,Frame,Radius\n"
    ",,,(micron),(micron),(micron),,(micron)\nID1,1,0,8,8,8,0,3\n"
)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (TRACKMATE.replace("ID1,1,", TEXTS), "line 5: expected numbers, got .*: delete text lines"),
        ("t,x,y,radius\n0,1,2,3\nin,the,middle,\n", "line 3: expected numbers, got in,the,middle,: delete text lines"),
        ("t,z,y,x,id,parent_id\n0,8,8,8,1,\n", "expected a column for the radius .* got t, z, y, x, id, parent_id"),
        ("t;x;y;radius\n0;1.5;1,500;3\n", "numbers with a comma and others with a point"),
        ("t;x;y;radius\n0;1;1.500,5;3\n", "line 2: y: .*1.500,5"),
        ("<?xml version='1.0'?><html/>", "is XML, but not TrackMate's"),
        (b"PK\x03\x04" + bytes(20), "is an archive, such as a workbook of Excel"),
        (b"\x89HDF\r\n\x1a\n", "is an HDF5 file"),
        (b"t,x,y,radius,note\n0,1,2,3,\xb5m\n", "is not UTF-8 text.*save it again as CSV in UTF-8"),
    ],
)
def test_files_of_other_programs_get_advice(content: str | bytes, words: str, tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InvalidInputError, match=words):
        read_spots(tmp_path / "s.csv")


def test_a_folder_is_not_a_file_of_spots(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="is a folder: expected a file of spots"):
        read_spots(tmp_path)


def test_columns_that_are_not_read_are_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "s.csv").write_text("t,x,y,z,radius,who,note\n0,1,2,3,4,,\n")
    read_spots(tmp_path / "s.csv")
    assert caplog.messages == ["s.csv: columns who, note are ignored"]
    caplog.clear()
    (tmp_path / "s.csv").write_text("t,x,y,z,radius,label\n0,1,2,3,4,\n")
    read_spots(tmp_path / "s.csv")
    assert caplog.messages == ["s.csv: column label is ignored"]


def test_a_table_without_z_is_said_to_be_read_as_2d(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "s.csv").write_text("t,x,y,radius\n0,1,2,3\n")
    (record,) = read_spots(tmp_path / "s.csv")
    assert record.pos == (1.0, 2.0, 0.0)
    assert caplog.messages == ["s.csv: no column for z: the nuclei are read as 2D"]
