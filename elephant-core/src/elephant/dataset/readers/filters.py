"""The filters that blocks of an HDF5 file are packed with: loading them, and naming those that are not there."""

import importlib
import logging
from collections.abc import Sequence
from functools import lru_cache

import h5py

from elephant.errors import DatasetError

# As registered with the HDF Group; those that images are packed with.
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
    """Make filters ready in this process, and return those that are not to be had."""
    missing = _missing(numbers)
    return _missing(missing) if missing and _load_package() else missing


def check_filters(cells: h5py.Dataset, movie: str) -> tuple[int, ...]:
    """Return the numbers of an image's filters, all of which are ready.

    Parameters
    ----------
    cells
        The image.
    movie
        Name of the movie's file.

    Raises
    ------
    DatasetError
        A filter is not to be had; it is named, with a way around it.
    """
    settings = cells.id.get_create_plist()
    found = [settings.get_filter(i) for i in range(settings.get_nfilters())]
    numbers = tuple(number for number, *_ in found)
    if missing := load_filters(numbers):
        names = {number: _NAMES.get(number) or _readable(name) for number, _, _, name in found}
        what = " and ".join(f"{number} ({names[number] or 'of unknown name'})" for number in missing)
        install = "" if _load_package() else f"; or install the Python package {_PACKAGE}, which reads most filters"
        raise DatasetError(
            f"the images of {movie} are packed with the HDF5 filter {what}, which is not installed here: repack them "
            f"where it is, with `h5repack -f GZIP=4 {movie} repacked.h5`{install}"
        )
    return numbers


def _missing(numbers: Sequence[int]) -> list[int]:
    return [number for number in numbers if not h5py.h5z.filter_avail(number)]


def _readable(name: bytes) -> str:
    """Return the name that whoever packed the image gave its filter."""
    return name.decode("utf-8", "replace").split(";")[0][:60]


@lru_cache(maxsize=1)
def _load_package() -> bool:
    """Load the package, which makes its filters known to HDF5."""
    try:
        importlib.import_module(_PACKAGE)
    except (ImportError, OSError) as error:
        logger.debug("%s is not there: %s", _PACKAGE, error)
        return False
    return True
