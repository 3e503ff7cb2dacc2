"""Finding the images that an ``.xml`` of BigDataViewer names, and the ``.xml`` that names images."""

import logging
import os
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from elephant.dataset.readers.bdv_xml import OtherFormatError, SpimData, read_spim_data
from elephant.errors import DatasetError, NotFoundError

HDF5_LOADERS = ("", "bdv.hdf5")
N5_LOADERS = ("bdv.n5",)
ZARR_LOADERS = ("bdv.multimg.zarr", "bdv.ome.zarr")
_MOST_FILES = 50  # a movie's folder usually has one

logger = logging.getLogger(__name__)


def find_spim_data(movie: Path) -> SpimData | None:
    """Read the ``.xml`` beside a movie.

    Parameters
    ----------
    movie
        The ``.h5``, or a link to it.

    Returns
    -------
    SpimData or None
        Of the ``.xml`` files that refer to the movie, the one with the movie's name, otherwise the first by name.

    Raises
    ------
    DatasetError
        The ``.xml`` with the movie's name is damaged, so that its missing views are not known.
    """
    for place in dict.fromkeys((movie, movie.resolve())):
        for path in _xmls_beside(place):
            if (data := _described_by(path, place)) is not None:
                return data
    return None


@dataclass(frozen=True, slots=True)
class Located:
    """Where a movie is.

    Attributes
    ----------
    path
        What the movie is found by again: its images, or its ``.xml`` if that is not beside them.
    images
        The file or folder of the images.
    described
        The content of the ``.xml``; None if there is none.
    """

    path: Path
    images: Path
    described: SpimData | None


def locate(path: Path, loaders: Collection[str], what: str) -> Located:
    """Find a movie's images and its ``.xml``.

    Parameters
    ----------
    path
        The images, whose ``.xml`` is looked for beside them, or an ``.xml``, which names its images.
    loaders
        The formats of the images that can be read.
    what
        Their name for people.

    Raises
    ------
    NotFoundError
        The ``.xml`` does not exist, or the images that it names.
    DatasetError
        The ``.xml`` is damaged, or its images are of another format, or on another machine.
    """
    if path.suffix.lower() != ".xml":
        return Located(path, path, find_spim_data(path))
    data = read_spim_data(path)
    images = images_of(data, loaders, what)
    try:
        again = find_spim_data(images)
    except DatasetError:
        again = None
    is_beside = again is not None and again.path.resolve() == path.resolve()
    return Located(images if is_beside else path, images, data)


def images_at(path: Path, loaders: Collection[str], what: str) -> Path:
    """Return the path of a movie's images, given that or its ``.xml``; see :func:`locate`."""
    return images_of(read_spim_data(path), loaders, what) if path.suffix.lower() == ".xml" else path


def images_of(data: SpimData, loaders: Collection[str], what: str) -> Path:
    """Return the path of the images that an ``.xml`` names; see :func:`locate`."""
    name = data.path.name
    if data.address:
        raise DatasetError(
            f"expected the images of {name} on this machine, got {data.address[:200]}: copy them here, and save the "
            "movie's .xml beside them"
        )
    if data.images is None or data.loader not in loaders:
        raise DatasetError(
            f"expected the images of {name} to be {what}, got the format {data.loader[:60] or 'of another program'}: "
            "save the movie as HDF5, N5 or OME-Zarr from BigDataViewer or BigStitcher"
        )
    if not data.images.exists():
        raise NotFoundError(f"{name} names the images {data.images}, which do not exist: put them in that place")
    return data.images


def lists_within(folder: Path) -> list[Path]:
    """Return the ``.xml`` files in a folder that list images of OME-Zarr which are in the same folder."""
    return [path for path in _xmls_in(folder) if _is_list_within(path, folder)]


def _is_list_within(path: Path, folder: Path) -> bool:
    try:
        data = read_spim_data(path)
    except (DatasetError, NotFoundError):
        return False
    if data.images is None or data.loader not in ZARR_LOADERS:
        return False
    # Only the names count: an .xml cannot create symbolic links, so those in the folder can be trusted.
    place, root = (os.path.abspath(each) for each in (data.images, folder))  # noqa: PTH100 - keeps links
    return place == root or place.startswith(root + os.sep)


def _xmls_in(folder: Path) -> list[Path]:
    found = sorted(p for p in folder.glob("*.[xX][mM][lL]") if not p.name.startswith("."))
    return [path for path in found[:_MOST_FILES] if path.is_file()]


def _xmls_beside(movie: Path) -> list[Path]:
    own = movie.with_suffix(".xml")
    others = sorted(p for p in movie.parent.glob("*.[xX][mM][lL]") if p != own and not p.name.startswith("."))
    return [path for path in (own, *others[:_MOST_FILES]) if path.is_file()]


def _described_by(path: Path, movie: Path) -> SpimData | None:
    is_own = path.stem == movie.stem
    try:
        data = read_spim_data(path)
    except DatasetError as error:
        if is_own and not isinstance(error, OtherFormatError):
            raise
        logger.info("%s is not used for %s: %s", path.name, movie.name, error)
        return None
    if data.describes(movie):
        return data
    if is_own:
        named = "no images" if data.images is None else f"the images {data.images.name}"
        logger.warning("%s names %s, not %s: it is not used", path.name, named, movie.name)
    return None
