"""Naming the format of a file or folder that is not a BigDataViewer movie."""

from collections.abc import Iterable
from itertools import islice
from pathlib import Path

# The first bytes of common formats, which identify a file whatever its name.
_BEGINNINGS: tuple[tuple[bytes, str], ...] = (
    (b"II*\0", "a TIFF"),
    (b"MM\0*", "a TIFF"),
    (b"II+\0", "a BigTIFF"),
    (b"MM\0+", "a BigTIFF"),
    (b"ZISRAWFILE", "a CZI of Zeiss"),
    (b"\xda\xce\xbe\x0a", "an ND2 of Nikon"),
    (b"\0\0\0\x0cjP  ", "an ND2 of Nikon or a JPEG 2000"),
    (b"\x70\0\0\0", "a LIF of Leica"),
    (b"\xd0\xcf\x11\xe0", "an OIB, LSM or other compound file"),
    (b"\x89PNG", "a PNG"),
    (b"\xff\xd8\xff", "a JPEG"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"7z\xbc\xaf", "a 7z archive"),
    (b"\x93NUMPY", "a NumPy array"),
    (b"CDF", "a NetCDF"),
    (b"\xef\xbb\xbf<", "an XML file"),
    (b"<?xml", "an XML file"),
    (b"<SpimData", "an XML file of BigDataViewer"),
    (b"<", "an XML or HTML file"),
    (b"{", "a JSON file"),
)
_ZARR = ("zarr.json", ".zgroup", ".zattrs", ".zarray")
_N5 = "attributes.json"
_BLOCK = 4096
_MOST_NAMES = 5


def format_of(path: Path) -> str:
    """Return what an existing file or folder is, such as ``a TIFF`` or ``a Zarr folder``."""
    return _of_folder(path) if path.is_dir() else _of_file(path)


def content_of_hdf5(names: Iterable[str]) -> str:
    """Return what an HDF5 file is, by the names of its top-level groups and images."""
    found = list(islice(names, 1000))
    if {"DataSet", "DataSetInfo"} <= set(found):
        return "an Imaris file (.ims)"
    some = ", ".join(sorted(found)[:_MOST_NAMES])
    return f"an HDF5 file of another kind, which holds {some}" if some else "an empty HDF5 file"


def _of_folder(path: Path) -> str:
    if any((path / name).exists() for name in _ZARR):
        return "a Zarr folder"
    if (path / _N5).exists() or path.suffix == ".n5":
        return "an N5 folder"
    return "a Zarr folder" if path.suffix == ".zarr" else "a folder"


def _of_file(path: Path) -> str:
    with path.open("rb") as file:
        head = file.read(_BLOCK)
    if not head:
        return "an empty file"
    if not head.strip(b"\0"):
        return "a file that begins with zeros, as after a broken copy"
    kind = next((words for beginning, words in _BEGINNINGS if head.startswith(beginning)), None)
    if kind is None:
        kind = "a text file" if _is_text(head) else "a file of an unknown format"
    return kind


def _is_text(head: bytes) -> bool:
    return b"\0" not in head and "\ufffd" not in head.decode("utf-8", "replace")[:-1]
