"""Movies of BigDataViewer in N5: every compression and type, and what is no movie."""

import json
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from core.dataset.bdv import ramp, write_movie
from core.dataset.helpers import CancelAfter, images_of, make
from core.dataset.n5 import ENCODERS, block, write_image, write_n5
from elephant.config import ConversionParams
from elephant.dataset import Dataset, DatasetSource, add, check_dataset, find_movie
from elephant.dataset.readers import reader_of_movie
from elephant.dataset.readers.n5 import N5Reader
from elephant.errors import Cancelled, DatasetError, ElephantError, InvalidInputError, NotFoundError
from elephant.progress import NeverCancelled
from elephant.types import VoxelSize

XML = """<SpimData version="0.2"><BasePath type="relative">.</BasePath><SequenceDescription>
<ImageLoader format="bdv.n5" version="1.0">{images}</ImageLoader><ViewSetups>{setups}</ViewSetups>
<Timepoints type="pattern"><integerpattern>{timepoints}</integerpattern></Timepoints>
</SequenceDescription></SpimData>"""
SETUP = """<ViewSetup><id>{id}</id><name>{name}</name><voxelSize><unit>um</unit><size>0.5 0.25 2.0</size></voxelSize>
<attributes><channel>{channel}</channel><tile>{tile}</tile></attributes></ViewSetup>"""


def write_xml(
    path: Path, images: str, setups: tuple[tuple[str, int, int], ...] = (("GFP", 0, 0),), timepoints: str = "0-2"
) -> Path:
    """Write an .xml of sources with a name, a channel and a tile."""
    views = (SETUP.format(id=i, name=name, channel=c, tile=tile) for i, (name, c, tile) in enumerate(setups))
    path.write_text(XML.format(images=images, setups="".join(views), timepoints=timepoints))
    return path


def read(movie: N5Reader) -> NDArray[Any]:
    """Return T, Z, Y, X, read by pieces that no block begins with."""
    out = np.zeros((movie.n_timepoints, *movie.shape), movie.dtype)
    middle = movie.shape[2] // 2 + 1
    for t in range(movie.n_timepoints):
        with movie.timepoint(t) as voxels:
            for part in (slice(0, middle), slice(middle, movie.shape[2])):
                region = (slice(0, movie.shape[0]), slice(0, movie.shape[1]), part)
                out[(t, *region)] = voxels[region]
    return out


@pytest.mark.parametrize("encoding", ENCODERS)
@pytest.mark.parametrize("is_padded", [False, True])
def test_every_compression(tmp_path: Path, encoding: str, is_padded: bool) -> None:
    values = ramp(2, largest=60_000)
    path = write_n5(tmp_path / "m.n5", values, encoding=encoding, is_padded=is_padded)
    np.testing.assert_array_equal(read(N5Reader.open(path)), values)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32", "float64", "int8", "int16", "int32", "uint32"])
def test_every_type(tmp_path: Path, dtype: str) -> None:
    values = ramp(1, largest=120).astype(dtype)
    if values.dtype.kind in "if":
        values -= 60
    movie = N5Reader.open(write_n5(tmp_path / "m.n5", values))
    np.testing.assert_array_equal(read(movie), values.astype(np.float64))
    assert movie.dtype == (dtype if dtype in ("uint8", "uint16", "float32", "float64") else movie.dtype)


def test_attributes_of_the_first_versions_and_blocks_with_a_number_of_values(tmp_path: Path) -> None:
    values = ramp(1, (2, 7, 5))
    path = write_n5(tmp_path / "m.n5", values, compression=None, compressionType="gzip")
    np.testing.assert_array_equal(read(N5Reader.open(path)), values)
    (path / "setup0/timepoint0/s0/0/0/0").write_bytes(block(values[0], mode=1))
    np.testing.assert_array_equal(read(N5Reader.open(path)), values)


def test_blocks_without_a_file_are_black(tmp_path: Path) -> None:
    values = ramp(1)
    values[0, :2, :7] = 0
    path = write_n5(tmp_path / "m.n5", values)
    assert not (path / "setup0/timepoint0/s0/0/0/0").exists()
    np.testing.assert_array_equal(read(N5Reader.open(path)), values)


def test_an_xml_beside_the_folder_counts(tmp_path: Path) -> None:
    values = ramp(3)
    path = write_n5(tmp_path / "m.n5", values, first=4)
    write_n5(path, values[:, :, ::-1], setup=1, first=4)
    xml = write_xml(tmp_path / "m.xml", "<n5 type='relative'>m.n5</n5>", (("a", 0, 0), ("b", 1, 0)), "4,6")
    for given in (path, xml):
        make(given, tmp_path / "dataset", channel="b")
        np.testing.assert_array_equal(images_of(tmp_path / "dataset"), values[::2, :, ::-1])
        source = DatasetSource.read(tmp_path / "dataset")
        assert source is not None
        assert (source.movie, source.reader, source.setup, source.n_setups) == ("m.n5", "n5", 1, 2)
        assert (source.voxel_size, source.unit) == (VoxelSize(2, 0.25, 0.5), "um")


def test_a_movie_whose_xml_is_elsewhere_is_found_again_by_it(tmp_path: Path) -> None:
    values = ramp(3)
    (tmp_path / "images").mkdir()
    path = write_n5(tmp_path / "images" / "m.n5", values)
    xml = write_xml(tmp_path / "m.xml", "<n5 type='relative'>images/m.n5</n5>", timepoints="0,2")
    movie = N5Reader.open(xml)
    assert (movie.path, movie.folder) == (xml, path)
    assert xml in movie.files()
    add(xml, tmp_path / "dataset", ConversionParams(), NeverCancelled())
    np.testing.assert_array_equal(images_of(tmp_path / "dataset"), values[::2])
    assert check_dataset(tmp_path / "dataset", (2, *values.shape[1:])) == "ready"
    assert N5Reader.open(write_xml(path.parent / "m.xml", "<n5>m.n5</n5>")).path == path


@pytest.mark.parametrize("where", ["file:{0}", "file://{0}", "{0}"])
def test_addresses_as_java_writes_them(tmp_path: Path, where: str) -> None:
    values = ramp(1)
    folder = tmp_path / "a movie"
    folder.mkdir()
    path = write_n5(folder / "m.n5", values)
    address = where.format(path.as_posix().replace(" ", "%20" if "file" in where else " "))
    xml = write_xml(tmp_path / "m.xml", f"<n5 type='absolute'>{address}</n5>", timepoints="0")
    np.testing.assert_array_equal(read(N5Reader.open(xml)), values)
    write_xml(folder / "m.xml", "<n5 type='relative'>m%2En5</n5>", timepoints="0")
    np.testing.assert_array_equal(read(N5Reader.open(folder / "m.xml")), values)


def test_levels_with_their_voxel_size(tmp_path: Path) -> None:
    values = ramp(2)
    path = write_n5(tmp_path / "m.n5", values)
    for t in range(2):
        write_image(path / f"setup0/timepoint{t}/s1", values[t, :, ::2, ::4])
        (path / f"setup0/timepoint{t}/attributes.json").write_text('{"resolution": [0.5, 0.25, 2.0]}')
    (path / "setup0/attributes.json").write_text('{"downsamplingFactors": [[1, 1, 1], [4, 2, 1]]}')
    movie = N5Reader.open(path)
    assert [(level.shape, level.voxel_size) for level in movie.levels] == [
        ((5, 20, 17), VoxelSize(2, 0.25, 0.5)),
        ((5, 10, 5), VoxelSize(2, 0.5, 2)),
    ]
    np.testing.assert_array_equal(read(movie.at_level(1)), values[:, :, ::2, ::4])
    make(path, tmp_path / "dataset", level=1)
    assert Dataset(tmp_path / "dataset").shape == (5, 10, 5)
    (path / "setup0/timepoint1/s1/attributes.json").unlink()
    with pytest.raises(DatasetError, match=r"hold the image setup0/timepoint1/s1"):
        movie.at_level(1)


def test_a_timepoint_that_is_missing(tmp_path: Path) -> None:
    values = ramp(3)
    path = write_n5(tmp_path / "m.n5", values)
    (path / "setup0/timepoint1/s0/attributes.json").unlink()
    with pytest.raises(DatasetError, match=r"none at timepoint 1 \(setup0/timepoint1/s0\)"):
        N5Reader.open(path)
    movie = N5Reader.open(path, fill_gaps=True)
    values[1] = 0
    assert movie.blank_timepoints == (1,)
    np.testing.assert_array_equal(read(movie), values)
    with pytest.raises(Cancelled):
        N5Reader.open(path, cancel=CancelAfter(1))


def test_tiles_need_fusion_unless_one_is_chosen(tmp_path: Path) -> None:
    values = ramp(1)
    path = tmp_path / "m.n5"
    for setup in range(4):
        write_n5(path, values + setup, setup=setup)
    tiles = (("left", 0, 0), ("right", 0, 1), ("left", 1, 0), ("right", 1, 1))
    write_xml(tmp_path / "m.xml", "<n5 type='relative'>m.n5</n5>", tiles, "0")
    with pytest.raises(DatasetError, match=r"m\.n5 shows the specimen in 2 tiles, which needs fusion .* 0 \(left\), 1"):
        make(path, tmp_path / "dataset")
    make(path, tmp_path / "dataset", setup=3, dtype="uint16")
    np.testing.assert_array_equal(images_of(tmp_path / "dataset"), values + 3)
    write_xml(tmp_path / "m.xml", "<n5 type='relative'>m.n5</n5>", (("left", 0, 0), ("right", 1, 1)), "0")
    make(path, tmp_path / "dataset")  # each channel is whole


def test_a_dataset_notices_that_its_movie_was_replaced(tmp_path: Path) -> None:
    folder = tmp_path / "m"
    folder.mkdir()
    path = write_n5(folder / "m.n5", ramp(2))
    assert find_movie(folder) == path
    make(path, folder)
    assert check_dataset(folder) == "ready"
    os.utime(path / "setup0/timepoint0/s0/0/0/0")
    write_xml(folder / "m.xml", "<n5 type='relative'>m.n5</n5>", timepoints="1")
    assert check_dataset(folder) == "ready"
    write_n5(path, ramp(2)[:, ::-1])
    assert "has changed since" in check_dataset(folder)


def test_a_folder_that_was_chosen_is_not_missed_when_another_movie_is_added(tmp_path: Path) -> None:
    folder = tmp_path / "m"
    folder.mkdir()
    make(write_n5(folder / "m.n5", ramp(2)), folder)
    write_movie(folder / "other.h5", ramp(2))
    assert check_dataset(folder) == "ready"


def damage(path: Path, content: bytes | Callable[[bytes], bytes]) -> None:
    """Replace a block of the second timepoint."""
    place = path / "setup0/timepoint1/s0/1/2/0"
    place.write_bytes(content if isinstance(content, bytes) else content(place.read_bytes()))


def bomb(content: bytes) -> bytes:
    """Return a header of a block that is followed by far more values."""
    return content[:16] + zlib.compress(bytes(1 << 19))


def endless_zstd(content: bytes) -> bytes:
    """Return a block whose frame repeats a byte, again and again."""
    repeated, last = (struct.pack("<I", (128 << 10) << 3 | 1 << 1 | flag)[:3] + b"a" for flag in (0, 1))
    return content[:16] + struct.pack("<IBB", 0xFD2FB528, 0, 0x58) + repeated * 200 + last


WHOLE = np.ones((2, 6, 5), np.uint16)
DAMAGED: dict[str, tuple[str, bytes | Callable[[bytes], bytes], str]] = {
    "cut within its header": ("gzip", lambda stored: stored[:9], r"ends after 9 bytes, within its header"),
    "cut within its values": ("gzip", lambda stored: stored[:-9], r"values end too early"),
    "cut, raw": ("raw", lambda stored: stored[:-9], r"expected 120 bytes of values, got 111"),
    "cut, xz": ("xz", lambda stored: stored[:-9], r"values end too early"),
    "cut, bzip2": ("bzip2", lambda stored: stored[:-9], r"values end too early"),
    "cut, zstd": ("zstd of Java", lambda stored: stored[:-1], r"values end too early"),
    "cut, lz4": ("lz4", lambda stored: stored[:60], r"values end too early"),
    "cut, blosc": ("blosc", lambda stored: stored[:40], r"values end too early"),
    "empty": ("gzip", b"", r"ends after 0 bytes"),
    "larger than declared": (
        "gzip",
        block(np.ones((3, 7, 5), np.uint16)),
        r"at most 2 x 7 x 5 voxels .* got 3 x 7 x 5",
    ),
    "smaller than it should be": ("gzip", block(WHOLE[:, :5]), r"expected 2 x 6 x 5 voxels .* got 2 x 5 x 5"),
    "of other axes": ("gzip", block(WHOLE[0]), r"image of 3 axes, got 0 and 2"),
    "of objects": ("gzip", block(WHOLE, mode=2), r"image of 3 axes, got 2 and 3"),
    "a bomb": ("gzip", bomb, r"holds more than 120 bytes"),
    "a bomb of Zstandard": ("zstd", endless_zstd, r"holds more than 120 bytes"),
    "a bomb of Blosc": ("blosc", lambda stored: stored[:20] + b"\xff\xff\xff\x7f" + stored[24:], r"header of Blosc"),
    "larger than its values can be": ("raw", bytes(10_000), r"has more than \d+ bytes"),
    "not compressed": ("gzip", block(WHOLE, bytes), r"incorrect header"),
}


@pytest.mark.parametrize("case", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_block_is_named_with_its_timepoint_and_place(
    tmp_path: Path, case: tuple[str, bytes | Callable[[bytes], bytes], str]
) -> None:
    encoding, content, words = case
    path = write_n5(tmp_path / "m.n5", ramp(2, largest=60_000), encoding=encoding)
    damage(path, content)
    movie = N5Reader.open(path)
    named = r"timepoint 1 is damaged within Z, Y, X = 0-4, 0-19, 0-8 \(the file setup0/timepoint1/s0/1/2/0: .*"
    with pytest.raises(DatasetError, match=named + words):
        read(movie)
    with pytest.raises(DatasetError, match=r"timepoint 1 is damaged"):
        make(path, tmp_path / "dataset")
    assert not (tmp_path / "dataset/imgs.zarr").exists()


LARGE = {"dimensions": [100_000] * 3, "blockSize": [64] * 3}
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "a thousand billion voxels": (LARGE, r"has 100000 x 100000 x 100000 voxels .* would need"),
    "blocks of a terabyte": ({"dimensions": [20] * 3, "blockSize": [8192] * 3}, r"blocks of at most 1 GiB"),
    "a block for each voxel": ({"dimensions": [300] * 3, "blockSize": [1] * 3}, r"at most \d+ blocks, got 27000000"),
    "no size": ({"dimensions": [0, 5, 5]}, r"not those of an image \(dimensions\.0"),
    "a size in words": ({"dimensions": ["many", 5, 5]}, r"not those of an image"),
    "a size beyond all numbers": ({"dimensions": [10**30, 5, 5]}, r"not those of an image"),
    "no block size": ({"blockSize": None}, r"not those of an image \(blockSize: field required"),
    "five axes": (
        {"dimensions": [5] * 5, "blockSize": [5] * 5},
        r"to be volumes \(X, Y, Z\), got .* 5 x 5 x 5 x 5 x 5",
    ),
    "numbers of 64 bits": ({"dataType": "uint64"}, r"got uint64: convert the movie to uint16"),
    "a compression of others": ({"compression": {"type": "jpeg"}}, r"compressed with jpeg, which is not known"),
    "no compression's name": ({"compression": {"level": 3}}, r"not those of an image \(codec"),
}


@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED)
def test_an_image_that_no_movie_has_is_refused(tmp_path: Path, case: tuple[dict[str, Any], str]) -> None:
    changed, words = case
    path = write_n5(tmp_path / "m.n5", ramp(1, (2, 5, 5)), **changed)
    with pytest.raises(DatasetError, match=words):
        make(path, tmp_path / "dataset")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "is damaged"),
        ("[]", "is damaged (it has no attributes)"),
        ('{"dimensions": ' + "[" * 100_000, "is damaged"),
        ("{}", "has no attributes.json with `dimensions`"),
        ('{"dimensions": ' + "9" * 5000 + "}", "is damaged"),
    ],
)
def test_damaged_attributes_are_named(tmp_path: Path, content: str, words: str) -> None:
    path = write_n5(tmp_path / "m.n5", ramp(1))
    (path / "setup0/timepoint0/s0/attributes.json").write_text(content)
    with pytest.raises(DatasetError) as caught:
        N5Reader.open(path)
    assert words in str(caught.value)


def test_other_folders_are_no_movie(tmp_path: Path) -> None:
    path = write_image(tmp_path / "m.n5" / "volumes" / "raw", ramp(1)[0]).parents[1]
    assert reader_of_movie(path).plugin.name == "n5"
    with pytest.raises(DatasetError, match=r"with setup0/timepoint0/s0, got an N5 folder without it"):
        N5Reader.open(path)
    with pytest.raises(NotFoundError):
        N5Reader.open(tmp_path / "n.n5")
    (tmp_path / "n.n5").write_bytes(b"II*\0")
    with pytest.raises(DatasetError, match=r"expected n\.n5 to be an N5 folder, got a TIFF"):
        N5Reader.open(tmp_path / "n.n5")
    with pytest.raises(InvalidInputError, match="expected `setup` to be a source"):
        N5Reader.open(write_n5(tmp_path / "m.n5", ramp(1)), 5)


def test_timepoints_that_differ_are_named(tmp_path: Path) -> None:
    path = write_n5(tmp_path / "m.n5", ramp(2))
    write_image(path / "setup0/timepoint1/s0", ramp(1)[0, :, :10])
    with pytest.raises(DatasetError, match=r"but setup0/timepoint0/s0 is 5 x 20 x 17 uint16 .* is 5 x 10 x 17"):
        N5Reader.open(path)


@pytest.mark.parametrize("name", ["setup0", "setup0/timepoint1", "setup0/timepoint1/s0", "setup0/timepoint1/s0/1/2/0"])
def test_links_that_go_round_in_circles_are_refused(tmp_path: Path, name: str) -> None:
    path = write_n5(tmp_path / "m.n5", ramp(2))
    (path / name).rename(tmp_path / "away")
    (path / name).symlink_to(path / name)
    with pytest.raises(ElephantError, match=r"(?i)too many levels of symbolic links"):
        make(path, tmp_path / "dataset")


def test_links_into_their_own_folder_end(tmp_path: Path) -> None:
    values = ramp(2)
    path = write_n5(tmp_path / "m.n5", values)
    for name in ("setup1", "setup0/timepoint7", "setup0/timepoint0/s1", "setup0/timepoint0/s0/9"):
        (path / name).symlink_to(path)
    movie = N5Reader.open(path, 0, fill_gaps=True)
    assert movie.n_timepoints == 8
    assert len(movie.files()) < 100
    np.testing.assert_array_equal(read(movie)[:2], values)


@pytest.mark.parametrize(
    ("images", "words"),
    [
        ("<n5 type='relative'>gone.n5</n5>", "gone.n5, which do not exist"),
        ("<n5 type='absolute'>s3://bucket/m.n5</n5>", "on this machine, got s3://bucket/m.n5"),
        ("<s3bucket>bucket</s3bucket><n5 type='absolute'>m.n5</n5>", "on this machine, got s3://bucket/m.n5"),
        ("", "to be N5, got the format bdv.n5"),
    ],
)
def test_an_xml_of_images_that_are_not_here(tmp_path: Path, images: str, words: str) -> None:
    xml = write_xml(tmp_path / "m.xml", images)
    with pytest.raises(ElephantError) as caught:
        reader_of_movie(xml).open(xml, None, NeverCancelled(), fill_gaps=False)
    assert words in str(caught.value)


def test_100_000_timepoints_are_the_most(tmp_path: Path) -> None:
    path = write_n5(tmp_path / "m.n5", ramp(1))
    write_n5(path, ramp(1), first=10**9)
    with pytest.raises(DatasetError, match="expected at most 100000 timepoints"):
        N5Reader.open(path)
    assert json.loads((path / "attributes.json").read_text())["n5"] == "4.0.0"
