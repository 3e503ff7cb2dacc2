"""Broken and foreign files: each is refused with a sentence that says what was expected, what was found, what to do."""

import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from core.dataset.test_tiff import GREY, ome, values
from elephant.dataset.readers import reader_of_movie
from elephant.errors import ElephantError
from elephant.progress import NeverCancelled

WIDTH, LENGTH, COMPRESSION, OFFSETS, ROWS, COUNTS, TILE_WIDTH, TILE_LENGTH = 256, 257, 259, 273, 278, 279, 322, 323
AXES = {"metadata": {"axes": "TZYX"}}


def write(path: Path, **more: Any) -> Path:
    tifffile.imwrite(path, values("TZYX"), **GREY, **(AXES | more))
    return path


def tag(path: Path, code: int, value: int, page: int = 0) -> Path:
    """Change what a page says."""
    with tifffile.TiffFile(path) as tif:
        found = tif.pages[page].aspage().tags[code]
        at, size = found.valueoffset, {3: "H", 4: "I"}[int(found.dtype)]
    change(path, at, struct.pack(f"<{size}", value))
    return path


def change(path: Path, at: int, new: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(new)


def content(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def begins_again(path: Path, n: int, target: int) -> Path:
    """Write pages of which the last one is followed by an earlier one."""
    tifffile.imwrite(path, np.zeros((n, 4, 4), np.uint8), metadata=None, **GREY)
    with tifffile.TiffFile(path) as tif:
        pages = [page.offset for page in tif.pages]
        (n_tags,) = struct.unpack("<H", path.read_bytes()[pages[-1] : pages[-1] + 2])
    change(path, pages[-1] + 2 + 12 * n_tags, struct.pack("<I", pages[target]))
    return path


def described(path: Path, pixels: str, data: str = "", head: str = "") -> Path:
    given = {"SizeX": 45, "SizeY": 37, "SizeZ": 4, "SizeC": 1, "SizeT": 3, "DimensionOrder": "XYZCT"}
    attributes = " ".join(f'{name}="{value}"' for name, value in given.items() if f"{name}=" not in pixels)
    text = head + ome(f"<Image><Pixels {attributes} {pixels}>{data}</Pixels></Image>")
    tifffile.imwrite(path, values("TZYX"), description=text.encode(), metadata=None, **GREY)
    return path


def in_complex(path: Path) -> Path:
    tifffile.imwrite(path, values("TZYX").astype(np.complex64), **GREY, **AXES)
    return path


def bomb(path: Path) -> Path:
    """Write a strip of deflate that becomes a thousand times what it should."""
    write(path, compression="zlib")
    data = zlib.compress(bytes(400 << 20))
    end = path.stat().st_size
    with path.open("ab") as file:
        file.write(data)
    tag(path, OFFSETS, end)
    return tag(path, COUNTS, len(data))


def odd_page(path: Path) -> Path:
    described(path, "")
    return tag(path, LENGTH, 36, page=5)


def damaged_strip(path: Path) -> Path:
    write(path, compression="zlib")
    with tifffile.TiffFile(path) as tif:
        at = tif.pages[5].dataoffsets[0]
    change(path, at, bytes(20))
    return path


def shortened(path: Path, n: int) -> Path:
    return content(path, path.read_bytes()[:n])


def imagej(path: Path) -> Path:
    words = "ImageJ=1.54f\nimages=1000\nframes=1000\n"
    tifffile.imwrite(path, values("YX"), description=words, metadata=None, **GREY)
    return path


def array(path: Path, dtype: Any, shape: tuple[int, ...] = (3, 4, 5, 6)) -> Path:
    np.save(path, np.zeros(shape, dtype), allow_pickle=True)
    return path


def header(path: Path, shape: tuple[int, ...], n: int = 8) -> Path:
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "<u2", "fortran_order": False, "shape": shape})
        file.write(bytes(n))
    return path


Case = tuple[str, Callable[[Path], Path], str]
CASES: list[Case] = [
    ("empty.tif", lambda p: content(p, b""), "expected empty.tif to be a TIFF, got an empty file"),
    ("text.tif", lambda p: content(p, b"Dear all,\n"), "expected text.tif to be a TIFF, got a text file"),
    ("zeros.tif", lambda p: content(p, bytes(999)), "begins with zeros, as after a broken copy"),
    ("picture.tif", lambda p: content(p, b"\x89PNG\r\n\x1a\n" + bytes(9)), "got a PNG"),
    ("head.tif", lambda p: content(p, b"II*\0\x08\0\0\0"), "to be a TIFF, but it is damaged"),
    ("nowhere.tif", lambda p: content(p, b"II*\0\xff\xff\xff\x7f" + bytes(99)), "to be a TIFF, but it is damaged"),
    ("cut.tif", lambda p: shortened(described(p, ""), 9000), "is truncated: it ends after 9000 bytes"),
    ("cut.tif", lambda p: shortened(write(p), 9000), "cut.tif to hold all of its pages, but it is truncated"),
    ("end.tif", lambda p: shortened(write(p, compression="zlib"), -2000), "end.tif to hold all of its pages"),
    ("imagej.tif", imagej, "to hold all of its pages, but it is truncated"),
    ("circle.tif", lambda p: begins_again(p, 5, 2), "to come to an end, but the one after page 5 is an earlier one"),
    ("long circle.tif", lambda p: begins_again(p, 150, 120), "the one after page 150 is an earlier one"),
    ("wide.tif", lambda p: tag(tag(described(p, ""), WIDTH, 2**31), LENGTH, 2**31), "wide.tif"),
    (
        "tile.tif",
        lambda p: tag(tag(write(p, tile=(16, 16), compression="zlib"), TILE_WIDTH, 60000), TILE_LENGTH, 60000),
        "in strips or tiles of at most 1 GiB, got 6.71 GiB",
    ),
    ("codec.tif", lambda p: tag(write(p, compression="zlib"), COMPRESSION, 34000), "compressed with 34000"),
    (
        "complex.tif",
        in_complex,
        "expected images of complex.tif to be uint8, .*, got complex64",
    ),
    (
        "many.ome.tif",
        lambda p: described(p, 'SizeT="1000000000"'),
        "4000000000 planes that its OME-XML declares, got 12",
    ),
    ("few.ome.tif", lambda p: described(p, 'SizeT="5"'), "few.ome.tif to have 20 pages, as the OME-XML says, got 12"),
    ("none.ome.tif", lambda p: described(p, 'SizeC="-2"'), "to say in its OME-XML what its pages are, got the sizes"),
    ("order.ome.tif", lambda p: described(p, 'DimensionOrder="ABCDE"'), "got the order of dimensions ABCDE"),
    ("xml.ome.tif", lambda p: described(p, "SizeT=3"), "to say in its OME-XML what its pages are, got not well-formed"),
    (
        "entity.ome.tif",
        lambda p: described(p, "", head='<!DOCTYPE a [<!ENTITY b "lol">]>'),
        "got XML with a document type",
    ),
    (
        "out.ome.tif",
        lambda p: described(p, "", '<TiffData><UUID FileName="../secret.tif">urn:uuid:1</UUID></TiffData>'),
        "of out.ome.tif to be beside it, but one of them is '../secret.tif'",
    ),
    (
        "place.ome.tif",
        lambda p: described(p, "", '<TiffData FirstT="7"/>'),
        r"within T, C, Z = \(3, 1, 4\), got \(7, 0, 0\)",
    ),
    (
        "stopped.ome.tif",
        lambda p: described(p, "", '<TiffData IFD="0" PlaneCount="6"/>'),
        "timepoints 1-2 of 3 lack some, as after a recording that was stopped",
    ),
    ("m.companion.ome", lambda p: content(p, b"<OME>"), "to say in its OME-XML what its pages are"),
    ("odd.ome.tif", odd_page, "timepoint 1 is damaged at plane Z = 1 .a page of 45 x 36 pixels"),
    ("strip.tif", damaged_strip, "every page of strip.tif to be readable, but timepoint 1 is damaged at plane Z = 1"),
    ("bomb.tif", bomb, "timepoint 0 is damaged at plane Z = 0"),
    ("pickle.npy", lambda p: array(p, object), "expected pickle.npy to hold a whole array of numbers"),
    ("complex.npy", lambda p: array(p, complex), "complex.npy to be an array of uint8, .*, got complex128"),
    (
        "line.npy",
        lambda p: array(p, np.uint8, (9,)),
        r"to be an array of 2 to 5 axes with values, got the shape \(9,\)",
    ),
    ("none.npy", lambda p: array(p, np.uint8, (3, 0, 5, 6)), "with values, got the shape"),
    ("short.npy", lambda p: header(p, (3, 4, 5, 6)), "expected short.npy to hold a whole array of numbers"),
    ("huge.npy", lambda p: header(p, (10**5, 10**4, 10**3, 10**3)), "expected huge.npy to hold a whole array"),
    (
        "header.npy",
        lambda p: content(p, b"\x93NUMPY\x01\0\x10\0{'descr': '''<u2 \n\n"),
        "header.npy to hold a whole array",
    ),
    ("text.npy", lambda p: content(p, b"1,2,3\n"), "expected text.npy to be an array of NumPy, got a text file"),
]


def read_all(path: Path) -> None:
    movie = reader_of_movie(path).open(path, None, NeverCancelled(), fill_gaps=False)
    for t in range(movie.n_timepoints):
        with movie.timepoint(t) as voxels:
            voxels.read(tuple(slice(0, size) for size in movie.reader.shape))


@pytest.mark.parametrize(("name", "make", "words"), CASES, ids=[f"{i} {case[0]}" for i, case in enumerate(CASES)])
def test_a_broken_file_gets_a_sentence(tmp_path: Path, name: str, make: Callable[[Path], Path], words: str) -> None:
    path = make(tmp_path / name)
    with pytest.raises(ElephantError, match=words) as caught:
        read_all(path)
    sentence = str(caught.value)
    assert name in sentence
    assert len(sentence) < 500


def test_a_compression_that_needs_a_package_names_it(tmp_path: Path) -> None:
    path = write(tmp_path / "m.tif", compression="lzw")
    code = (
        "import sys; sys.modules['imagecodecs'] = None\n"
        "from pathlib import Path\n"
        "from elephant.dataset.readers.tiff import TiffReader\n"
        f"TiffReader.open(Path({str(path)!r}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    words = 'compressed with LZW, which needs the package imagecodecs: pip install "elephant-core[tiff]"'
    assert words in done.stderr
