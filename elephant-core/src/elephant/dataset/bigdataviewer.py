"""Movies as BigDataViewer writes them into HDF5.

``/tTTTTT/sSS/0/cells`` holds timepoint T of setup S at full resolution, (Z, Y, X). Integer cells are unsigned 16-bit
values in signed storage. A large movie may be split into partition files, which a master file reaches through external
links. The format is described by T. Pietzsch et al., *BigDataViewer*, Nature Methods 2015, doi:10.1038/nmeth.3392.
"""

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from elephant.errors import DatasetError, NotFoundError
from elephant.types import Shape

_TIMEPOINT = re.compile(r"t(\d{5,})")
_SETUP = re.compile(r"s(\d{2,})")
_PARTITION = re.compile(r"(.+)-\d{2,}-\d{2,}\.h5")

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
        with _open_file(path) as file:
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
                chunks=tuple(first.chunks or (1, *first.shape[1:])),
                stored_bytes=stored,
            )

    @property
    def n_timepoints(self) -> int:
        """T."""
        return len(self.cells)

    @contextmanager
    def timepoint(self, t: int) -> Iterator["Timepoint"]:
        """Open a timepoint for reading blocks of it."""
        with _open_file(self.path) as file:
            yield Timepoint(self, t, _cells(file, self.cells[t], self.path))


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
                f"every block of {self._movie.path.name} must be readable, but timepoint {self._t} is damaged around "
                f"Z, Y, X = {where} ({error}): export the movie again, or upload it again"
            ) from error
        native = stored.astype(stored.dtype.newbyteorder("="), copy=False)
        return native.view(self._movie.dtype)  # the same bits: signed storage holds unsigned values


def find_movie(folder: Path) -> Path | None:
    """Return the movie that a dataset's folder holds.

    Parameters
    ----------
    folder
        The dataset's folder.

    Returns
    -------
    Path or None
        ``<name of the folder>.h5`` where it exists, else the first master file by name, else None. A file that another
        one links to, or that is named like a partition (``x-00-00.h5``), is no master.
    """
    own = folder / f"{folder.name}.h5"
    if own.is_file():
        return own
    files = sorted(p for p in folder.glob("*.h5") if p.is_file() and not p.name.startswith("."))
    linked = {name for path in files for name in _linked_files(path)}
    candidates = (p for p in files if p.name not in linked and not _is_named_as_partition(p))
    return next((p for p in candidates if _is_bigdataviewer(p)), None)


def _is_named_as_partition(path: Path) -> bool:
    # Partitions are numbered from -00-00; a date at the end of a name looks alike otherwise.
    match = _PARTITION.fullmatch(path.name)
    return match is not None and path.with_name(f"{match[1]}-00-00.h5").exists()


def _is_bigdataviewer(path: Path) -> bool:
    try:
        with _open_file(path) as file:
            return bool(_numbered(file, _SETUP)) and bool(_numbered(file, _TIMEPOINT))
    except (DatasetError, NotFoundError):
        return False


def _linked_files(path: Path) -> set[str]:
    """Return the names of the files that the timepoints of a movie lie in, other than its own."""
    try:
        with _open_file(path) as file:
            return set(_external_links(file))
    except (DatasetError, NotFoundError, OSError, RuntimeError, KeyError):
        return set()


def _external_links(group: h5py.Group, depth: int = 0) -> Iterator[str]:
    """Yield the file names of the external links down to ``/tTTTTT/sSS/L``."""
    for name in group:
        if depth == 0 and not _TIMEPOINT.fullmatch(name):
            continue
        link = group.get(name, getlink=True)
        if isinstance(link, h5py.ExternalLink):
            yield Path(link.filename).name
        elif depth < 2 and isinstance(child := group.get(name), h5py.Group):
            yield from _external_links(child, depth + 1)


def _open_file(path: Path) -> h5py.File:
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


def _numbered(group: Iterable[str], pattern: re.Pattern[str]) -> dict[int, str]:
    """Return the names that follow a pattern, by their number, in its order."""
    matches = (pattern.fullmatch(name) for name in group)
    return dict(sorted((int(m[1]), m[0]) for m in matches if m))


def _cells_names(file: h5py.File, path: Path) -> list[str]:
    """Return the names of the images of all timepoints, of the first setup."""
    timepoints = _numbered(file, _TIMEPOINT)
    if not timepoints:
        raise DatasetError(
            f"{path.name} should hold the groups t00000, t00001, ... of BigDataViewer, but holds "
            f"{', '.join(sorted(file)[:5]) or 'nothing'}: export the movie as HDF5 from BigDataViewer or Mastodon"
        )
    missing = sorted(set(range(min(timepoints), max(timepoints))) - set(timepoints))
    if missing:
        raise DatasetError(
            f"{path.name} should hold every timepoint from {min(timepoints)} to {max(timepoints)}, but lacks "
            f"{len(missing)} of them, the first being {missing[0]}: export the movie again with all timepoints"
        )
    first = timepoints[min(timepoints)]
    setup = _first_setup(file, first, path)
    return [f"{name}/{setup}/0/cells" for name in timepoints.values()]


def _first_setup(file: h5py.File, timepoint: str, path: Path) -> str:
    group = file.get(timepoint)
    setups = _numbered(group, _SETUP) if isinstance(group, h5py.Group) else {}
    if not setups:
        raise DatasetError(
            f"{timepoint} of {path.name} should hold an image s00, but holds none: "
            "export the movie as HDF5 from BigDataViewer or Mastodon, and put all its partitions beside it"
        )
    return setups[min(setups)]


def _cells(file: h5py.File, name: str, path: Path) -> h5py.Dataset:
    try:
        cells = file[name]
    except (KeyError, OSError) as error:
        raise DatasetError(
            f"{path.name} should hold {name}, but it is missing ({error}): "
            "export the movie again, and if it is split into partitions put all of them beside it"
        ) from error
    if not isinstance(cells, h5py.Dataset):
        raise DatasetError(
            f"{name} of {path.name} should be an image, but is a group: export the movie again"
        )
    return cells


def _check_first(cells: h5py.Dataset, path: Path) -> None:
    if cells.ndim != 3 or min(cells.shape) < 1:
        raise DatasetError(
            f"images of {path.name} should be volumes (Z, Y, X), but their shape is {cells.shape}: export the movie again"
        )
    if cells.dtype.name not in _VALUE_DTYPES:
        raise DatasetError(
            f"images of {path.name} should be of type {', '.join(_VALUE_DTYPES)}, but are {cells.dtype.name}: "
            "convert the movie to 16 bits before the export"
        )


def _check_alike(first: h5py.Dataset, cells: h5py.Dataset, path: Path) -> None:
    if (cells.shape, cells.dtype) != (first.shape, first.dtype):
        raise DatasetError(
            f"all timepoints of {path.name} should be alike, but {first.name} is {first.shape} of {first.dtype} and "
            f"{cells.name} is {cells.shape} of {cells.dtype}: export the movie again with one size and type"
        )
