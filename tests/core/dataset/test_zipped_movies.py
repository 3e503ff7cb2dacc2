"""OME-Zarr movies in zip archives, and archives that are none."""

import os
import warnings
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from core.dataset.helpers import make
from core.dataset.test_ome_zarr import read, values, write
from elephant.dataset import Dataset, DatasetSource, find_movie
from elephant.dataset import conversion as conversion_module
from elephant.dataset.readers import reader_of_movie, zarr_places
from elephant.dataset.readers.ome_zarr import OmeZarrReader
from elephant.errors import DatasetError


def pack(folder: Path, path: Path, top: str = "", method: int = zipfile.ZIP_STORED) -> Path:
    """Pack a folder's content into a zip, within the folder `top` of it."""
    with zipfile.ZipFile(path, "w", method) as file:
        for place in sorted(folder.rglob("*")):
            if place.is_file():
                file.write(place, top + place.relative_to(folder).as_posix())
    return path


@pytest.mark.parametrize(
    ("name", "top", "method"),
    [
        ("m.ozx", "", zipfile.ZIP_STORED),
        ("m.zarr.zip", "m.ome.zarr/", zipfile.ZIP_STORED),
        ("M.OME.ZARR.ZIP", "", zipfile.ZIP_DEFLATED),
        ("m.zip", "m.zarr/", zipfile.ZIP_DEFLATED),
    ],
)
@pytest.mark.parametrize("version", [2, 3])
def test_a_packed_movie_is_read(tmp_path: Path, name: str, top: str, method: int, version: int) -> None:
    image = values()
    sharded = {"chunks": (1, 1, 2, 10, 10), "shards": (1, 2, 4, 20, 30)} if version == 3 else {}
    path = pack(write(tmp_path / "m.ome.zarr", image, version=version, **sharded), tmp_path / name, top, method)
    assert reader_of_movie(path).plugin.name == "ome-zarr"
    np.testing.assert_array_equal(read(path, 1), image[:, 1])


def test_a_dataset_is_made_by_several_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversion_module, "_PARALLEL_FROM", 0)
    image, folder = values(), tmp_path / "dataset"
    folder.mkdir()
    path = pack(write(tmp_path / "m.zarr", image), folder / "dataset.ozx")
    assert find_movie(folder) == path
    make(path, folder, setup=1)
    np.testing.assert_array_equal([Dataset(folder).read_image(t) for t in range(3)], image[:, 1])
    source = DatasetSource.read(folder)
    assert source is not None
    assert (source.movie, source.reader) == ("dataset.ozx", "ome-zarr")


def test_threads_and_forked_processes_read_at_the_same_time(tmp_path: Path) -> None:
    image = values()
    path = pack(write(tmp_path / "m.zarr", image, chunks=(1, 1, 2, 10, 10)), tmp_path / "m.zip")
    with ThreadPoolExecutor(8) as pool:
        for found in pool.map(lambda _: read(path), range(16)):
            np.testing.assert_array_equal(found, image[:, 0])
    if not hasattr(os, "fork"):
        return
    assert zarr_places._archive.cache_info().currsize
    opened = zarr_places.Zip(path)._archive()
    children = []
    for _ in range(2):
        child = os.fork()
        if child == 0:
            os._exit(0 if zarr_places.Zip(path)._archive() is not opened else 1)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0]


def test_a_replaced_archive_is_read_anew(tmp_path: Path) -> None:
    image = values()
    path = pack(write(tmp_path / "m.zarr", image), tmp_path / "m.zip")
    np.testing.assert_array_equal(read(path), image[:, 0])
    other = pack(write(tmp_path / "m.zarr", values(seed=1)), tmp_path / "other.zip")
    other.replace(path)
    np.testing.assert_array_equal(read(path), values(seed=1)[:, 0])


def truncate(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 2 // 3])


def encrypt(path: Path) -> None:
    """Set the flags of all entries."""
    content = bytearray(path.read_bytes())
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        for place in _places(content, signature):
            content[place + offset] |= 1
    path.write_bytes(content)


def _places(content: bytearray, signature: bytes) -> Iterator[int]:
    place = content.find(signature)
    while place >= 0:
        yield place
        place = content.find(signature, place + 1)


def declare(offset: int, number: bytes) -> Callable[[Path], None]:
    """Return what writes a number into the first entry of the list of files."""

    def edit(path: Path) -> None:
        content = bytearray(path.read_bytes())
        place = content.find(b"PK\x01\x02") + offset
        content[place : place + len(number)] = number
        path.write_bytes(content)

    return edit


def add(name: str, content: bytes = b"x") -> Callable[[Path], None]:
    def edit(path: Path) -> None:
        with warnings.catch_warnings(), zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as file:
            warnings.simplefilter("ignore")  # of a second file of the name, which counts
            file.writestr(name, content)

    return edit


def nothing_but(*names: str) -> Callable[[Path], None]:
    def edit(path: Path) -> None:
        with zipfile.ZipFile(path, "w") as file:
            for name in names:
                file.writestr(name, b"{}")

    return edit


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (truncate, "to be a whole zip archive"),
        (lambda path: path.write_bytes(b""), "an empty file"),
        (lambda path: path.write_bytes(b"PK\3\4" * 1000), "to be a whole zip archive"),
        (lambda path: path.write_bytes(b"\1\0" * 1000), "a file of an unknown format"),
        (encrypt, "m.zarr.zip is encrypted: unpack it with its password"),
        (add("../../etc/cron.d/x"), "to stay within it, got the name '../../etc/cron.d/x'"),
        (add("/etc/passwd"), "to stay within it, got the name '/etc/passwd'"),
        (add("0\\c"), "to stay within it"),
        (add("C:/x"), "to stay within it, got the name 'C:/x'"),
        (declare(10, b"\x09\0"), r"by a method that cannot be read \(number 9\)"),
        (declare(24, b"\xf0\xff\xff\xff"), "would unpack to 4.0 GiB"),
        (nothing_but("a.tif", "b.tif"), "to hold an OME-Zarr movie, got 2 files, such as a.tif"),
        (nothing_but(), "to hold an OME-Zarr movie, got no file"),
        (nothing_but("a.zarr/.zattrs", "b.zarr/zarr.json"), r"holds 2 Zarr folders \(a.zarr, b.zarr\)"),
        (nothing_but("zarr.json"), "has no `multiscales`"),
        (add("zarr.json", b"{"), "zarr.json of m.zarr.zip cannot be read"),
        (add("0/zarr.json", b"{"), "the image 0 of m.zarr.zip cannot be opened"),
        (add("zarr.json", b" " * (65 << 20)), "zarr.json of m.zarr.zip cannot be read .it is too large: 65 MiB"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_no_packed_movie_is_refused_with_the_reason(
    tmp_path: Path, edit: Callable[[Path], object], words: str
) -> None:
    path = pack(write(tmp_path / "m.zarr", values()), tmp_path / "m.zarr.zip", method=zipfile.ZIP_DEFLATED)
    edit(path)
    with pytest.raises(DatasetError, match=words):
        make(path, tmp_path / "dataset")
    assert not (tmp_path / "dataset").exists()


def test_a_damaged_block_is_reported(tmp_path: Path) -> None:
    path = pack(write(tmp_path / "m.zarr", values(), compressors=None, chunks=(1, 1, 4, 20, 30)), tmp_path / "m.zip")
    with zipfile.ZipFile(path) as file:
        place = file.getinfo("0/c/1/0/0/0/0").header_offset + 200
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)
    with pytest.raises(DatasetError, match=r"timepoint 1 is damaged within Z, Y, X = 0-3, 0-19, 0-.*CRC"):
        make(path, tmp_path / "dataset")


def test_other_archives_are_not_claimed(tmp_path: Path) -> None:
    path = tmp_path / "m.zip"
    nothing_but("a.tif")(path)
    assert not OmeZarrReader.claims(path)
    with pytest.raises(DatasetError, match="a ZIP archive"):
        make(path, tmp_path / "dataset")
