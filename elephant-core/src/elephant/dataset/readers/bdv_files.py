"""The HDF5 files of a folder: which one is the movie, and whether one that was uploaded is whole."""

import re
from collections.abc import Sequence
from pathlib import Path

from elephant.dataset.layout import ARRAYS
from elephant.dataset.readers.bdv_views import no_movie
from elephant.dataset.readers.hdf5 import (
    SETUP,
    SUFFIXES,
    TIMEPOINT,
    external_links,
    is_hdf5_name,
    leads_out,
    opened,
    stated_end,
)
from elephant.errors import DatasetError, ElephantError, NotFoundError

_OTHER_FORMATS = (".tif", ".tiff", ".ims", ".n5", ".zarr", ".czi", ".nd2", ".lif", ".oib", ".lsm", ".klb", ".nrrd")
_PARTITION = re.compile(r"(.+)-\d{2,}-\d{2,}(\.[^.]+)")


def find_movie(folder: Path) -> Path | None:
    """Return the BigDataViewer movie that a dataset's folder holds.

    Parameters
    ----------
    folder
        The dataset's folder.

    Returns
    -------
    Path or None
        ``<name of the folder>.h5`` where it exists, else the first master file by name; None where there is no HDF5
        file at all (``.h5`` or ``.hdf5``, in capitals or not). A file that another one links to, or that is named
        like a partition (``x-00-00.h5``), is no master.

    Raises
    ------
    DatasetError
        There are HDF5 files, but none of them is a movie.
    """
    files = _hdf5_files(folder)
    own = [path for path in files if path.stem == folder.name]
    if own or not files:
        return min(own, key=_preference, default=None)
    # What links to partitions is worth knowing only where there may be some.
    linked = {name for path in files for name in _linked_files(path)} if len(files) > 1 else set()
    candidates = [path for path in files if path.name not in linked and not _is_named_as_partition(path)]
    if not candidates:
        raise DatasetError(
            f"expected a movie in {folder.name}, got partitions alone, {files[0].name} first: put the master file that "
            "links to them beside them"
        )
    return _first_movie(candidates)


def movies_of_other_formats(folder: Path) -> list[str]:
    """Return the names of what in a dataset's folder looks like a movie of another format, in order."""
    if not folder.is_dir():
        return []
    names = (path.name for path in folder.iterdir())
    return sorted(n for n in names if n.lower().endswith(_OTHER_FORMATS) and n not in ARRAYS and not n.startswith("."))


def _hdf5_files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(p for p in folder.iterdir() if is_hdf5_name(p.name) and p.is_file() and not p.name.startswith("."))


def _preference(path: Path) -> tuple[int, str]:
    """Return the place of a file among those of one stem: ``.h5`` first."""
    return (SUFFIXES.index(path.suffix) if path.suffix in SUFFIXES else len(SUFFIXES), path.name)


def _is_named_as_partition(path: Path) -> bool:
    # Partitions are numbered from -00-00; a date at the end of a name looks alike otherwise.
    match = _PARTITION.fullmatch(path.name)
    return match is not None and path.with_name(f"{match[1]}-00-00{match[2]}").exists()


def _first_movie(candidates: Sequence[Path]) -> Path:
    """Return the first file that is described as a movie, else the first that has timepoints."""
    fallback: Path | None = None
    errors: list[ElephantError] = []
    for path in candidates:
        try:
            with opened(path) as file:
                if not any(TIMEPOINT.fullmatch(name) for name in file):
                    raise no_movie(file, path)
                if any(SETUP.fullmatch(name) for name in file):
                    return path
        except (DatasetError, NotFoundError) as error:
            errors.append(error)
        else:
            fallback = fallback or path
    if fallback is not None:
        return fallback
    more = len(errors) - 1
    others = f" ({more} other HDF5 file{'s' * (more > 1)} beside it: no movie either)" if more else ""
    raise DatasetError(f"{errors[0]}{others}") from errors[0]


def _linked_files(path: Path) -> set[str]:
    """Return the names of the files that the timepoints of a movie lie in, other than its own."""
    try:
        with opened(path) as file:
            return {Path(name).name for name in external_links(file)}
    except (DatasetError, NotFoundError):
        return set()


def check_upload(path: Path, folder: Path, longest_padding: int) -> None:
    """Check that a file can take its place: it opens, ends where it should, and what it links to is there.

    Parameters
    ----------
    path
        The file, wherever it lies.
    folder
        Where it is going to be, and where the partitions of a movie are that is split.
    longest_padding
        How many bytes may follow the end of the file. More of them come from a piece that was sent twice.

    Raises
    ------
    DatasetError
        Something is wrong with it.
    """
    with opened(path) as file:
        named = set(external_links(file))
    leaving = sorted(name for name in named if leads_out(name, folder / path.name))
    if leaving:
        raise DatasetError(
            f"{path.name} should have its partitions beside it, but one of them is {leaving[0]!r}, outside of its "
            "folder: export the movie again, with its partitions in the same folder"
        )
    linked = sorted({Path(name).name for name in named})
    missing = [name for name in linked if not (folder / name).is_file()]
    if missing:
        raise DatasetError(
            f"{path.name} is split into {len(linked)} partitions, but {missing[0]} is not there: "
            f"upload all partitions first, then {path.name} again"
        )
    size, end = path.stat().st_size, stated_end(path)
    if end is not None and size - end > longest_padding:
        raise DatasetError(
            f"{path.name} should end after {end} bytes, but {size} came: some of it came twice, for instance from two "
            "uploads at the same time; upload it again"
        )
