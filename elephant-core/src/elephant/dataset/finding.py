"""Which file of a dataset's folder is its movie."""

import re
from collections.abc import Iterator
from pathlib import Path

import h5py

from elephant.dataset.bigdataviewer import SETUP, TIMEPOINT, numbered, opened
from elephant.errors import DatasetError, NotFoundError

_PARTITION = re.compile(r"(.+)-\d{2,}-\d{2,}\.h5")


def find_movie(folder: Path) -> Path | None:
    """Return the movie that a dataset's folder holds.

    Parameters
    ----------
    folder
        The dataset's folder.

    Returns
    -------
    Path or None
        ``<name of the folder>.h5`` where it exists, else the first master file by name, else None. A file
        that another one links to, or that is named like a partition (``x-00-00.h5``), is no master.
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
        with opened(path) as file:
            return bool(numbered(file, SETUP)) and bool(numbered(file, TIMEPOINT))
    except (DatasetError, NotFoundError):
        return False


def _linked_files(path: Path) -> set[str]:
    """Return the names of the files that the timepoints of a movie lie in, other than its own."""
    try:
        with opened(path) as file:
            return {Path(name).name for name in external_links(file)}
    except (DatasetError, NotFoundError):
        return set()


def external_links(group: h5py.Group, depth: int = 0) -> Iterator[str]:
    """Yield the file names, as they are written, of the external links of a movie down to ``/tTTTTT/sSS/L``."""
    for name in group:
        if depth == 0 and not TIMEPOINT.fullmatch(name):
            continue
        link = group.get(name, getlink=True)
        if isinstance(link, h5py.ExternalLink):
            yield link.filename
        elif depth < 2 and isinstance(child := group.get(name), h5py.Group):
            yield from external_links(child, depth + 1)
