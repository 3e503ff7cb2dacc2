"""Telling a movie from another one of the same name, whatever its size, in about a second.

What the file system says of the files is looked at first, which costs nothing. Where that differs, as it does after a
copy too, a digest of the images tells: of all values of a small movie, and of blocks spread over the timepoints of a
large one. It is of values, so a movie that was copied, packed anew or got another source is still the same; a change of
a few voxels of a large movie may go unnoticed.
"""

import hashlib
import math
import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import h5py
import numpy as np

from elephant.dataset.layout import grow, regions
from elephant.dataset.readers.bdv_views import numbered
from elephant.dataset.readers.filters import check_filters
from elephant.dataset.readers.hdf5 import SETUP, TIMEPOINT, check_links, external_links, is_beside, opened
from elephant.dataset.source import FileStamp, Fingerprint
from elephant.progress import CancelToken
from elephant.types import Shape

Block = tuple[slice, ...]

METHOD = 1  # another one where the same movie would get another digest

_MOST_BYTES = 32 << 20  # of values, where the movie's blocks are not larger than that
_MOST_BLOCKS = 512
_LEAST_BLOCKS = 8
_LEAST_BLOCK_BYTES = 32 << 10
_LARGEST_BLOCK_BYTES = 128 << 20  # larger ones are not looked at: a check must not take much memory
_GOLDEN = (math.sqrt(5) - 1) / 2  # its multiples spread evenly over 0 to 1


def fingerprint(path: Path, setup: int | None, cancel: CancelToken) -> Fingerprint:
    """Return what a movie is known by.

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
    with opened(path) as file:
        partitions = sorted(set(_partitions(file, path)))
    files = [stamp_of(path.parent, name) for name in (path.name, *partitions)]
    return Fingerprint(
        files=tuple(found for found in files if found is not None),
        method=METHOD,
        digest=digest_of(path, setup, cancel),
    )


def is_same(path: Path, setup: int | None, known: Fingerprint, cancel: CancelToken) -> bool:
    """Tell whether a movie is still the one that a fingerprint was taken of; errors are those of :func:`digest_of`."""
    stamps = tuple(stamp_of(path.parent, stamp.name) for stamp in known.files)
    return stamps == known.files or digest_of(path, setup, cancel) == known.digest


def stamp_of(folder: Path, name: str) -> FileStamp | None:
    """Return what the file system says of a file; None where there is none that could be a movie's."""
    with suppress(OSError, ValueError):
        found = (folder / name).stat()
        if stat.S_ISREG(found.st_mode):
            return FileStamp(
                name=name,
                size=found.st_size,
                mtime_ns=found.st_mtime_ns,
                ctime_ns=found.st_ctime_ns,
                inode=found.st_ino,
            )
    return None


def digest_of(path: Path, setup: int | None, cancel: CancelToken) -> str:
    """Return a digest of sizes, type and values of a source's images.

    Parameters
    ----------
    path, setup, cancel
        As of :func:`fingerprint`.

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
        for place, blocks in _samples(len(names), first):
            cells = _cells(file, names[place], setup, path)
            if cells is None:
                digest.update(f"{place}: none".encode())
                continue
            digest.update(f"{place}: {cells.shape} {cells.dtype.name}".encode())
            for block in blocks:
                cancel.check()
                digest.update(_content(cells, block))
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
    if cells.is_virtual or cells.external or math.prod(_unit(cells)) * cells.dtype.itemsize > _LARGEST_BLOCK_BYTES:
        return None
    check_filters(cells, path.name)
    return cells


def _unit(cells: h5py.Dataset) -> Shape:
    """Return the shape of the blocks that are looked at: those in which it is stored, or several of them."""
    stored = tuple(cells.chunks or (1, 1, cells.shape[2]))
    return grow(stored, cells.shape, _LEAST_BLOCK_BYTES // cells.dtype.itemsize)


def _content(cells: h5py.Dataset, block: Block) -> bytes:
    """Return the values of a block, little-endian; a damaged one is told by whoever needs it."""
    try:
        values = cells[block]
    except (OSError, RuntimeError, ValueError):
        return b"damaged"
    return np.ascontiguousarray(values, values.dtype.newbyteorder("<")).tobytes()


def _samples(n_timepoints: int, first: h5py.Dataset | None) -> Iterator[tuple[int, list[Block]]]:
    """Yield the places of timepoints to look at, and the blocks of each: all of a small movie, else some."""
    if first is None:
        return
    unit = _unit(first)
    if n_timepoints <= _MOST_BLOCKS and n_timepoints * first.nbytes <= _MOST_BYTES:
        yield from ((place, list(regions(first.shape, unit))) for place in range(n_timepoints))
        return
    n_blocks = min(_MOST_BLOCKS, max(_LEAST_BLOCKS, _MOST_BYTES // (math.prod(unit) * first.dtype.itemsize)))
    places = _spread(n_timepoints, n_blocks)
    each = n_blocks // len(places)
    for place in places:
        yield place, _some_blocks(first.shape, unit, place, each)


def _spread(n: int, most: int) -> list[int]:
    """Return at most so many of the numbers below `n`, with the first and the last, in no regular steps."""
    if n <= most:
        return list(range(n))
    inner = (int((i + (i * _GOLDEN) % 1) * n / most) for i in range(1, most - 1))
    return sorted({0, n - 1, *inner})


def _some_blocks(shape: Shape, unit: Shape, place: int, count: int) -> list[Block]:
    """Return the block in the middle of an image, and others that are not the same in each timepoint."""
    grid = [math.ceil(size / edge) for size, edge in zip(shape, unit, strict=True)]
    n = math.prod(grid)
    middle = int(np.ravel_multi_index([g // 2 for g in grid], grid))
    chosen = {middle, *(int(((place + 1) * (k + 1) * _GOLDEN) % 1 * n) for k in range(count - 1))}
    corners = (np.unravel_index(i, grid) for i in sorted(chosen))
    return [
        tuple(slice(int(c) * u, min((int(c) + 1) * u, s)) for c, u, s in zip(corner, unit, shape, strict=True))
        for corner in corners
    ]
