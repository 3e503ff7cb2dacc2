"""Which source of a movie is read, at which timepoints, and what is blank."""

import logging
from pathlib import Path

import h5py
import numpy as np
import pytest

from core.dataset.bdv import describe, write_cells
from core.dataset.helpers import images_of
from elephant.config import ConversionParams
from elephant.dataset import DatasetSource, convert, find_movie
from elephant.dataset.readers.bigdataviewer import BigDataViewerReader
from elephant.errors import Cancelled, DatasetError, InvalidInputError
from elephant.progress import NeverCancelled, NoReporter

SHAPE = (2, 5, 4)
Views = dict[tuple[int, int], int]


def image(value: int) -> np.ndarray:
    return np.full(SHAPE, value, np.uint16) + np.arange(4, dtype=np.uint16)


def movie(folder: Path, views: Views, *, describes: bool = True) -> Path:
    """Write a movie of (timepoint, source): value."""
    path = folder / "m.h5"
    with h5py.File(path, "w") as file:
        for setup in sorted({s for _, s in views}) if describes else ():
            describe(file, f"s{setup:02d}")
        for (t, s), value in views.items():
            write_cells(file, f"t{t:05d}/s{s:02d}/0/cells", image(value).view(np.int16))
    return path


def xml(folder: Path, timepoints: str, missing: Views | tuple[()] = (), setups: tuple[int, ...] = (0,)) -> None:
    """Write what BigDataViewer would write beside the movie; sources are named A, B, ..."""
    listed = "".join(f"<ViewSetup><id>{s}</id><name>{'ABCDEFGHI'[s]}</name></ViewSetup>" for s in setups)
    views = "".join(f'<MissingView timepoint="{t}" setup="{s}"/>' for t, s in missing)
    (folder / "m.xml").write_text(
        '<SpimData version="0.2"><SequenceDescription><ImageLoader format="bdv.hdf5"><hdf5>m.h5</hdf5></ImageLoader>'
        f"<ViewSetups>{listed}</ViewSetups>{timepoints}<MissingViews>{views}</MissingViews>"
        "</SequenceDescription></SpimData>"
    )


def span(first: int, last: int) -> str:
    return f'<Timepoints type="range"><first>{first}</first><last>{last}</last></Timepoints>'


def pattern(numbers: str) -> str:
    return f'<Timepoints type="pattern"><integerpattern>{numbers}</integerpattern></Timepoints>'


def converted(path: Path, **params: object) -> tuple[np.ndarray, DatasetSource]:
    """Convert a movie; return the first column of each timepoint, and what the dataset was made from."""
    folder = path.parent / "dataset"
    convert(path, folder, ConversionParams.model_validate(params), NoReporter(), NeverCancelled())
    source = DatasetSource.read(folder)
    assert source is not None
    return images_of(folder)[:, 0, 0, 0], source


def test_the_first_source_is_read_also_where_it_starts_later(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = movie(tmp_path, {(0, 1): 10, (1, 1): 11, (2, 1): 12, (1, 0): 1, (2, 0): 2})
    with pytest.raises(DatasetError, match=r"none at timepoint 0 \(t00000.*another source with `setup`: 1$"):
        BigDataViewerReader.open(path)
    xml(tmp_path, span(0, 2), {(0, 0): 0}, (0, 1))
    values, source = converted(path)
    assert values.tolist() == [0, 1, 2]
    assert (source.setup, source.setup_name, source.n_setups, source.blank_timepoints) == (0, "A", 2, (0,))
    assert "m.h5 has 2 sources, and source 0 (A) is used: choose the other one with `setup` 1 (B)" in caplog.text
    assert "timepoint 0 of the dataset is blank: source 0 (A) of m.h5 has no image there" in caplog.text


def test_the_first_source_is_that_of_the_xml(tmp_path: Path) -> None:
    path = movie(tmp_path, {(0, 0): 1, (0, 2): 3})
    xml(tmp_path, span(0, 0), setups=(2,))
    values, source = converted(path)
    assert (values.tolist(), source.setup, source.setup_name, source.n_setups) == ([3], 2, "C", 1)


def test_a_source_is_chosen_by_its_number(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = movie(tmp_path, {(0, 0): 1, (0, 3): 4, (1, 0): 2, (1, 3): 5})
    with caplog.at_level(logging.INFO):
        values, source = converted(path, setup=3)
    assert (values.tolist(), source.setup, source.setup_name, source.n_setups) == ([4, 5], 3, None, 2)
    taken = next(record for record in caplog.records if "2 sources" in record.getMessage())
    assert (taken.levelname, "source 3 is used" in taken.getMessage()) == ("INFO", True)


def test_a_source_that_is_not_there(tmp_path: Path) -> None:
    path = movie(tmp_path, {(0, 0): 1, (0, 3): 4})
    with pytest.raises(InvalidInputError, match=r"expected `setup` to be a source of m\.h5, got 1: it has 0, 3"):
        BigDataViewerReader.open(path, 1)


def test_sources_without_a_description_are_looked_for_at_all_timepoints(tmp_path: Path) -> None:
    path = movie(tmp_path, {(0, 1): 10, (1, 1): 11, (1, 0): 1}, describes=False)
    with pytest.raises(DatasetError, match=r"source 0 at each of the 2 timepoints of m\.h5.*none at timepoint 0"):
        BigDataViewerReader.open(path)
    assert BigDataViewerReader.open(path, 1).n_timepoints == 2


def test_a_source_without_any_image(tmp_path: Path) -> None:
    path = movie(tmp_path, {(0, 1): 10, (1, 1): 11})
    with h5py.File(path, "r+") as file:
        describe(file, "s00")
    for fill_gaps in (False, True):
        with pytest.raises(DatasetError, match=r"source 0 of m\.h5 has no image at any timepoint.*`setup`: 1"):
            BigDataViewerReader.open(path, fill_gaps=fill_gaps)


@pytest.mark.parametrize(
    ("there", "timepoints", "missing", "expected"),
    [
        ((0, 2), span(0, 2), (1,), [1, 0, 3]),
        ((1, 2), span(0, 2), (0,), [0, 2, 3]),
        ((0, 1), span(0, 2), (2,), [1, 2, 0]),
        ((0, 1, 2), span(0, 2), (1,), [1, 0, 3]),  # BigDataViewer shows what is listed as missing as black
        ((0, 2, 4), pattern("0-4:2"), (), [1, 3, 5]),
        ((0, 2, 5), pattern("0,2,5"), (), [1, 3, 6]),
        ((5, 6), span(5, 6), (), [6, 7]),
    ],
)
def test_timepoints_are_those_of_the_xml(
    tmp_path: Path, there: tuple[int, ...], timepoints: str, missing: tuple[int, ...], expected: list[int]
) -> None:
    path = movie(tmp_path, {(t, 0): t + 1 for t in there})
    xml(tmp_path, timepoints, {(t, 0): 0 for t in missing})
    values, source = converted(path)
    assert values.tolist() == expected
    assert source.blank_timepoints == tuple(t for t, value in enumerate(expected) if value == 0)


def test_timepoints_that_the_xml_does_not_list_are_skipped(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = movie(tmp_path, {(t, 0): t + 1 for t in range(5)})
    xml(tmp_path, pattern("0-4:2"))
    assert converted(path)[0].tolist() == [1, 3, 5]
    assert "timepoints 1, 3 of m.h5 skipped: m.xml does not list them" in caplog.text


def test_views_that_are_absent_and_not_listed_as_missing_are_refused(tmp_path: Path) -> None:
    path = movie(tmp_path, {(0, 0): 1, (1, 1): 2, (4, 0): 5})
    xml(tmp_path, span(0, 4), {(2, 0): 0, (1, 1): 0})
    words = r"source 0 \(A\) at each of the 5 timepoints of m\.h5, .*at timepoints 1, 3 .*in m\.xml"
    with pytest.raises(DatasetError, match=words):
        BigDataViewerReader.open(path)
    values, source = converted(path, fill_gaps=True)
    assert values.tolist() == [1, 0, 0, 0, 5]
    assert source.blank_timepoints == (1, 2, 3)


def test_gaps_are_filled_where_somebody_asks_for_it(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = movie(tmp_path, {(3, 0): 1, (5, 0): 2, (9, 0): 3})
    with pytest.raises(
        DatasetError, match=r"at timepoints 4, 6-8 \(t00004/s00/0/cells and so on\).*\(fill_gaps in dataset/generate\)"
    ):
        BigDataViewerReader.open(path)
    values, source = converted(path, fill_gaps=True)
    assert values.tolist() == [1, 0, 2, 0, 0, 0, 3]
    assert source.blank_timepoints == (1, 3, 4, 5)
    assert "m.h5 begins at timepoint 3 and has no .xml beside it: this becomes timepoint 0 of" in caplog.text
    assert "timepoints 1, 3-5 of the dataset are blank" in caplog.text


def test_a_far_timepoint_is_not_counted_to(tmp_path: Path) -> None:
    path = movie(tmp_path, {(0, 0): 1, (30_000_000, 0): 2})
    for fill_gaps in (False, True):
        with pytest.raises(
            DatasetError, match=r"at most 100000 timepoints.*from 0 to 30000000, and 29999999 are missing"
        ):
            BigDataViewerReader.open(path, fill_gaps=fill_gaps)
    xml(tmp_path, pattern("0,30000000"))
    assert converted(path)[0].tolist() == [1, 2]


def test_a_blank_timepoint_takes_no_room_and_no_part_in_the_values(tmp_path: Path) -> None:
    path = movie(tmp_path, {(0, 0): 400, (2, 0): 500})
    converted(path, fill_gaps=True)
    stored = [p.relative_to(tmp_path / "dataset/imgs.zarr") for p in (tmp_path / "dataset/imgs.zarr").rglob("*")]
    assert not [p for p in stored if p.parts[:2] == ("c", "1")]
    with BigDataViewerReader.open(path, fill_gaps=True).timepoint(1) as timepoint:
        np.testing.assert_array_equal(timepoint[(slice(0, 1), slice(2, 5), slice(1, 4))], np.zeros((1, 3, 3)))


def test_a_blank_timepoint_of_a_movie_of_floats_stays_0(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "m.h5", "w") as file:
        describe(file)
        for t, value in ((0, 0.5), (2, 0.75)):
            write_cells(file, f"t{t:05d}/s00/0/cells", np.linspace(value, 1, 40, dtype=np.float32).reshape(SHAPE))
    values, source = converted(tmp_path / "m.h5", fill_gaps=True)
    assert source.offset == 0.5
    assert values.tolist() == [0, 0, pytest.approx(65535 / 2, abs=1)]


def test_an_xml_is_a_movie_too(tmp_path: Path) -> None:
    path = movie(tmp_path, {(0, 0): 1, (2, 0): 2})
    xml(tmp_path, pattern("0-2:2"))
    (tmp_path / "m.xml").rename(tmp_path / "other.xml")
    xml(tmp_path, pattern("0"))
    assert converted(path.with_name("other.xml"))[0].tolist() == [1, 2]
    assert converted(path)[0].tolist() == [1]
    (tmp_path / "m.xml").write_text(
        '<SpimData><SequenceDescription><ImageLoader format="bdv.n5"><n5>m.n5</n5></ImageLoader>'
        "</SequenceDescription></SpimData>"
    )
    with pytest.raises(DatasetError, match=r"the images of m\.xml to be HDF5, got the format bdv\.n5"):
        BigDataViewerReader.open(tmp_path / "m.xml")


def test_an_xml_of_another_size_is_doubted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = movie(tmp_path, {(0, 0): 1})
    xml(tmp_path, span(0, 0))
    text = (tmp_path / "m.xml").read_text().replace("<name>A", "<size>4 5 3</size><name>A")
    (tmp_path / "m.xml").write_text(text)
    BigDataViewerReader.open(path)
    assert "has 3 x 5 x 4 voxels (Z, Y, X), but its images have 2 x 5 x 4" in caplog.text


def test_looking_through_many_timepoints_can_be_aborted(tmp_path: Path) -> None:
    class Impatient:
        asked = 0

        def check(self) -> None:
            self.asked += 1
            if self.asked == 2:
                raise Cancelled

    path = movie(tmp_path, {(t, 0): 1 for t in range(5)})
    with pytest.raises(Cancelled):
        BigDataViewerReader.open(path, cancel=Impatient())


def test_a_movie_of_several_sources_is_found(tmp_path: Path) -> None:
    assert find_movie(movie(tmp_path, {(0, 1): 10, (1, 0): 1}).parent) == tmp_path / "m.h5"
