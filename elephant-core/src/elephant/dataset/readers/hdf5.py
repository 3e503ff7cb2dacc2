"""Opening HDF5 files that others made: problems are explained in plain words, and no link leads elsewhere.

References
----------
HDF5 File Format Specification Version 3.0, section II.A, "Disk Format: Level 0A - Format Signature and Superblock".
"""

import importlib
import logging
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import h5py

from elephant.dataset.readers.formats import format_of
from elephant.errors import DatasetError, NotFoundError, reason_of

# As registered with the HDF Group; those that are used for images.
_NAMES = {
    307: "bzip2",
    32001: "Blosc",
    32004: "LZ4",
    32008: "bitshuffle",
    32012: "JPEG-XR",
    32013: "ZFP",
    32015: "Zstandard",
    32016: "B3D",
    32017: "SZ",
    32019: "JPEG",
    32024: "SZ3",
    32026: "Blosc2",
}
_PACKAGE = "hdf5plugin"

logger = logging.getLogger(__name__)


def load_filters(numbers: Sequence[int]) -> list[int]:
    """Load filters in this process, and return those that are not available."""
    missing = _missing(numbers)
    return _missing(missing) if missing and _load_package() else missing


def check_filters(cells: h5py.Dataset, movie: str) -> tuple[int, ...]:
    """Return the numbers of an image's filters, all of which are loaded.

    Parameters
    ----------
    cells
        The image.
    movie
        Name of the movie's file.

    Raises
    ------
    DatasetError
        A filter is not available; the message names it, and a way around it.
    """
    settings = cells.id.get_create_plist()
    found = [settings.get_filter(i) for i in range(settings.get_nfilters())]
    numbers = tuple(number for number, *_ in found)
    if missing := load_filters(numbers):
        names = {number: _NAMES.get(number) or _readable(name) for number, _, _, name in found}
        what = " and ".join(f"{number} ({names[number] or 'of unknown name'})" for number in missing)
        install = "" if _load_package() else f"; or install the Python package {_PACKAGE}, which reads most filters"
        raise DatasetError(
            f"the images of {movie} are compressed with the HDF5 filter {what}, which is not installed here: repack "
            f"them where it is, with `h5repack -f GZIP=4 {movie} repacked.h5`{install}"
        )
    return numbers


def _missing(numbers: Sequence[int]) -> list[int]:
    return [number for number in numbers if not h5py.h5z.filter_avail(number)]


def _readable(name: bytes) -> str:
    """Return the filter's name as it is written in the file."""
    return name.decode("utf-8", "replace").split(";")[0][:60]


@lru_cache(maxsize=1)
def _load_package() -> bool:
    """Load the package, which makes its filters known to HDF5."""
    try:
        importlib.import_module(_PACKAGE)
    except (ImportError, OSError) as error:
        logger.debug("%s is not installed: %s", _PACKAGE, error)
        return False
    return True


SUFFIXES = (".h5", ".hdf5")
TIMEPOINT = re.compile(r"t(\d{5,10})")
SETUP = re.compile(r"s(\d{2,10})")
SIGNATURE = b"\x89HDF\r\n\x1a\n"
# Offsets in each version's superblock: of the length of addresses, and of the end of the file.
_ADDRESS_LENGTH_AT = {0: 13, 1: 13, 2: 9, 3: 9}
_END_AT = {0: 40, 1: 44, 2: 28, 3: 28}
_USUAL_LENGTH = 8
_LATEST_START = 1 << 20

# What a file should be, and what to do if it is something else.
BIGDATAVIEWER_FILE = (
    "an HDF5 file of BigDataViewer",
    "export the movie as HDF5 from BigDataViewer or Mastodon, and give the .h5 file",
)


def is_hdf5_name(name: str) -> bool:
    """Return whether a file has an HDF5 file's name: ``.h5`` or ``.hdf5``, in capitals or not."""
    return name.lower().endswith(SUFFIXES)


@contextmanager
def opened(path: Path, kind: tuple[str, str] = BIGDATAVIEWER_FILE) -> Iterator[h5py.File]:
    """Open an HDF5 file to inspect it.

    Parameters
    ----------
    path
        The file.
    kind
        What it should be, and what to do if it is something else.

    Raises
    ------
    NotFoundError
        There is no such file.
    DatasetError
        It is not an HDF5 file, or a damaged one.
    """
    with open_hdf5(path, kind) as file:
        try:
            yield file
        except (OSError, RuntimeError, LookupError, ValueError, TypeError) as error:
            raise DatasetError(
                f"expected {path.name} to be {kind[0]}, but its table of contents is damaged: export the movie again, "
                "or upload it again"
            ) from error


def open_hdf5(path: Path, kind: tuple[str, str] = BIGDATAVIEWER_FILE) -> h5py.File:
    """Return an open file, to be used in a ``with`` statement.

    Raises
    ------
    NotFoundError
        There is no such file.
    DatasetError
        It is not an HDF5 file, or a damaged one.
    """
    try:
        # Locking would fail on read-only or network disks, and movies are not written while they are read.
        # Blocks are read whole and once: HDF5 needs not keep them.
        return h5py.File(path, "r", locking=False, rdcc_nbytes=0)
    except FileNotFoundError as error:
        raise NotFoundError(f"the movie {path} does not exist: check its name, or upload it") from error
    except OSError as error:
        raise DatasetError(_why_not(path, error, kind)) from error


def stated_end(path: Path) -> int | None:
    """Return the length of an HDF5 file as its header states it; None if the header is not a usual one."""
    with path.open("rb") as file:
        head = file.read(64)
    version = head[8] if len(head) == 64 and head.startswith(SIGNATURE) else None
    if version not in _END_AT or head[_ADDRESS_LENGTH_AT[version]] != _USUAL_LENGTH:
        return None
    at = _END_AT[version]
    return int.from_bytes(head[at : at + _USUAL_LENGTH], "little")


def _why_not(path: Path, error: OSError, kind: tuple[str, str]) -> str:
    """Explain why a file could not be opened; HDF5's own messages mean nothing to most users."""
    what, remedy = kind
    expected = f"expected {path.name} to be {what}"
    if path.is_dir():
        return f"{expected}, got {format_of(path)}: {remedy}"
    try:
        is_hdf5, end, size = _begins_as_hdf5(path), stated_end(path), path.stat().st_size
    except OSError:
        return f"{path} cannot be read ({reason_of(error)}): check who may read it"
    if not is_hdf5:
        return f"{expected}, got {format_of(path)}: {remedy}, or upload it again"
    if end is not None and size < end:
        return f"{expected} of {end} bytes, but it is truncated: it has {size} bytes. Copy or upload it again"
    return f"{expected}, but it is damaged: export the movie again, or upload it again"


def _begins_as_hdf5(path: Path) -> bool:
    """Return whether the signature is at one of its possible offsets: 0, 512, 1024, 2048, ..."""
    place = 0
    with path.open("rb") as file:
        while place <= _LATEST_START:
            file.seek(place)
            if file.read(len(SIGNATURE)) == SIGNATURE:
                return True
            place = 2 * place or 512
    return False


def is_beside(target: str, path: Path) -> bool:
    """Return whether a file that a movie names is in the movie's folder, as partitions are, or below it.

    Only the name counts: a movie cannot create symbolic links, so those in the folder can be trusted. If the movie
    itself is such a link, partitions may be beside its target.
    """
    folders = (os.path.abspath(path.parent), os.path.dirname(os.path.realpath(path)))  # noqa: PTH100, PTH120 - keeps links
    place = os.path.normpath(os.path.join(folders[0], target))  # noqa: PTH118 - likewise
    return any(place.startswith(folder + os.sep) for folder in folders)


def leads_out(target: str, path: Path) -> bool:
    """Return whether a movie names a file that exists outside of the movie's folder.

    HDF5 looks for a file that does not exist beside the movie, for partitions that were copied from another machine.
    """
    return not is_beside(target, path) and os.path.lexists(path.parent / target)


def check_links(file: h5py.File, name: str, path: Path) -> bool:
    """Check that no link on the way to an object leads out of the movie's folder, before any is followed.

    Parameters
    ----------
    file
        The movie.
    name
        Full name of the object.
    path
        The movie's file.

    Returns
    -------
    bool
        Whether each group on the way has the next link; the last link may be broken.

    Raises
    ------
    DatasetError
        A link leads out of the folder.
    """
    # With HDF5's low-level functions: h5py's make an object of every group, which takes ten times as long.
    group = file.id
    parts = name.strip("/").split("/")
    for depth, part in enumerate(parts, start=1):
        if not isinstance(group, h5py.h5g.GroupID):
            break
        key = part.encode()
        if not group.links.exists(key):
            return False
        kind = group.links.get_info(key).type
        if kind == h5py.h5l.TYPE_EXTERNAL and leads_out(_file_of(group, key), path):
            raise outside(name, path)
        if depth < len(parts):
            group = h5py.h5o.open(group, key) if kind == h5py.h5l.TYPE_HARD else _behind(file, parts[:depth])
    return True


def external_links(file: h5py.File) -> Iterator[str]:
    """Yield the file names, as written, of a movie's external links down to ``/tTTTTT/sSS/L``."""
    for name in file:
        if TIMEPOINT.fullmatch(name):
            yield from _external_links(file.id, name.encode(), depth=0)


def _external_links(group: Any, key: bytes, depth: int) -> Iterator[str]:
    kind = group.links.get_info(key).type
    if kind == h5py.h5l.TYPE_EXTERNAL:
        yield _file_of(group, key)
    elif depth < 2 and kind == h5py.h5l.TYPE_HARD:
        child = h5py.h5o.open(group, key)
        for inner in child if isinstance(child, h5py.h5g.GroupID) else ():
            yield from _external_links(child, inner, depth + 1)


def _file_of(group: Any, key: bytes) -> str:
    return os.fsdecode(group.links.get_val(key)[0])


def _behind(file: h5py.File, parts: list[str]) -> Any:
    """Return the target of a link; None if it is broken or refers to itself."""
    try:
        found = file.get("/".join(parts))
    except (OSError, RuntimeError, ValueError):
        return None
    return None if found is None else found.id


def outside(name: str, path: Path) -> DatasetError:
    """Return the error for an image that lies outside of the movie's folder."""
    return DatasetError(
        f"expected {path.name} to hold its images, or to have them in partitions beside it, but {name} is in a file "
        "outside of its folder: export the movie again, with its partitions in the same folder"
    )
