"""Which readers are installed, which of them reads a file, and which file of a folder is its movie."""

import logging
from pathlib import Path

from elephant.dataset.layout import ARRAYS
from elephant.dataset.readers import bdv_files
from elephant.dataset.readers.base import Reader
from elephant.dataset.readers.bigdataviewer import BigDataViewerReader
from elephant.dataset.readers.movie import Format
from elephant.dataset.source import SOURCE_FILE
from elephant.errors import DatasetError, ElephantError, InvalidInputError, PluginError
from elephant.plugins import Plugin, installed_classes

# It reads what nobody else claims, or says what it is instead.
BIGDATAVIEWER = Format(Plugin("reader", "bigdataviewer"), BigDataViewerReader)
_OTHERS_OF_A_MOVIE = (".xml",)

logger = logging.getLogger(__name__)


def formats() -> tuple[list[Format], list[PluginError]]:
    """Return the readers that are installed, by name, and what is wrong with those that cannot be loaded."""
    found, broken = installed_classes("reader", Reader)  # type: ignore[type-abstract]
    others = [Format(plugin, kind) for plugin, kind in found if plugin != BIGDATAVIEWER.plugin]
    return [BIGDATAVIEWER, *others], broken


def format_of_movie(path: Path, name: str | None = None) -> Format:
    """Return the reader of a movie.

    Parameters
    ----------
    path
        The file or folder.
    name
        Name of the reader; None for the one that claims the file.

    Raises
    ------
    InvalidInputError
        There is no reader of that name.
    DatasetError
        Several readers claim it, or have that name.
    PluginError
        Nobody claims it, and a reader cannot be loaded or failed to look at it.
    """
    if name is None and not path.exists():
        return BIGDATAVIEWER
    found, broken = formats()
    if name is not None:
        return _named(found, broken, name)
    claimants = _claimants(path, found[1:], broken)
    if not claimants and broken and not BIGDATAVIEWER.claims(path):
        raise broken[0]
    for error in broken:
        logger.warning("%s", error)
    if claimants and BIGDATAVIEWER.claims(path):
        claimants.append(BIGDATAVIEWER)
    if len(claimants) > 1:
        raise DatasetError(
            f"{path.name} is claimed by {' and by '.join(each.plugin.title for each in claimants)}: choose one with "
            "`reader`, or uninstall the other"
        )
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
        ``<name of the folder>.h5`` where it exists, else the first master file by name (``.h5`` or ``.hdf5``, in
        capitals or not). A file that another one links to, or that is named like a partition (``x-00-00.h5``), is no
        master. Where there is none, what another reader claims: that of the folder's name, else the first by name.
        None where there is no such file either.

    Raises
    ------
    DatasetError
        There are HDF5 files, but none of them is a movie, and no other file is.
    PluginError
        A reader cannot be loaded, and no file is claimed by another one.
    """
    try:
        movie = bdv_files.find_movie(folder)
    except DatasetError:
        if (other := _other_movie(folder)) is None:
            raise
        return other
    return _other_movie(folder) if movie is None else movie


def _other_movie(folder: Path) -> Path | None:
    places = _places(folder)
    if not places:
        return None
    found, broken = formats()
    for path in places:
        if _claimants(path, found[1:], broken):
            return path
    if broken:
        raise broken[0]
    return None


def _places(folder: Path) -> list[Path]:
    """Return what could be a movie in a dataset's folder: that of the folder's own name first."""
    if not folder.is_dir():
        return []
    places = [path for path in folder.iterdir() if not path.name.startswith(".") and path.name not in ARRAYS]
    places = [path for path in places if path.name != SOURCE_FILE and path.suffix.lower() not in _OTHERS_OF_A_MOVIE]
    return sorted(places, key=lambda path: (path.stem != folder.name, path.name))


def _claimants(path: Path, found: list[Format], broken: list[PluginError]) -> list[Format]:
    """Return which readers claim a file; one that fails to look at it joins those that are broken."""
    claimants = []
    for each in found:
        try:
            if each.claims(path):
                claimants.append(each)
        except ElephantError as error:
            broken.append(error if isinstance(error, PluginError) else PluginError(str(error)))
    return claimants


def _named(found: list[Format], broken: list[PluginError], name: str) -> Format:
    named = [each for each in found if each.plugin.name == name]
    if len(named) > 1:
        raise DatasetError(
            f"{' and '.join(each.plugin.title for each in named)} have the same name: uninstall one of the packages"
        )
    if named:
        return named[0]
    wrong = f"; {broken[0]}" if broken else ""
    names = ", ".join(each.plugin.name for each in found)
    raise InvalidInputError(f"expected `reader` to be one that is installed ({names}), got {name}{wrong}")
