from pathlib import Path

import h5py
import pytest

from core.dataset.bdv import ramp, write_movie, write_partitioned
from elephant.dataset import check_upload
from elephant.errors import DatasetError

PADDING = 1000


@pytest.fixture(params=["earliest", "latest"])
def movie(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Give a movie whose superblock is of the oldest, or of a new version."""
    path = tmp_path / "movie.h5"
    with h5py.File(path, "w", libver=request.param) as file:
        file["t00000/s00/0/cells"] = ramp(1)[0].view("int16")
    return path


@pytest.mark.parametrize("padding", [0, 1, PADDING])
def test_a_whole_movie_arrives_padded_or_not(movie: Path, padding: int) -> None:
    content = movie.read_bytes() + b"x" * padding
    movie.write_bytes(content)
    check_upload(movie, movie.parent, PADDING)
    assert movie.read_bytes() == content


def test_a_movie_that_lacks_its_end_is_refused(movie: Path) -> None:
    movie.write_bytes(movie.read_bytes()[:-1])
    with pytest.raises(
        DatasetError,
        match=r"expected movie\.h5 to be .* of \d+ bytes, but it is truncated: it has \d+ bytes\. Copy or",
    ):
        check_upload(movie, movie.parent, PADDING)


def test_a_movie_of_which_a_piece_was_sent_twice_is_refused(movie: Path) -> None:
    movie.write_bytes(movie.read_bytes() + b"x" * (PADDING + 1))
    with pytest.raises(DatasetError, match="sent twice"):
        check_upload(movie, movie.parent, PADDING)


def test_a_file_that_is_not_hdf5_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.h5").write_bytes(b"a" * 5000)
    with pytest.raises(DatasetError, match=r"expected a\.h5 to be an HDF5 file of BigDataViewer, got a text file"):
        check_upload(tmp_path / "a.h5", tmp_path, PADDING)


def test_a_file_that_does_not_begin_with_its_table_of_contents_may_be_of_any_length(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w", userblock_size=512) as file:
        file["x"] = 1
    with (tmp_path / "a.h5").open("ab") as raw:
        raw.write(b"x" * 2 * PADDING)
    check_upload(tmp_path / "a.h5", tmp_path, PADDING)
    with h5py.File(tmp_path / "a.h5") as file:
        assert file["x"][()] == 1


def test_a_master_needs_its_partitions_where_it_is_going_to_be(tmp_path: Path) -> None:
    there, here = tmp_path / "there", tmp_path / "here"
    there.mkdir()
    here.mkdir()
    master = write_partitioned(there, "movie", ramp(3))
    moved = master.rename(here / master.name)
    check_upload(moved, there, PADDING)
    check_upload(there / "movie-01-00.h5", there, PADDING)
    (there / "movie-01-00.h5").unlink()
    with pytest.raises(DatasetError, match=r"split into 3 partitions, but movie-01-00\.h5 is missing"):
        check_upload(moved, there, PADDING)


def test_a_movie_of_one_file_needs_no_other(tmp_path: Path) -> None:
    alone = write_movie(tmp_path / "movie.h5", ramp())
    check_upload(alone, tmp_path / "elsewhere", PADDING)
    assert not (tmp_path / "elsewhere").exists()
