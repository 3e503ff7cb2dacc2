"""What a BigDataViewer movie is known by: sizes, type, and sampled values of the images of a source."""

import hashlib
import math
import os
from collections.abc import Iterator
from pathlib import Path

import h5py

from elephant.dataset.fingerprint import LARGEST_BLOCK_BYTES, content, samples, unit_of
from elephant.dataset.readers.bdv_views import numbered
from elephant.dataset.readers.filters import check_filters
from elephant.dataset.readers.hdf5 import SETUP, TIMEPOINT, check_links, external_links, is_beside, opened
from elephant.progress import CancelToken


def files_of(path: Path) -> tuple[Path, ...]:
    """Return the file of a movie, and those of its partitions that are there."""
    with opened(path) as file:
        return (path, *(path.parent / name for name in sorted(set(_partitions(file, path)))))


def digest_of(path: Path, setup: int | None, cancel: CancelToken) -> str:
    """Return a digest of sizes, type and values of a source's images.

    Parameters
    ----------
    path
        The ``.h5``, a master file where the movie is split.
    setup
        Number of the source that counts; None for the first of each timepoint.
    cancel
        Asked for every block.

    Raises
    ------
    NotFoundError
        There is no such file.
    DatasetError
        It cannot be read.
    """
    digest = hashlib.blake2b(digest_size=16)
    with opened(path) as file:
        timepoints = numbered(file, TIMEPOINT)
        names = list(timepoints.values())
        digest.update(repr(list(timepoints)).encode())
        first = next((cells for name in names if (cells := _cells(file, name, setup, path)) is not None), None)
        if first is None:
            return digest.hexdigest()
        for place, blocks in samples(len(names), first.shape, _unit(first), first.dtype.itemsize):
            cells = _cells(file, names[place], setup, path)
            if cells is None:
                digest.update(f"{place}: none".encode())
                continue
            digest.update(f"{place}: {cells.shape} {cells.dtype.name}".encode())
            for block in blocks:
                cancel.check()
                digest.update(content(cells, block))
    return digest.hexdigest()


def _partitions(file: h5py.File, path: Path) -> Iterator[str]:
    """Yield the partitions that are there, relative to the movie's folder."""
    for name in external_links(file):
        # HDF5 looks for what is not where the link says beside the movie.
        for candidate in (name, Path(name).name):
            if is_beside(candidate, path) and (path.parent / candidate).is_file():
                yield os.path.relpath(path.parent / candidate, path.parent)
                break


def _cells(file: h5py.File, timepoint: str, setup: int | None, path: Path) -> h5py.Dataset | None:
    """Return the image of a source at a timepoint; None where there is none that can be looked at here."""
    check_links(file, timepoint, path)
    group = file.get(timepoint)
    setups = numbered(group, SETUP) if isinstance(group, h5py.Group) else {}
    number = min(setups, default=None) if setup is None else setup
    if number not in setups:
        return None
    name = f"{timepoint}/{setups[number]}/0/cells"
    check_links(file, name, path)
    cells = file.get(name)
    if not isinstance(cells, h5py.Dataset) or cells.ndim != 3 or min(cells.shape) < 1:
        return None
    if cells.is_virtual or cells.external or math.prod(_unit(cells)) * cells.dtype.itemsize > LARGEST_BLOCK_BYTES:
        return None
    check_filters(cells, path.name)
    return cells


def _unit(cells: h5py.Dataset) -> tuple[int, ...]:
    return unit_of(cells.chunks or (1, 1, cells.shape[2]), cells.shape, cells.dtype.itemsize)
