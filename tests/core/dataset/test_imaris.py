"""Imaris movies, written as the public description of the format has them, and what is no movie of Imaris."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray

from core.dataset.bdv import ramp, write_movie
from core.dataset.helpers import CancelAfter, images_of, make
from elephant.config import ConversionParams
from elephant.dataset import DatasetSource, add, check_dataset, find_movie
from elephant.dataset.readers import reader_of_movie
from elephant.dataset.readers.imaris import ImarisReader
from elephant.errors import Cancelled, DatasetError, InvalidInputError, NotFoundError
from elephant.progress import NeverCancelled
from elephant.types import VoxelSize

CHANNELS = ("GFP", "Histone µ")
FIRST = "DataSet/ResolutionLevel 0/TimePoint 0/Channel 0"


def characters(text: object) -> NDArray[np.bytes_]:
    """Return a text as Imaris stores it."""
    return np.frombuffer(str(text).encode(), "S1")


def describe(group: h5py.Group, **texts: object) -> None:
    """Write attributes."""
    for name, text in texts.items():
        group.attrs[name] = characters(text)


def write_ims(path: Path, levels: list[NDArray[Any]], chunks: tuple[int, int, int] = (4, 8, 16)) -> Path:
    """Write a movie, of which each level is T, C, Z, Y, X, filled up to whole blocks."""
    n_timepoints, n_channels, *shape = levels[0].shape
    with h5py.File(path, "w") as file:
        describe(file, ImarisVersion="5.5.0", ImarisDataSet="ImarisDataSet")
        image = file.create_group("DataSetInfo/Image")
        describe(image, **dict(zip("ZYX", shape, strict=True)), Unit="um", Name="m")
        for i, edge in enumerate((0.5, 0.25, 2.0)):
            describe(image, **{f"ExtMin{i}": 10, f"ExtMax{i}": 10 + edge * shape[2 - i]})
        for c in range(n_channels):
            describe(file.create_group(f"DataSetInfo/Channel {c}"), Name=CHANNELS[c], Color="0 1 0")
        times = file.create_group("DataSetInfo/TimeInfo")
        stamps = {f"TimePoint{t + 1}": f"2020-02-28 23:59:{30 + 15 * t}.500" for t in range(n_timepoints)}
        describe(times, FileTimePoints=n_timepoints, **stamps)
        for level, values in enumerate(levels):
            for t, c in np.ndindex(n_timepoints, n_channels):
                group = file.create_group(f"DataSet/ResolutionLevel {level}/TimePoint {t}/Channel {c}")
                describe(group, **{f"ImageSize{axis}": n for axis, n in zip("ZYX", values.shape[2:], strict=True)})
                filled = [(0, -size % step) for size, step in zip(values.shape[2:], chunks, strict=True)]
                data = np.pad(values[t, c], filled)
                group.create_dataset("Data", data=data, chunks=chunks, compression="gzip")
    return path


def movie_of(dtype: str = "uint16", n_timepoints: int = 2) -> NDArray[Any]:
    """Return T, C, Z, Y, X."""
    values = ramp(2 * n_timepoints, largest=250).reshape(n_timepoints, 2, 5, 20, 17)
    return values.astype(dtype)


def read(movie: ImarisReader) -> NDArray[Any]:
    """Return T, Z, Y, X, read by pieces that no block begins with."""
    out = np.zeros((movie.n_timepoints, *movie.shape), movie.dtype)
    middle = movie.shape[2] // 2 + 1
    for t in range(movie.n_timepoints):
        with movie.timepoint(t) as voxels:
            for part in (slice(0, middle), slice(middle, movie.shape[2])):
                region = (slice(0, movie.shape[0]), slice(0, movie.shape[1]), part)
                out[(t, *region)] = voxels[region]
    return out


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32", "float32", ">u2", ">f4"])
def test_each_channel_is_a_source_without_what_fills_it_up(tmp_path: Path, dtype: str) -> None:
    values = movie_of(dtype)
    path = write_ims(tmp_path / "m.ims", [values])
    assert reader_of_movie(path).plugin.name == "imaris"
    for channel in range(2):
        movie = ImarisReader.open(path, channel)
        np.testing.assert_array_equal(read(movie), values[:, channel])
        assert (movie.setup.id, movie.setup.name, movie.setup.unit) == (channel, CHANNELS[channel], "um")
        assert movie.setup.voxel_size == VoxelSize(2, 0.25, 0.5)
        assert (movie.interval, movie.others[0].name) == (15, CHANNELS[1 - channel])


def test_a_dataset_of_a_channel_and_a_level(tmp_path: Path) -> None:
    values = movie_of()
    small = np.ascontiguousarray(values[:, :, :, ::2, ::2])
    path = write_ims(tmp_path / "m.ims", [values, small])
    make(path, tmp_path / "dataset", channel="histone µ", level=1)
    np.testing.assert_array_equal(images_of(tmp_path / "dataset"), small[:, 1])
    source = DatasetSource.read(tmp_path / "dataset")
    assert source is not None
    assert source.voxel_size is not None
    assert (source.reader, source.setup, source.level, source.unit) == ("imaris", 1, 1, "um")
    np.testing.assert_allclose(source.voxel_size.zyx, (2, 0.5, 0.5 * 17 / 9))
    add(path, tmp_path / "other", ConversionParams(setup=1, level=1), NeverCancelled())
    np.testing.assert_array_equal(images_of(tmp_path / "other"), small[:, 1])


def test_a_movie_in_the_folder_of_a_dataset_is_found(tmp_path: Path) -> None:
    folder = tmp_path / "m"
    folder.mkdir()
    path = write_ims(folder / "a.ims", [movie_of()])
    assert find_movie(folder) == path
    make(path, folder)
    assert check_dataset(folder) == "ready"
    write_ims(folder / "a.ims", [movie_of()[:, ::-1]])
    assert "has changed since" in check_dataset(folder)


def test_a_timepoint_that_is_missing(tmp_path: Path) -> None:
    values = movie_of(n_timepoints=3)
    path = write_ims(tmp_path / "m.ims", [values])
    with h5py.File(path, "a") as file:
        del file["DataSet/ResolutionLevel 0/TimePoint 1/Channel 1"]
    np.testing.assert_array_equal(read(ImarisReader.open(path, 0)), values[:, 0])
    with pytest.raises(DatasetError, match=r"source 1 \(Histone µ\) at each of the 3 .* none at timepoint 1: save"):
        ImarisReader.open(path, 1)
    movie = ImarisReader.open(path, 1, fill_gaps=True)
    values[1] = 0
    assert movie.blank_timepoints == (1,)
    np.testing.assert_array_equal(read(movie), values[:, 1])
    with pytest.raises(Cancelled):
        ImarisReader.open(path, cancel=CancelAfter(1))


def without(name: str) -> Callable[[h5py.File], None]:
    def damage(file: h5py.File) -> None:
        del file[name]

    return damage


def saying(name: str, **texts: object) -> Callable[[h5py.File], None]:
    return lambda file: describe(file[name], **texts)


def holding(replaced: Any, **how: Any) -> Callable[[h5py.File], None]:
    """Replace the first image."""

    def damage(file: h5py.File) -> None:
        del file[f"{FIRST}/Data"]
        if isinstance(replaced, np.ndarray):
            file[FIRST].create_dataset("Data", data=replaced, **how)
        elif isinstance(replaced, tuple):
            file[FIRST].create_dataset("Data", replaced, "u2", **how)
        elif isinstance(replaced, h5py.VirtualLayout):
            file[FIRST].create_virtual_dataset("Data", replaced)
        else:
            file[f"{FIRST}/Data"] = replaced

    return damage


def elsewhere(file: h5py.File) -> None:
    """Have the first image in a file of another folder."""
    folder = Path(file.filename).parent
    place = folder.with_name(f"{folder.name}-elsewhere")
    place.mkdir()
    with h5py.File(place / "secret.h5", "w") as other:
        other["Data"] = np.zeros((8, 24, 32), "u2")
    holding(h5py.ExternalLink(str(place / "secret.h5"), "Data"))(file)


def raw_elsewhere(file: h5py.File) -> None:
    """Have the values of the first image in a file of another folder."""
    holding((8, 24, 32), external=[("/etc/hostname", 0, 8 * 24 * 32 * 2)])(file)


def many_timepoints(file: h5py.File) -> None:
    """Have a timepoint with a number of ten digits."""
    file.move("DataSet/ResolutionLevel 0/TimePoint 1", "DataSet/ResolutionLevel 0/TimePoint 4000000000")


def rows(file: h5py.File) -> h5py.VirtualLayout:
    layout = h5py.VirtualLayout((8, 24, 32), "u2")
    layout[:] = h5py.VirtualSource(file.filename, f"{FIRST}/Data", (8, 24, 32))
    return layout


REFUSED: dict[str, tuple[Callable[[h5py.File], None], str]] = {
    "no images": (without("DataSet/ResolutionLevel 0"), r"got an Imaris file .* without it"),
    "no group of images": (without("DataSet"), r"with DataSet/ResolutionLevel 0/TimePoint 0, got"),
    "no channels": (
        lambda file: [without(f"DataSet/ResolutionLevel 0/TimePoint 0/Channel {c}")(file) for c in range(2)],
        r"expected m\.ims to have channels, got none at timepoint 0",
    ),
    "a channel without an image": (without(f"{FIRST}/Data"), r"none at timepoint 0: save the movie"),
    "two sizes": (saying("DataSetInfo/Image", X=16), r"two sizes of its images, 5 x 20 x 16 .* and 5 x 20 x 17"),
    "no size": (
        lambda file: [
            saying(name, **{f"{p}X": "wide"})(file) for name, p in (("DataSetInfo/Image", ""), (FIRST, "ImageSize"))
        ],
        r"how large its images are, in the attributes X, Y and Z",
    ),
    "a size beyond what is stored": (
        lambda file: [
            saying(name, **{f"{p}X": 10**15})(file) for name, p in (("DataSetInfo/Image", ""), (FIRST, "ImageSize"))
        ],
        r"images of 5 x 20 x 1000000000000000 voxels .* but 8 x 24 x 32 are stored",
    ),
    "a plane": (holding(np.zeros((24, 32), "u2")), r"5 x 20 x 17 voxels .* but 24 x 32 are stored"),
    "words": (holding(np.zeros((8, 24, 32), "S3")), r"to be uint8, uint16, uint32, float32, got"),
    "numbers of 64 bits": (holding(np.zeros((8, 24, 32), "i8")), r"got int64"),
    "timepoints that differ": (
        holding(np.zeros((9, 24, 32), "u2")),
        r"to be alike, but .* 9 x 24 x 32 uint16 and .* is 8 x",
    ),
    "a timepoint of ten digits": (many_timepoints, r"at most 100000 timepoints, got one with the number 4000000000"),
    "an image in another folder": (elsewhere, r"in a file outside of its folder"),
    "values in another folder": (raw_elsewhere, r"in a file outside of its folder"),
    "a virtual image": (lambda file: holding(rows(file))(file), r"in a file outside of its folder"),
    "a link in a circle": (holding(h5py.SoftLink(f"/{FIRST}/Data")), r"the link's target is missing or damaged"),
    "blocks of a terabyte": (
        holding((8, 2**20, 2**20), chunks=(8, 2**15, 2**15), compression="gzip"),
        r"blocks of at most 1 GiB",
    ),
}


@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED)
def test_what_is_damaged_is_refused_with_the_reason(
    tmp_path: Path, case: tuple[Callable[[h5py.File], object], str]
) -> None:
    damage, words = case
    path = write_ims(tmp_path / "m.ims", [movie_of()])
    with h5py.File(path, "a") as file:
        damage(file)
    with pytest.raises(DatasetError, match=words):
        make(path, tmp_path / "dataset", setup=0)


def test_a_movie_that_is_larger_than_memory_is_refused_unless_a_level_fits(tmp_path: Path) -> None:
    values = movie_of()
    path = write_ims(tmp_path / "m.ims", [values, values[:, :, :, ::2]])
    huge = (8, 2**20, 2**20)
    with h5py.File(path, "a") as file:
        for t, c in np.ndindex(2, 2):
            group = file[f"DataSet/ResolutionLevel 0/TimePoint {t}/Channel {c}"]
            del group["Data"]
            group.create_dataset("Data", huge, "u2", chunks=(8, 64, 64))
            describe(group, ImageSizeZ=8, ImageSizeY=2**20, ImageSizeX=2**20)
        describe(file["DataSetInfo/Image"], Z=8, Y=2**20, X=2**20)
    with pytest.raises(DatasetError, match=r"has 8 x 1048576 x 1048576 voxels .* would need"):
        make(path, tmp_path / "dataset")
    make(path, tmp_path / "dataset", level=1)
    np.testing.assert_array_equal(images_of(tmp_path / "dataset"), values[:, 0, :, ::2])


def test_other_files_are_no_movie(tmp_path: Path) -> None:
    path = tmp_path / "m.ims"
    with pytest.raises(NotFoundError):
        ImarisReader.open(path)
    for content, words in ((b"II*\0" + bytes(50), "got a TIFF"), (b"", "got an empty file")):
        path.write_bytes(content)
        with pytest.raises(DatasetError, match=rf"an Imaris file \(version 5\.5 or later\), {words}: save the movie"):
            ImarisReader.open(path)
    write_movie(path, ramp(1))
    with pytest.raises(DatasetError, match=r"got an HDF5 file of another kind, which holds .* without it"):
        ImarisReader.open(path)
    write_ims(path, [movie_of()])
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(DatasetError, match=r"an Imaris file .* it is truncated"):
        ImarisReader.open(path)
    with pytest.raises(InvalidInputError, match=r"it has 0 \(GFP\), 1 \(Histone µ\)"):
        ImarisReader.open(write_ims(path, [movie_of()]), 2)


def test_a_damaged_block_is_named(tmp_path: Path) -> None:
    path = write_ims(tmp_path / "m.ims", [movie_of()])
    with h5py.File(path) as file:
        block = file["DataSet/ResolutionLevel 0/TimePoint 1/Channel 0/Data"].id.get_chunk_info(0)
    content = bytearray(path.read_bytes())
    content[block.byte_offset : block.byte_offset + 9] = bytes(9)
    path.write_bytes(content)
    with pytest.raises(DatasetError, match=r"timepoint 1 is damaged within Z, Y, X = 0-4, 0-19, 0-8"):
        read(ImarisReader.open(path))
