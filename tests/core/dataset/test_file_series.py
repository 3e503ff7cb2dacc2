"""Movies with a file for each timepoint, and which file or files of a folder are its movie."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray

import elephant
from core.dataset.bdv import ramp, write_movie
from core.dataset.helpers import make
from core.dataset.test_tiff import several_files
from elephant.dataset import Dataset, DatasetSource, check_dataset, find_movie
from elephant.dataset.readers import reader_of_movie
from elephant.dataset.readers.file_patterns import members_of_pattern
from elephant.dataset.readers.file_series import FileSeriesReader
from elephant.errors import DatasetError, InvalidInputError, NotFoundError
from elephant.types import VoxelSize

GREY = {"photometric": "minisblack"}
MOVIE = np.random.default_rng(0).integers(0, 200, (4, 2, 3, 20, 30), np.uint16)  # T, C, Z, Y, X


def save(folder: Path, name: str, image: NDArray[Any], **more: Any) -> Path:
    folder.mkdir(exist_ok=True)
    if name.endswith(".npy"):
        np.save(folder / name, image)
    else:
        tifffile.imwrite(folder / name, image, **GREY, **({"metadata": None} | more))
    return folder


def read(path: Path, setup: int | None = None, **more: Any) -> NDArray[Any]:
    """Return T, Z, Y, X, in two pieces."""
    movie = FileSeriesReader.open(path, setup, **more)
    out = np.zeros((movie.n_timepoints, *movie.shape), movie.dtype)
    for t in range(movie.n_timepoints):
        if t in movie.blank_timepoints:
            continue
        with movie.timepoint(t) as voxels:
            for part in (slice(0, 13), slice(13, movie.shape[2])):
                region = (slice(0, movie.shape[0]), slice(0, movie.shape[1]), part)
                out[(t, *region)] = voxels[region]
    return out


@pytest.mark.parametrize("suffix", [".tif", ".TIFF", ".npy"])
def test_a_volume_in_each_file(tmp_path: Path, suffix: str, caplog: pytest.LogCaptureFixture) -> None:
    folder = tmp_path / "movie"
    for t in range(4):
        save(folder, f"e1_t{t + 8}{suffix}", MOVIE[t, 0])
    (folder / ".DS_Store").touch()
    (folder / "notes.txt").touch()
    with caplog.at_level(logging.INFO):
        np.testing.assert_array_equal(read(folder), MOVIE[:, 0])
    assert f"e1_t8{suffix} to e1_t11{suffix} are 4 timepoints of 3 x 20 x 30 voxels" in caplog.text
    for name in (f"e1_t{{t}}{suffix}", f"e1_t{{t:d}}{suffix}", f"*{suffix}", f"e1_t*{suffix}"):
        assert reader_of_movie(folder / name).plugin.name == "file-series"
        np.testing.assert_array_equal(read(folder / name), MOVIE[:, 0])


def test_channels_in_names(tmp_path: Path) -> None:
    folder = tmp_path / "movie"
    for t in range(4):
        for c, name in enumerate(("GFP", "RFP")):
            save(folder, f"t{t:03d}_{name}.tif", MOVIE[t, c])
    np.testing.assert_array_equal(read(folder / "t{t:03d}_{c}.tif", 1), MOVIE[:, 1])
    movie = FileSeriesReader.open(folder / "t{t}_{c}.tif")
    assert (movie.setup.name, [each.name for each in movie.others]) == ("GFP", ["RFP"])
    with pytest.raises(DatasetError, match=r"differ in numbers alone, got t000_GFP\.tif and t000_RFP\.tif"):
        FileSeriesReader.open(folder)
    make(folder / "t{t:03d}_{c}.tif", tmp_path / "m", channel="RFP")
    dataset = Dataset(tmp_path / "m")
    np.testing.assert_array_equal([dataset.read_image(t) for t in range(4)], MOVIE[:, 1])
    assert dataset.source is not None
    assert dataset.source.title == "t{t:03d}_{c}.tif, source 1 (RFP) of 2"


def test_planes_and_numbered_channels_in_names(tmp_path: Path) -> None:
    folder = tmp_path / "movie"
    for t, c, z in np.ndindex(4, 2, 3):
        save(folder, f"t{t}_c{c + 1:02d}_z{z + 1}.tif", MOVIE[t, c, z])
    for channel in (0, 1):
        np.testing.assert_array_equal(read(folder / "t{t}_c{c:02d}_z{z}.tif", channel), MOVIE[:, channel])
    words = r"got 3, as in t0_c01_z1\.tif and t3_c02_z3\.tif: .*such as 't\{t\}_c\{c\}_z\{z\}\.tif'"
    with pytest.raises(DatasetError, match=words):
        FileSeriesReader.open(folder)
    (folder / "t2_c01_z2.tif").unlink()
    with pytest.raises(DatasetError, match=r"but t = 2 of channel 1 is missing or lacks planes"):
        FileSeriesReader.open(folder / "t{t}_c{c}_z{z}.tif", 0)
    np.testing.assert_array_equal(read(folder / "t{t}_c{c}_z{z}.tif", 1), MOVIE[:, 1])


def test_channels_within_files(tmp_path: Path) -> None:
    folder = tmp_path / "movie"
    meta = {"axes": "ZCYX", "spacing": 2.0, "unit": "um"}
    for t in range(4):
        image = MOVIE[t].transpose(1, 0, 2, 3)
        save(folder, f"t{t}.tif", image, imagej=True, metadata=meta, resolution=(2.0, 2.0))
    np.testing.assert_array_equal(read(folder, 1), MOVIE[:, 1])
    assert FileSeriesReader.open(folder, 1).setup.voxel_size == VoxelSize(2.0, 0.5, 0.5)


def test_gaps_in_numbers_are_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = tmp_path / "movie"
    for t in (0, 1, 4):
        save(folder, f"{t}.tif", MOVIE[t % 4, 0])
    with pytest.raises(DatasetError, match=r"expected a file for each timepoint of movie, but t = 2-3 is missing"):
        FileSeriesReader.open(folder)
    make(folder, tmp_path / "m", fill_gaps=True)
    assert "timepoints 2-3 of the dataset are blank" in caplog.text
    assert Dataset(tmp_path / "m").n_timepoints == 5
    (folder / "1.tif").rename(folder / "2.tif")
    caplog.clear()
    np.testing.assert_array_equal(read(folder), MOVIE[[0, 1, 0], 0])  # every second number
    assert caplog.messages == [
        "the numbers of the timepoints of movie go up by 2: they count as consecutive timepoints"
    ]


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (MOVIE[0, 0, :2], r"alike, but t3\.tif has 2 x 20 x 30 voxels .* of uint16, and t0\.tif 3 x 20 x 30"),
        (MOVIE[0, 0].astype(np.uint8), r"alike, but t3\.tif has .* of uint8, and t0\.tif .* of uint16"),
    ],
)
def test_a_file_that_differs_is_named(tmp_path: Path, image: NDArray[Any], words: str) -> None:
    folder = tmp_path / "movie"
    for t in range(5):
        save(folder, f"t{t}.tif", image if t == 3 else MOVIE[0, 0])
    with pytest.raises(DatasetError, match=words):
        FileSeriesReader.open(folder)


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "movie"
    for t in range(3):
        save(folder, f"t{t}.tif", MOVIE[t, 0])
    (folder / "t1.tif").write_bytes((folder / "t1.tif").read_bytes()[:3000])
    with pytest.raises(DatasetError, match=r"expected t1\.tif to hold all of its pages, but it is truncated"):
        FileSeriesReader.open(folder)


_WRONG = {
    "t{x}.tif": "with a number of digits",
    "t{t}{time}.tif": r"got \{time\}",
    "t{t:09999999999d}.tif": "numbers of at most 18 digits",
}


def test_patterns_that_do_not_work_are_explained(tmp_path: Path) -> None:
    folder = save(save(tmp_path / "movie", "t1.tif", MOVIE[0, 0]), "t01.tif", MOVIE[0, 0])
    with pytest.raises(DatasetError, match=r"got t1\.tif and t01\.tif for the same"):
        FileSeriesReader.open(folder)
    for name, words in _WRONG.items():
        with pytest.raises(InvalidInputError, match=words):
            members_of_pattern(folder / f"{{t}}{name}")
    with pytest.raises(InvalidInputError, match="names of files alone"):
        members_of_pattern(tmp_path / "m{t}" / "{z}.tif")
    for missing in (folder / "x{t}.tif", tmp_path / "none" / "{t}.tif", folder / "x*.tif"):
        with pytest.raises(NotFoundError):
            FileSeriesReader.open(missing)
    (folder / "t01.tif").unlink()
    with pytest.raises(DatasetError, match=r"got t1\.tif alone: give that file"):
        FileSeriesReader.open(folder)


def test_files_that_hold_more_than_a_timepoint(tmp_path: Path) -> None:
    folder = tmp_path / "movie"
    for t in range(2):
        save(folder, f"t{t}.tif", MOVIE[t, 0], imagej=True, metadata={"axes": "TYX"})
    with pytest.raises(DatasetError, match=r"but t0\.tif has 3: if these are planes, give `axes` ZYX"):
        FileSeriesReader.open(folder)
    np.testing.assert_array_equal(read(folder, axes="ZYX"), MOVIE[:2, 0])


def test_the_files_in_the_folder_of_a_dataset(tmp_path: Path) -> None:
    folder = tmp_path / "embryo"
    for t in range(4):
        save(folder, f"t{t:02d}.tif", MOVIE[t, 0])
    movie = find_movie(folder)
    assert movie == folder / "t{t}.tif"
    make(movie, folder)
    dataset = Dataset(folder)
    np.testing.assert_array_equal([dataset.read_image(t) for t in range(4)], MOVIE[:, 0])
    assert check_dataset(folder) == "ready"
    save(folder, "mask000.tif", MOVIE[0, 0])
    assert (find_movie(folder), check_dataset(folder)) == (movie, "ready")
    save(folder, "t02.tif", MOVIE[3, 0])
    assert check_dataset(folder).startswith("the movie t{t}.tif has changed since")
    source = DatasetSource.read(folder)
    assert source is not None
    assert (source.movie, source.reader, source.folder) == ("t{t}.tif", "file-series", None)


def test_several_movies_in_the_folder_of_a_dataset(tmp_path: Path) -> None:
    folder = tmp_path / "embryo"
    save(save(folder, "left.tif", MOVIE[0, 0]), "right.npy", MOVIE[:, 0])
    with pytest.raises(DatasetError, match=r"one movie in the folder embryo, got 2, such as left\.tif and right\.npy"):
        find_movie(folder)
    save(folder, "embryo.ome.tif", MOVIE[:, 0], metadata={"axes": "TZYX"})
    assert find_movie(folder) == folder / "embryo.ome.tif"
    other = tmp_path / "other"
    other.mkdir()
    several_files(other, np.zeros((3, 4, 37, 45), np.uint16))
    assert find_movie(other) == other / "a.ome.tif"
    (other / "old").mkdir()
    save(other / "old", "1.tif", MOVIE[0, 0])
    assert find_movie(other) == other / "a.ome.tif"


def test_a_pattern_in_python(tmp_path: Path) -> None:
    for t in range(2):
        save(tmp_path / "movie", f"t{t}.npy", MOVIE[t, 0])
    dataset = elephant.open_dataset(str(tmp_path / "movie" / "t{t}.npy"), voxel_size=(2, 1, 1), quiet=True)
    np.testing.assert_array_equal(dataset.read_image(1), MOVIE[1, 0])


def test_files_are_read_in_place(tmp_path: Path) -> None:
    for t in range(3):
        save(tmp_path / "movie", f"t{t}.tif", MOVIE[t], metadata={"axes": "QQYX"})
    pattern = tmp_path / "movie" / "t{t}.tif"
    dataset = elephant.open_dataset(pattern, tmp_path / "m", axes="CZYX", setup=1, in_place=True, quiet=True)
    np.testing.assert_array_equal([dataset.read_image(t) for t in range(3)], MOVIE[:3, 1])
    assert check_dataset(tmp_path / "m") == "ready"
    (tmp_path / "movie" / "t1.tif").unlink()
    assert "t{t}.tif is gone, and the dataset m reads its images from there" in check_dataset(tmp_path / "m")


def test_files_that_were_there_before_are_no_new_movie(tmp_path: Path) -> None:
    folder = tmp_path / "embryo"
    for t in range(2):
        save(folder, f"t{t}.tif", MOVIE[t, 0])
    make(write_movie(folder / "m.h5", ramp()), folder)
    (folder / "m.h5").unlink()
    assert check_dataset(folder) == "ready"
    save(folder, "t2.tif", MOVIE[2, 0])
    assert "m.h5, which is missing, and its folder holds the movie t{t}.tif" in check_dataset(folder)
