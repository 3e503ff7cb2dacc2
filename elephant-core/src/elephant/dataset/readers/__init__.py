"""Which readers are installed, which file of a folder is its movie, and whether an uploaded movie is whole."""

import logging
import re
from collections.abc import Sequence
from pathlib import Path

from elephant.dataset.layout import ARRAYS
from elephant.dataset.readers.base import Reader
from elephant.dataset.readers.bdv_finding import lists_within
from elephant.dataset.readers.bdv_hdf5 import no_movie
from elephant.dataset.readers.bigdataviewer import BigDataViewerReader
from elephant.dataset.readers.file_patterns import is_pattern
from elephant.dataset.readers.foreign import how_to_install
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
from elephant.dataset.readers.movie import InstalledReader
from elephant.dataset.source import SOURCE_FILE
from elephant.errors import DatasetError, ElephantError, InvalidInputError, NotFoundError, PluginError
from elephant.io.addresses import address_of
from elephant.plugins import Plugin, installed_classes

_OTHER_FORMATS = (".tif", ".tiff", ".ims", ".n5", ".zarr", ".czi", ".nd2", ".lif", ".oib", ".lsm", ".klb", ".nrrd")
_PARTITION = re.compile(r"(.+)-\d{2,}-\d{2,}(\.[^.]+)")


def find_bdv_movie(folder: Path) -> Path | None:
    """Return the BigDataViewer movie that a dataset's folder holds.

    Parameters
    ----------
    folder
        The dataset's folder.

    Returns
    -------
    Path or None
        ``<name of the folder>.h5`` if it exists, otherwise the first master file by name; None if there is no HDF5
        file at all (``.h5`` or ``.hdf5``, in capitals or not). A file that another one links to, or that is named
        like a partition (``x-00-00.h5``), is not a master.

    Raises
    ------
    DatasetError
        There are HDF5 files, but none of them is a movie.
    """
    files = _hdf5_files(folder)
    own = [path for path in files if path.stem == folder.name]
    if own or not files:
        return min(own, key=_preference, default=None)
    # Links matter only if there may be partitions.
    linked = {name for path in files for name in _linked_files(path)} if len(files) > 1 else set()
    candidates = [path for path in files if path.name not in linked and not is_named_as_partition(path)]
    if not candidates:
        raise DatasetError(
            f"expected a movie in {folder.name}, got only partitions, such as {files[0].name}: put the master file "
            "that links to them beside them"
        )
    return _first_movie(candidates)


def movies_of_other_formats(folder: Path) -> list[str]:
    """Return the names of files and folders in a dataset's folder that look like movies of other formats, sorted."""
    if not folder.is_dir():
        return []
    names = (path.name for path in folder.iterdir())
    return sorted(n for n in names if n.lower().endswith(_OTHER_FORMATS) and n not in ARRAYS and not n.startswith("."))


def _hdf5_files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(p for p in folder.iterdir() if is_hdf5_name(p.name) and p.is_file() and not p.name.startswith("."))


def _preference(path: Path) -> tuple[int, str]:
    """Return the sort key of a file among those of one stem: ``.h5`` first."""
    return (SUFFIXES.index(path.suffix) if path.suffix in SUFFIXES else len(SUFFIXES), path.name)


def is_named_as_partition(path: Path) -> bool:
    """Return whether a file is one of those into which BigDataViewer splits a movie."""
    # Partitions are numbered from -00-00; a date at the end of a name looks alike otherwise.
    match = _PARTITION.fullmatch(path.name)
    return match is not None and path.with_name(f"{match[1]}-00-00{match[2]}").exists()


def _first_movie(candidates: Sequence[Path]) -> Path:
    """Return the first file with timepoints and setups, otherwise the first with timepoints."""
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
    others = f" ({more} other HDF5 file{'s' * (more > 1)} beside it: not a movie either)" if more else ""
    raise DatasetError(f"{errors[0]}{others}") from errors[0]


def _linked_files(path: Path) -> set[str]:
    """Return the names of the other files that hold timepoints of a movie."""
    try:
        with opened(path) as file:
            return {Path(name).name for name in external_links(file)}
    except (DatasetError, NotFoundError):
        return set()


def check_upload(path: Path, folder: Path, longest_padding: int) -> None:
    """Check an uploaded file: it can be opened, ends where it should, and its links have targets.

    Parameters
    ----------
    path
        The file, wherever it is now.
    folder
        Its destination, where the partitions of a split movie are.
    longest_padding
        Number of bytes that may follow the end of the file; more mean that a piece was sent twice.

    Raises
    ------
    DatasetError
        The file fails a check.
    """
    with opened(path) as file:
        named = set(external_links(file))
    leaving = sorted(name for name in named if leads_out(name, folder / path.name))
    if leaving:
        raise DatasetError(
            f"expected the partitions of {path.name} beside it, but one of them is {leaving[0]!r}, outside of its "
            "folder: export the movie again, with its partitions in the same folder"
        )
    linked = sorted({Path(name).name for name in named})
    missing = [name for name in linked if not (folder / name).is_file()]
    if missing:
        raise DatasetError(
            f"{path.name} is split into {len(linked)} partitions, but {missing[0]} is missing: "
            f"upload all partitions first, then {path.name} again"
        )
    size, end = path.stat().st_size, stated_end(path)
    if end is not None and size - end > longest_padding:
        raise DatasetError(
            f"expected {path.name} to end after {end} bytes, got {size}: some of it was sent twice, perhaps by two "
            "uploads at the same time; upload it again"
        )


# It reads what no other reader claims, or reports what the file is instead.
BIGDATAVIEWER = InstalledReader(Plugin("reader", "bigdataviewer"), BigDataViewerReader)
FILE_SERIES = "file-series"
_OTHERS_OF_A_MOVIE = (".xml",)
_MASK = re.compile(r"(mask|man_track|man_seg)\d+\.tif")  # exports for the Cell Tracking Challenge
_OF_ADDRESSES = "ome-zarr"  # of all formats, only this one is made for reading over a network

logger = logging.getLogger(__name__)


def installed_readers() -> tuple[list[InstalledReader], list[PluginError]]:
    """Return the installed readers, and the errors of those that cannot be loaded."""
    found, broken = installed_classes("reader", Reader)  # type: ignore[type-abstract]
    others = [InstalledReader(plugin, kind) for plugin, kind in found if plugin != BIGDATAVIEWER.plugin]
    return [BIGDATAVIEWER, *others], broken


def reader_of_movie(path: Path, name: str | None = None) -> InstalledReader:
    """Return the reader of a movie.

    Parameters
    ----------
    path
        The file or folder, or an address (see :mod:`elephant.io.addresses`).
    name
        Name of the reader; None for the one that claims the file.

    Raises
    ------
    InvalidInputError
        There is no reader of that name.
    DatasetError
        Several readers claim the file, or have that name; or a package that reads it is not installed.
    PluginError
        No reader claims the file, and one cannot be loaded or failed.
    """
    if name is None and address_of(path) is not None:
        name = _OF_ADDRESSES
    if name is None and not path.exists():
        if not is_pattern(path.name):
            return BIGDATAVIEWER
        name = FILE_SERIES
    found, broken = installed_readers()
    if name is not None:
        return _named(found, broken, name)
    claimants = _claimants(path, found[1:], broken)
    if not claimants and broken and not BIGDATAVIEWER.claims(path):
        raise broken[0]
    for error in broken:
        logger.warning("%s", error)
    # Who installs a package for a format wants it to read what the core reads as well.
    claimants = [each for each in claimants if not each.plugin.is_own] or claimants
    if claimants and BIGDATAVIEWER.claims(path):
        claimants.append(BIGDATAVIEWER)
    if len(claimants) > 1:
        raise DatasetError(
            f"{path.name} is claimed by {' and by '.join(each.plugin.title for each in claimants)}: choose one with "
            "`reader`, or uninstall the other"
        )
    if not claimants and path.is_file() and (remedy := how_to_install(path)):
        raise DatasetError(remedy)
    return claimants[0] if claimants else BIGDATAVIEWER


def find_movie(folder: Path) -> Path | None:
    """Return the movie that a dataset's folder holds.

    Parameters
    ----------
    folder
        The dataset's folder.

    Returns
    -------
    Path or None
        What :func:`find_bdv_movie` finds. If that is nothing, an ``.xml`` of BigDataViewer that lists images of
        OME-Zarr in this folder. Otherwise a file that another reader claims: the one with the folder's name, else the
        only one, or a pattern of names if there is a file for each timepoint. None if there is no such file either.

    Raises
    ------
    DatasetError
        There are HDF5 files, but none of them is a movie, and no other file is; or there are several other movies.
    PluginError
        A reader cannot be loaded, and no other one claims a file.
    """
    try:
        movie = find_bdv_movie(folder)
    except DatasetError:
        if (other := _other_movie(folder)) is None:
            raise
        return other
    return _other_movie(folder) if movie is None else movie


def _other_movie(folder: Path) -> Path | None:
    places = _places(folder)
    if not places:
        return None
    found, broken = installed_readers()
    claimed = {path: each for path in places if (each := _claimants(path, found[1:], broken))}
    if not claimed and broken:
        raise broken[0]
    # A folder of images beside a movie may hold anything.
    plain = [path for path, each in claimed.items() if not path.is_dir() or each[0].plugin.name != FILE_SERIES]
    own = [path for path in claimed if _is_named_as(folder, path)]
    return _only(folder, own or plain or list(claimed))


def _only(folder: Path, movies: list[Path]) -> Path | None:
    """Return the movie that these are; None if there are none."""
    if len(movies) < 2:
        return movies[0] if movies else None
    from elephant.dataset.readers.file_series import one_movie  # noqa: PLC0415 - loads tifffile

    movie = one_movie(folder, movies)
    if movie is None:
        raise DatasetError(
            f"expected one movie in the folder {folder.name}, got {len(movies)}, such as {movies[0].name} and "
            f"{movies[1].name}: keep one of them in the folder, or name it {folder.name}{movies[0].suffix}; files with "
            "a timepoint each differ in a single number"
        )
    return movie


def _is_named_as(folder: Path, path: Path) -> bool:
    return path.stem.removesuffix(".ome") == folder.name


def _places(folder: Path) -> list[Path]:
    """Return the possible movies in a dataset's folder, the one with the folder's name first.

    If an ``.xml`` lists images of OME-Zarr in this folder, that alone: each of them may be just a view of the movie.
    """
    if not folder.is_dir():
        return []
    places = [path for path in folder.iterdir() if not path.name.startswith(".") and path.name not in ARRAYS]
    others = [path for path in places if path.name != SOURCE_FILE and path.suffix.lower() not in _OTHERS_OF_A_MOVIE]
    others = [path for path in others if not _MASK.fullmatch(path.name)]
    return sorted(lists_within(folder) or others, key=lambda path: (not _is_named_as(folder, path), path.name))


def _claimants(path: Path, found: list[InstalledReader], broken: list[PluginError]) -> list[InstalledReader]:
    """Return the readers that claim a file; the error of one that fails is added to `broken`."""
    claimants = []
    for each in found:
        try:
            if each.claims(path):
                claimants.append(each)
        except ElephantError as error:
            broken.append(error if isinstance(error, PluginError) else PluginError(str(error)))
    return claimants


def _named(found: list[InstalledReader], broken: list[PluginError], name: str) -> InstalledReader:
    named = [each for each in found if each.plugin.name == name]
    named = [each for each in named if not each.plugin.is_own] or named
    if len(named) > 1:
        raise DatasetError(
            f"{' and '.join(each.plugin.title for each in named)} have the same name: uninstall one of the packages"
        )
    if named:
        return named[0]
    wrong = f"; {broken[0]}" if broken else ""
    names = ", ".join(each.plugin.name for each in found)
    raise InvalidInputError(f"expected `reader` to be an installed one ({names}), got {name}{wrong}")
