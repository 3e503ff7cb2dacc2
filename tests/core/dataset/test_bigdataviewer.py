from pathlib import Path

import h5py
import numpy as np
import pytest

from core.dataset.bdv import describe, ramp, write_cells, write_movie, write_partitioned
from elephant.dataset import find_movie
from elephant.dataset.readers.bigdataviewer import BigDataViewerReader
from elephant.errors import DatasetError, NotFoundError


def read_all(movie: BigDataViewerReader) -> np.ndarray:
    out = np.empty((movie.n_timepoints, *movie.shape), movie.dtype)
    for t in range(movie.n_timepoints):
        with movie.timepoint(t) as timepoint:
            for piece in movie.pieces(tuple(slice(0, s) for s in movie.shape)):
                out[(t, *piece)] = timepoint[piece]
    return out


def test_signed_storage_holds_unsigned_values(tmp_path: Path) -> None:
    values = ramp(largest=65535)
    values[0, 0, 0, :4] = [32767, 32768, 40000, 65535]
    movie = BigDataViewerReader.open(write_movie(tmp_path / "m.h5", values))
    assert (movie.n_timepoints, movie.shape, movie.dtype) == (3, (5, 20, 17), "uint16")
    np.testing.assert_array_equal(read_all(movie), values)


@pytest.mark.parametrize("dtype", ["uint8", ">u2", "<f4", "f8"])
def test_other_types_are_read_unchanged(tmp_path: Path, dtype: str) -> None:
    values = ramp().astype(dtype)
    with h5py.File(tmp_path / "m.h5", "w") as file:
        for t, volume in enumerate(values):
            write_cells(file, f"t{t:05d}/s00/0/cells", volume)
    movie = BigDataViewerReader.open(tmp_path / "m.h5")
    assert movie.dtype == np.dtype(dtype).name
    np.testing.assert_array_equal(read_all(movie), values)


def test_signed_big_endian_storage_is_reinterpreted_too(tmp_path: Path) -> None:
    values = ramp(largest=65535)
    with h5py.File(tmp_path / "m.h5", "w") as file:
        for t, volume in enumerate(values.view(np.int16)):
            file.create_dataset(f"t{t:05d}/s00/0/cells", data=volume, dtype=">i2")
    np.testing.assert_array_equal(read_all(BigDataViewerReader.open(tmp_path / "m.h5")), values)


def test_unchunked_movies_are_read(tmp_path: Path) -> None:
    values = ramp()
    np.testing.assert_array_equal(
        read_all(BigDataViewerReader.open(write_movie(tmp_path / "m.h5", values, chunks=None))), values
    )


@pytest.mark.parametrize("padding", [b"\0" * 4096, b"leftovers of the chunk before" * 999])
def test_bytes_after_the_end_of_the_file_do_not_matter(tmp_path: Path, padding: bytes) -> None:
    values = ramp()
    path = write_movie(tmp_path / "m.h5", values)
    path.write_bytes(path.read_bytes() + padding)
    np.testing.assert_array_equal(read_all(BigDataViewerReader.open(path)), values)


def test_partitions_are_followed(tmp_path: Path) -> None:
    values = ramp()
    movie = BigDataViewerReader.open(write_partitioned(tmp_path, "m", values))
    np.testing.assert_array_equal(read_all(movie), values)


def test_a_missing_partition_is_named(tmp_path: Path) -> None:
    master = write_partitioned(tmp_path, "m", ramp())
    (tmp_path / "m-01-00.h5").unlink()
    with pytest.raises(DatasetError, match=r"t00001/s00/0/cells.*missing.*partitions"):
        BigDataViewerReader.open(master)


def test_names_may_have_more_than_five_digits_and_start_anywhere(tmp_path: Path) -> None:
    values = ramp(4)
    with h5py.File(tmp_path / "m.h5", "w") as file:
        for t, volume in zip((99998, 99999, 100000, 100001), values, strict=True):
            write_cells(file, f"t{t:05d}/s00/0/cells", volume)
    np.testing.assert_array_equal(read_all(BigDataViewerReader.open(tmp_path / "m.h5")), values)


def test_the_first_setup_and_the_full_resolution_are_used(tmp_path: Path) -> None:
    values = ramp()
    with h5py.File(tmp_path / "m.h5", "w") as file:
        for t, volume in enumerate(values):
            write_cells(file, f"t{t:05d}/s02/0/cells", volume)
            write_cells(file, f"t{t:05d}/s02/1/cells", volume[:, ::2, ::2])
            write_cells(file, f"t{t:05d}/s10/0/cells", volume[:2])
    np.testing.assert_array_equal(read_all(BigDataViewerReader.open(tmp_path / "m.h5")), values)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="upload"):
        BigDataViewerReader.open(tmp_path / "m.h5")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "an empty file"),
        (b"\0" * 10000, "a file that begins with zeros"),
        (b"<SpimData/>" * 100, "an XML file of BigDataViewer"),
        (b"II*\0" + bytes(range(256)), "a TIFF"),
        (b"not an image\n" * 999, "a text file"),
        (bytes(range(1, 256)), "a file of an unknown format"),
    ],
)
def test_a_file_that_is_not_hdf5(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "m.h5").write_bytes(content)
    with pytest.raises(DatasetError, match=rf"expected m\.h5 to be an HDF5 file of BigDataViewer, got {words}.*export"):
        BigDataViewerReader.open(tmp_path / "m.h5")


def test_a_truncated_file(tmp_path: Path) -> None:
    path = write_movie(tmp_path / "m.h5", ramp(shape=(5, 64, 64)))
    path.write_bytes(path.read_bytes()[:-20000])
    with pytest.raises(DatasetError, match="upload"):
        BigDataViewerReader.open(path)


def test_an_hdf5_file_of_something_else(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "m.h5", "w") as file:
        file["volume"] = np.zeros((2, 2, 2))
    with pytest.raises(DatasetError, match=r"t00000, t00001.*which holds volume"):
        BigDataViewerReader.open(tmp_path / "m.h5")


def test_missing_timepoints_in_the_middle(tmp_path: Path) -> None:
    path = write_movie(tmp_path / "m.h5", ramp(6))
    with h5py.File(path, "r+") as file:
        del file["t00002"], file["t00004"]
    with pytest.raises(DatasetError, match=r"source 0 at each of the 6 timepoints of m\.h5.* at timepoints 2, 4 \("):
        BigDataViewerReader.open(path)


def test_a_timepoint_without_an_image(tmp_path: Path) -> None:
    path = write_movie(tmp_path / "m.h5", ramp())
    with h5py.File(path, "r+") as file:
        del file["t00001/s00/0/cells"]
    with pytest.raises(DatasetError, match=r"source 0 at each of the 3 .* none at timepoint 1 \(t00001/s00/0/cells\)"):
        BigDataViewerReader.open(path)


@pytest.mark.parametrize("other", [np.zeros((5, 20, 16), np.int16), np.zeros((5, 20, 17), np.uint8)])
def test_timepoints_that_differ(tmp_path: Path, other: np.ndarray) -> None:
    path = write_movie(tmp_path / "m.h5", ramp())
    with h5py.File(path, "r+") as file:
        del file["t00002"]
        write_cells(file, "t00002/s00/0/cells", other)
    with pytest.raises(DatasetError, match=r"to be alike, but .*t00000.*int16.*t00002.*one size and type"):
        BigDataViewerReader.open(path)


@pytest.mark.parametrize(
    "volume", [np.zeros((4, 4), np.int16), np.zeros((2, 3, 3), np.int64), np.zeros((0, 3, 3), np.int16)]
)
def test_images_of_another_kind(tmp_path: Path, volume: np.ndarray) -> None:
    with h5py.File(tmp_path / "m.h5", "w") as file:
        describe(file)
        write_cells(file, "t00000/s00/0/cells", volume)
    with pytest.raises(DatasetError, match="expected images of"):
        BigDataViewerReader.open(tmp_path / "m.h5")


def test_a_damaged_block_is_named(tmp_path: Path) -> None:
    path = write_movie(tmp_path / "m.h5", ramp())
    damage(path, "t00001/s00/0/cells")
    movie = BigDataViewerReader.open(path)
    with pytest.raises(DatasetError, match=r"timepoint 1 is damaged within Z, Y, X = 0-4, 0-19, 0-16.*upload it again"):
        read_all(movie)


def damage(path: Path, name: str) -> None:
    """Overwrite the first block of an image."""
    with h5py.File(path) as file:
        block = file[name].id.get_chunk_info(0)
    with path.open("r+b") as raw:
        raw.seek(block.byte_offset)
        raw.write(b"\xff" * block.size)


def test_pieces_are_small_and_cover_a_region_once(tmp_path: Path) -> None:
    movie = BigDataViewerReader(
        path=tmp_path,
        file=tmp_path,
        cells=("a",),
        shape=(40, 700, 900),
        dtype="float32",
        n_timepoints=1,
        chunks=(4, 64, 64),
    )
    region = (slice(3, 33), slice(0, 650), slice(100, 900))
    seen = np.zeros(movie.shape, np.int8)
    for piece in movie.pieces(region):
        assert seen[piece].nbytes * 4 <= 8 * 2**20
        seen[piece] += 1
    assert (seen[region] == 1).all()
    assert seen.sum() == seen[region].size


def test_whatever_is_damaged_ends_in_a_clear_error_or_in_values(tmp_path: Path) -> None:
    path = write_movie(tmp_path / "m.h5", ramp(2, (3, 9, 9)))
    whole = path.read_bytes()
    rng = np.random.default_rng(5)
    refused = 0
    for _ in range(150):
        damaged = bytearray(whole)
        for place in rng.integers(0, len(whole), 4):
            damaged[place] = rng.integers(0, 256)
        path.write_bytes(damaged)
        try:
            find_movie(tmp_path)
            read_all(BigDataViewerReader.open(path))
        except DatasetError as error:
            assert "m.h5" in str(error) or "t0000" in str(error)  # noqa: PT017 - either outcome is right
            refused += 1
    assert refused > 0


def test_a_link_to_itself(tmp_path: Path) -> None:
    path = write_movie(tmp_path / "m.h5", ramp())
    with h5py.File(path, "r+") as file:
        del file["t00001"]
        file["t00001"] = h5py.SoftLink("/t00001")
    with pytest.raises(
        DatasetError, match=r"expected m\.h5 to hold t00001/s00/0/cells, but the link's target is missing"
    ):
        BigDataViewerReader.open(path)
