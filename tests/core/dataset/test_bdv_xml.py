"""What the .xml of BigDataViewer says of a movie."""

from pathlib import Path

import numpy as np
import pytest

from elephant.dataset.readers.base import ViewSetup
from elephant.dataset.readers.bdv_finding import find_spim_data
from elephant.dataset.readers.bdv_xml import SpimData, read_spim_data
from elephant.errors import DatasetError, NotFoundError
from elephant.simulation import BigDataViewerWriter
from elephant.types import VoxelSize

SETUPS = """<ViewSetups>
<ViewSetup><id>1</id><name>red</name><size>40 32 8</size>
  <voxelSize><unit>µm</unit><size>0.5 0.25 2</size></voxelSize>
  <attributes><channel>2</channel><angle>0</angle></attributes></ViewSetup>
<ViewSetup><id>0</id></ViewSetup>
<Attributes name="channel"><Channel><id>2</id><name>mCherry</name></Channel></Attributes>
<Attributes name="angle"><Angle><id>0</id></Angle></Attributes></ViewSetups>"""
RANGE = '<Timepoints type="range"><first>0</first><last>2</last></Timepoints>'


def written(folder: Path, inside: str = SETUPS + RANGE, loader: str = '<hdf5 type="relative">m.h5</hdf5>') -> Path:
    path = folder / "m.xml"
    path.write_text(
        f'<?xml version="1.0" encoding="UTF-8"?>\n<SpimData version="0.2"><BasePath type="relative">.</BasePath>'
        f'<SequenceDescription><ImageLoader format="bdv.hdf5">{loader}</ImageLoader>{inside}</SequenceDescription>'
        "<ViewRegistrations/></SpimData>",
        encoding="utf-8",
    )
    return path


def test_setups_are_sorted_by_number_with_their_attributes(tmp_path: Path) -> None:
    data = read_spim_data(written(tmp_path))
    assert data.setups == (
        ViewSetup(0),
        ViewSetup(1, "red", (8, 32, 40), VoxelSize(2, 0.25, 0.5), "µm", {"channel": "mCherry", "angle": "0"}),
    )
    assert [setup.title for setup in data.setups] == ["source 0", "source 1 (red)"]
    assert data.setup(1) == data.setups[1]
    assert data.setup(7) is None
    assert (data.loader, data.images) == ("bdv.hdf5", tmp_path / "m.h5")


@pytest.mark.parametrize("size", ["0 1 1", "-1 1 1", "nan 1 1", "1e999 1 1", "1 1", "a b c", ""])
def test_an_impossible_voxel_size_is_none(tmp_path: Path, size: str) -> None:
    setup = f"<ViewSetups><ViewSetup><id>0</id><voxelSize><size>{size}</size></voxelSize></ViewSetup></ViewSetups>"
    assert read_spim_data(written(tmp_path, setup + RANGE)).setups == (ViewSetup(0),)


@pytest.mark.parametrize(
    ("timepoints", "expected"),
    [
        (RANGE, (0, 1, 2)),
        ('<Timepoints type="range"><first> 5 </first><last>6</last></Timepoints>', (5, 6)),
        ('<Timepoints type="pattern"><integerpattern>0-4:2</integerpattern></Timepoints>', (0, 2, 4)),
        ('<Timepoints type="pattern"><integerpattern>0, 2,5</integerpattern></Timepoints>', (0, 2, 5)),
        ('<Timepoints type="pattern"><integerpattern>8-1:3, 0</integerpattern></Timepoints>', (0, 2, 5, 8)),
        ('<Timepoints type="pattern"><integerpattern/></Timepoints>', (0,)),
        (
            '<Timepoints type="list"><Timepoint><id>7</id><name>late</name></Timepoint>'
            "<Timepoint><id>3</id></Timepoint></Timepoints>",
            (3, 7),
        ),
        ("", ()),
    ],
)
def test_timepoints_are_those_of_bigdataviewer(tmp_path: Path, timepoints: str, expected: tuple[int, ...]) -> None:
    assert read_spim_data(written(tmp_path, SETUPS + timepoints)).timepoints == expected


def test_missing_views(tmp_path: Path) -> None:
    missing = (
        '<MissingViews><MissingView timepoint="1" setup="0"/><MissingView timepoint="0" setup="1"/></MissingViews>'
    )
    assert read_spim_data(written(tmp_path, SETUPS + RANGE + missing)).missing == {(1, 0), (0, 1)}


@pytest.mark.parametrize(
    ("loader", "place"),
    [
        ('<hdf5 type="relative">below/m.h5</hdf5>', "below/m.h5"),
        ('<hdf5 type="relative">below\\m.h5</hdf5>', "below/m.h5"),
        ('<n5 type="relative">m.n5</n5>', "m.n5"),
    ],
)
def test_the_images_are_where_the_xml_places_them(tmp_path: Path, loader: str, place: str) -> None:
    assert read_spim_data(written(tmp_path, loader=loader)).images == tmp_path / place


def test_it_describes_the_file_that_it_names_also_after_a_move(tmp_path: Path) -> None:
    movie = tmp_path / "m.h5"
    movie.touch()
    assert read_spim_data(written(tmp_path)).describes(movie)
    moved = written(tmp_path, loader='<hdf5 type="absolute">/nowhere/else/m.h5</hdf5>')
    assert read_spim_data(moved).describes(movie)
    assert not read_spim_data(moved).describes(tmp_path / "n.h5")
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "m.h5").touch()
    assert not read_spim_data(written(tmp_path, loader="<hdf5>below/m.h5</hdf5>")).describes(movie)


def test_what_the_simulator_writes(tmp_path: Path) -> None:
    with BigDataViewerWriter(tmp_path / "m.h5", (2, 3, 4), (2, 0.5, 0.25)) as writer:
        for _ in range(3):
            writer.append(np.zeros((2, 3, 4), np.uint16))
    data = read_spim_data(tmp_path / "m.xml")
    assert data.describes(tmp_path / "m.h5")
    assert data.timepoints == (0, 1, 2)
    assert data.setups == (
        ViewSetup(0, "channel 1", (2, 3, 4), VoxelSize(2, 0.5, 0.25), "micrometer", {"channel": "1"}),
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "empty|no element"),
        ("no xml at all", "cannot be read"),
        ("<SpimData><SequenceDescription>", "cannot be read"),
        ("<SpimData/>", "SequenceDescription"),
        ("<OME/>", "got <OME>"),
        ("<SpimData><SequenceDescription><ViewSetups><ViewSetup/></ViewSetups></SequenceDescription></SpimData>", "id"),
        ('<!DOCTYPE a [<!ENTITY e "x">]><SpimData><SequenceDescription>&e;</SequenceDescription></SpimData>', "type"),
        ('<!DOCTYPE a SYSTEM "file:///etc/passwd"><SpimData/>', "document type"),
        ("<SpimData>" * 100, "inside one another"),
    ],
)
def test_an_xml_that_is_not_bigdataviewers_is_refused(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "m.xml").write_text(text)
    with pytest.raises(DatasetError, match=rf"expected m\.xml to be .*({words})"):
        read_spim_data(tmp_path / "m.xml")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        read_spim_data(tmp_path / "m.xml")


@pytest.mark.parametrize(
    "timepoints",
    [
        '<Timepoints type="range"><first>0</first><last>2147483647</last></Timepoints>',
        '<Timepoints type="range"><first>-1</first><last>3</last></Timepoints>',
        '<Timepoints type="pattern"><integerpattern>0-4:0</integerpattern></Timepoints>',
        '<Timepoints type="pattern"><integerpattern>0-2147483647:2</integerpattern></Timepoints>',
        f'<Timepoints type="pattern"><integerpattern>{",".join(["0-99999"] * 9)}</integerpattern></Timepoints>',
        f'<Timepoints type="range"><first>0</first><last>{"9" * 9999}</last></Timepoints>',
        '<Timepoints type="unheard of"/>',
    ],
)
def test_numbers_are_judged_before_anybody_counts_to_them(tmp_path: Path, timepoints: str) -> None:
    with pytest.raises(DatasetError, match=r"expected m\.xml to be an \.xml of BigDataViewer, but"):
        read_spim_data(written(tmp_path, SETUPS + timepoints))


@pytest.mark.parametrize("filling", ["<a/>", "\n", "x", '<a b="', "<!-- -->"])
def test_nothing_is_read_without_end(tmp_path: Path, filling: str) -> None:
    path = tmp_path / "m.xml"
    path.write_text("<SpimData><SequenceDescription>" + filling * ((9 << 20) // len(filling)))
    with pytest.raises(DatasetError, match=r"expected m\.xml to be"):
        read_spim_data(path)


def test_what_follows_the_description_is_not_read(tmp_path: Path) -> None:
    path = written(tmp_path)
    expected: SpimData = read_spim_data(path)
    with path.open("ab") as file:
        file.write(b"<x>" * (1 << 20))
    assert read_spim_data(path) == expected


def test_the_xml_that_names_the_movie_is_found(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    movie = tmp_path / "m.h5"
    movie.touch()
    assert find_spim_data(movie) is None
    written(tmp_path).rename(tmp_path / "b.xml")
    (tmp_path / "a.xml").write_text("<OME/>")
    (tmp_path / "aa.xml").write_text("<broken")
    found = find_spim_data(movie)
    assert found is not None
    assert found.path.name == "b.xml"
    written(tmp_path, loader="<hdf5>other.h5</hdf5>")
    found = find_spim_data(movie)
    assert found is not None
    assert found.path.name == "b.xml"
    assert "m.xml names the images other.h5, not m.h5" in caplog.text
    written(tmp_path)
    found = find_spim_data(movie)
    assert found is not None
    assert found.path.name == "m.xml"


def test_the_xml_beside_what_a_link_leads_to_is_found(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "m.h5").touch()
    written(tmp_path / "data")
    (tmp_path / "linked.h5").symlink_to(tmp_path / "data" / "m.h5")
    found = find_spim_data(tmp_path / "linked.h5")
    assert found is not None
    assert found.path.parent.name == "data"


def test_a_damaged_xml_with_the_movies_name_is_not_treated_as_missing(tmp_path: Path) -> None:
    (tmp_path / "m.h5").touch()
    (tmp_path / "m.xml").write_text("<SpimData><Sequence")
    with pytest.raises(DatasetError, match=r"expected m\.xml to be"):
        find_spim_data(tmp_path / "m.h5")
    (tmp_path / "m.xml").write_text("<OME/>")
    assert find_spim_data(tmp_path / "m.h5") is None
