"""Movies as BigDataViewer writes them into HDF5.

``/tTTTTT/sSS/0/cells`` holds timepoint T of setup S at full resolution, (Z, Y, X). Integer cells are unsigned
16-bit values in signed storage. A large movie may be split into partition files, which a master file reaches
through external links. The format is described by T. Pietzsch et al., *BigDataViewer*, Nature Methods 2015,
doi:10.1038/nmeth.3392.
"""

import math
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from elephant.capacity import total_bytes
from elephant.dataset.layout import grow, regions
from elephant.errors import DatasetError, NotFoundError
from elephant.types import Shape

TIMEPOINT = re.compile(r"t(\d{5,})")
SETUP = re.compile(r"s(\d{2,})")

_PIECE_BYTES = 8 * 2**20
_WORKING_BYTES = 4  # of a voxel, as the networks see it
_VALUE_DTYPES = {
    "int16": "uint16",
    "uint16": "uint16",
    "uint8": "uint8",
    "float32": "float32",
    "float64": "float64",
}


@dataclass(frozen=True, slots=True)
class Movie:
    """What there is to read in a BigDataViewer file; holds no file open and travels between processes.

    Attributes
    ----------
    path
        The file, a master file where the movie is split.
    cells
        The name inside the file of every timepoint's full-resolution image.
    shape
        (Z, Y, X) of a timepoint.
    dtype
        NumPy name of the type of the values: uint8, uint16, float32 or float64.
    chunks
        (Z, Y, X) of the blocks in which the first timepoint is stored.
    stored_bytes
        What the images take in the file, compressed as they are there.
    """

    path: Path
    cells: tuple[str, ...]
    shape: Shape
    dtype: str
    chunks: Shape
    stored_bytes: int

    @classmethod
    def inspect(cls, path: Path) -> "Movie":
        """Look through a movie without reading its images.

        Raises
        ------
        NotFoundError
            There is no such file.
        DatasetError
            It is no BigDataViewer file, a timepoint is missing, or timepoints differ in size or type.
        """
        with opened(path) as file:
            names = _cells_names(file, path)
            first = _cells(file, names[0], path)
            _check_first(first, path)
            stored = 0
            for name in names:
                cells = _cells(file, name, path)
                _check_alike(first, cells, path)
                stored += cells.id.get_storage_size()
            return cls(
                path=path,
                cells=tuple(names),
                shape=tuple(first.shape),
                dtype=_VALUE_DTYPES[first.dtype.name],
                chunks=tuple(first.chunks or (1, 1, first.shape[2])),
                stored_bytes=stored,
            )

    @property
    def n_timepoints(self) -> int:
        """T."""
        return len(self.cells)

    @contextmanager
    def timepoint(self, t: int) -> Iterator["Timepoint"]:
        """Open a timepoint for reading blocks of it."""
        with _open(self.path) as file:
            yield Timepoint(self, t, _cells(file, self.cells[t], self.path))

    def pieces(self, region: tuple[slice, ...]) -> Iterator[tuple[slice, ...]]:
        """Cut a region, (Z, Y, X), into pieces of a few MB along the blocks in which the movie is stored."""
        block = grow(self.chunks, self.shape, _PIECE_BYTES // np.dtype(self.dtype).itemsize)
        for piece in regions(self.shape, block):
            cut = tuple(slice(max(p.start, r.start), min(p.stop, r.stop)) for p, r in zip(piece, region, strict=True))
            if all(c.start < c.stop for c in cut):
                yield cut


class Timepoint:
    """An open timepoint of a movie."""

    def __init__(self, movie: Movie, t: int, cells: h5py.Dataset) -> None:
        self._movie = movie
        self._t = t
        self._cells = cells

    def read(self, region: tuple[slice, ...]) -> NDArray[Any]:
        """Return a block of the values, (Z, Y, X), of the movie's type.

        Raises
        ------
        DatasetError
            The block is damaged.
        """
        try:
            stored = self._cells[region]
        except (OSError, RuntimeError, ValueError) as error:
            where = ", ".join(f"{s.start}-{s.stop - 1}" for s in region)
            raise DatasetError(
                f"every block of {self._movie.path.name} must be readable, but timepoint {self._t} is "
                f"damaged within Z, Y, X = {where} ({error}): export the movie again, or upload it again"
            ) from error
        native = stored.astype(stored.dtype.newbyteorder("="), copy=False)
        # The same bits: signed storage holds unsigned values.
        values: NDArray[Any] = native.view(self._movie.dtype)
        return values


@contextmanager
def opened(path: Path) -> Iterator[h5py.File]:
    """Open an HDF5 file to look through it.

    Raises
    ------
    NotFoundError
        There is no such file.
    DatasetError
        It is not an HDF5 file, or a damaged one.
    """
    with _open(path) as file:
        try:
            yield file
        except (OSError, RuntimeError, LookupError, ValueError, TypeError) as error:
            raise DatasetError(
                f"{path.name} should be an HDF5 file of BigDataViewer, but its table of contents is damaged "
                f"({error}): export the movie again, or upload it again"
            ) from error


def _open(path: Path) -> h5py.File:
    try:
        # Locking would refuse files on read-only or network disks; nobody writes a movie that is being read.
        return h5py.File(path, "r", locking=False)
    except FileNotFoundError as error:
        raise NotFoundError(f"the movie {path} is not there: check its name, or upload it") from error
    except OSError as error:
        raise DatasetError(
            f"{path.name} should be an HDF5 file of BigDataViewer, but cannot be opened as one ({error}): "
            "export the movie as HDF5 from BigDataViewer or Mastodon, or upload it again"
        ) from error


def numbered(group: Iterable[str], pattern: re.Pattern[str]) -> dict[int, str]:
    """Return the names that follow a pattern, by their number, in its order."""
    matches = (pattern.fullmatch(name) for name in group)
    return dict(sorted((int(m[1]), m[0]) for m in matches if m))


def _cells_names(file: h5py.File, path: Path) -> list[str]:
    """Return the names of the images of all timepoints, of the first setup."""
    timepoints = numbered(file, TIMEPOINT)
    if not timepoints:
        raise DatasetError(
            f"{path.name} should hold the groups t00000, t00001, ... of BigDataViewer, but holds "
            f"{', '.join(sorted(file)[:5]) or 'nothing'}: export the movie as HDF5 from BigDataViewer"
        )
    missing = sorted(set(range(min(timepoints), max(timepoints))) - set(timepoints))
    if missing:
        raise DatasetError(
            f"{path.name} should hold every timepoint from {min(timepoints)} to {max(timepoints)}, but lacks "
            f"{len(missing)} of them, timepoint {missing[0]} first: export the movie again with all of them"
        )
    first = timepoints[min(timepoints)]
    check_links(file, first, path)
    setup = _first_setup(file, first, path)
    return [f"{name}/{setup}/0/cells" for name in timepoints.values()]


def _first_setup(file: h5py.File, timepoint: str, path: Path) -> str:
    group = file.get(timepoint)
    setups = numbered(group, SETUP) if isinstance(group, h5py.Group) else {}
    if not setups:
        raise DatasetError(
            f"{timepoint} of {path.name} should hold an image s00, but holds none: "
            "export the movie as HDF5 from BigDataViewer or Mastodon, and put all its partitions beside it"
        )
    return setups[min(setups)]


def _cells(file: h5py.File, name: str, path: Path) -> h5py.Dataset:
    check_links(file, name, path)
    try:
        cells = file[name]
    except (KeyError, OSError, RuntimeError, ValueError) as error:
        raise DatasetError(
            f"{path.name} should hold {name}, but it is missing ({error}): "
            "export the movie again, and if it is split into partitions put all of them beside it"
        ) from error
    if not isinstance(cells, h5py.Dataset):
        raise DatasetError(f"{name} of {path.name} should be an image, but is a group: export the movie again")
    holder = os.path.abspath(cells.file.filename)  # noqa: PTH100 - keeps links
    if cells.is_virtual or cells.external or not is_beside(holder, path):
        raise _outside(name, path)
    return cells


def is_beside(target: str, path: Path) -> bool:
    """Tell whether a file that a movie names lies in the movie's folder, as partitions do, or below it.

    As the name says it: a link on the disk is made by who may read what it leads to, and a movie can make none. Where
    the movie itself is such a link, partitions may be beside what it leads to.
    """
    folders = (os.path.abspath(path.parent), os.path.dirname(os.path.realpath(path)))  # noqa: PTH100, PTH120 - keeps links
    place = os.path.normpath(os.path.join(folders[0], target))  # noqa: PTH118 - likewise
    return any(place.startswith(folder + os.sep) for folder in folders)


def leads_out(target: str, path: Path) -> bool:
    """Tell whether a movie names a file that is there, but outside of the movie's folder.

    One that is not there is looked for beside the movie by HDF5: partitions that came from another machine.
    """
    return not is_beside(target, path) and os.path.lexists(path.parent / target)


def check_links(file: h5py.File, name: str, path: Path) -> None:
    """Check that no link on the way to an object leads out of the movie's folder, before any is followed.

    Raises
    ------
    DatasetError
        One does.
    """
    group: Any = file
    for part in name.strip("/").split("/"):
        link = group.get(part, getlink=True) if isinstance(group, h5py.Group) else None
        if isinstance(link, h5py.ExternalLink) and leads_out(link.filename, path):
            raise _outside(name, path)
        group = group.get(part) if link is not None else None


def _outside(name: str, path: Path) -> DatasetError:
    return DatasetError(
        f"{path.name} should hold its images, or have them in partitions beside it, but {name} lies in another file "
        "outside of its folder: export the movie again, with its partitions in the same folder"
    )


def _check_first(cells: h5py.Dataset, path: Path) -> None:
    """Check that the first timepoint is an image that this machine can work with."""
    if cells.ndim != 3 or min(cells.shape) < 1:
        raise DatasetError(
            f"images of {path.name} should be volumes (Z, Y, X), but their shape is {cells.shape}: "
            "export the movie again"
        )
    if cells.dtype.name not in _VALUE_DTYPES:
        raise DatasetError(
            f"images of {path.name} should be {', '.join(_VALUE_DTYPES)}, but are {cells.dtype.name}: "
            "convert the movie to 16 bits before the export"
        )
    there_is = total_bytes()
    needed = math.prod(cells.shape) * _WORKING_BYTES
    if needed > there_is:
        raise DatasetError(
            f"a timepoint of {path.name} has {' x '.join(map(str, cells.shape))} voxels (Z, Y, X) and would need "
            f"{needed / 2**30:.3g} GiB of memory to work with, but this machine has {there_is / 2**30:.3g} GiB: "
            "export a part of the movie, or a smaller one"
        )


def _check_alike(first: h5py.Dataset, cells: h5py.Dataset, path: Path) -> None:
    if (cells.shape, cells.dtype) != (first.shape, first.dtype):
        raise DatasetError(
            f"all timepoints of {path.name} should be alike, but {first.name} is {first.shape} {first.dtype} "
            f"and {cells.name} is {cells.shape} {cells.dtype}: export the movie again with one size and type"
        )
