"""The images of a BigDataViewer movie in HDF5, its files, and the digest by which it is recognised."""

import hashlib
import math
import os
from collections.abc import Collection, Iterator
from pathlib import Path

import h5py

from elephant.dataset.readers.bdv_views import MOST_LEVELS, numbered
from elephant.dataset.readers.formats import content_of_hdf5
from elephant.dataset.readers.hdf5 import (
    SETUP,
    TIMEPOINT,
    check_filters,
    check_links,
    external_links,
    is_beside,
    opened,
)
from elephant.dataset.readers.hdf5_blocks import fastest
from elephant.dataset.source import LARGEST_BLOCK_BYTES, content, samples, unit_of
from elephant.errors import DatasetError
from elephant.progress import CancelToken


def at_level(name: str, level: int) -> str:
    """Return the name of another level of an image."""
    view, _, _ = name.rsplit("/", 2)
    return f"{view}/{level}/cells"


def resolutions(file: h5py.File, setup: int, path: Path) -> list[tuple[float, ...]]:
    """Return by what each level of a source is reduced along Z, Y, X; none if the file does not say."""
    name = f"s{setup:02d}/resolutions"
    found = file.get(name) if check_links(file, name, path) else None
    if not isinstance(found, h5py.Dataset) or found.ndim != 2 or found.shape[1] != 3 or len(found) > MOST_LEVELS:
        return []
    is_plain = not found.is_virtual and not found.external and found.dtype.kind in "iuf"
    return [tuple(map(float, row[::-1])) for row in found[:]] if is_plain else []


class HDF5Images:
    """The images of a movie in an open HDF5 file.

    Parameters
    ----------
    file
        The file.
    path
        Its path.

    Raises
    ------
    DatasetError
        It has no timepoints.
    """

    def __init__(self, file: h5py.File, path: Path) -> None:
        self._file = file
        self._path = path
        self._groups = numbered(file, TIMEPOINT)
        if not self._groups:
            raise no_movie(file, path)

    def timepoints(self) -> Collection[int]:
        """Return the numbers of the groups ``/tTTTTT``."""
        return self._groups.keys()

    def setups(self) -> Collection[int]:
        """Return the numbers of ``/sSS``; if there are none, of those in the timepoints."""
        found = set(numbered(self._file, SETUP))
        if not found:
            for name in self._groups.values():
                check_links(self._file, name, self._path)
                group = self._file.get(name)
                found.update(numbered(group, SETUP) if isinstance(group, h5py.Group) else ())
        return found

    def name(self, timepoint: int, setup: int) -> str:
        """Return the name of an image of full resolution, whether it exists or not."""
        return f"{self._groups.get(timepoint, f't{timepoint:05d}')}/s{setup:02d}/0/cells"

    def has(self, timepoint: int, setup: int) -> bool:
        """Return whether an image exists; a broken link counts as existing."""
        return timepoint in self._groups and check_links(self._file, self.name(timepoint, setup), self._path)


def no_movie(file: h5py.File, path: Path) -> DatasetError:
    """Return the error for an HDF5 file that is not a movie."""
    return DatasetError(
        f"expected {path.name} to be an HDF5 file of BigDataViewer with the groups t00000, t00001, ..., got "
        f"{content_of_hdf5(file)}: export the movie as HDF5 from BigDataViewer"
    )


def files_of(path: Path) -> tuple[Path, ...]:
    """Return the file of a movie, and those of its partitions that exist."""
    with opened(path) as file:
        return (path, *(path.parent / name for name in sorted(set(_partitions(file, path)))))


def digest_of(path: Path, setup: int | None, cancel: CancelToken) -> str:
    """Return a digest of sizes, type and values of a source's images.

    Parameters
    ----------
    path
        The ``.h5``, or the master file if the movie is split.
    setup
        Number of the source to read; None for the first of each timepoint.
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
            image = fastest(cells)
            for block in blocks:
                cancel.check()
                digest.update(content(image, block))
    return digest.hexdigest()


def _partitions(file: h5py.File, path: Path) -> Iterator[str]:
    """Yield the partitions that exist, relative to the movie's folder."""
    for name in external_links(file):
        # HDF5 looks beside the movie for a file that is not where the link says.
        for candidate in (name, Path(name).name):
            if is_beside(candidate, path) and (path.parent / candidate).is_file():
                yield os.path.relpath(path.parent / candidate, path.parent)
                break


def _cells(file: h5py.File, timepoint: str, setup: int | None, path: Path) -> h5py.Dataset | None:
    """Return the image of a source at a timepoint; None if there is none that can be read for a digest."""
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
