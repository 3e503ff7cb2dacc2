"""Recognising whether a movie was replaced by another one of the same name, in about a second, whatever its size.

What the file system says of the files is looked at first, which costs nothing. Where that differs, as it does after a
copy too, a digest of the images tells: of all values of a small movie, and of blocks spread over the timepoints of a
large one. It is of values, so a movie that was copied, packed anew or got another source is still the same; a change of
a few voxels of a large movie may go unnoticed.
"""

import math
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from elephant.dataset.layout import grow, regions
from elephant.dataset.source import FileStamp
from elephant.types import Shape

Block = tuple[slice, ...]

METHOD = 1  # another one where the same movie would get another digest

_MOST_BYTES = 32 << 20  # of values, where the movie's blocks are not larger than that
_MOST_BLOCKS = 512
_LEAST_BLOCKS = 8
_LEAST_BLOCK_BYTES = 32 << 10
LARGEST_BLOCK_BYTES = 128 << 20  # larger ones are not looked at: a check must not take much memory
_GOLDEN = (math.sqrt(5) - 1) / 2  # its multiples spread evenly over 0 to 1


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


def stamps_of(folder: Path, files: Iterable[Path]) -> tuple[FileStamp, ...]:
    """Return what the file system says of files, named from a folder on; those that are gone are left out."""
    found = (stamp_of(folder, os.path.relpath(path, folder)) for path in files)
    return tuple(stamp for stamp in found if stamp is not None)


def unit_of(stored: Shape, shape: Shape, itemsize: int) -> Shape:
    """Return the shape of the blocks that are looked at: those in which an image is stored, or several of them."""
    return grow(tuple(stored), tuple(shape), _LEAST_BLOCK_BYTES // itemsize)


def content(image: Any, block: Block) -> bytes:
    """Return the values of a block of an image, little-endian; a damaged one is told by whoever needs it."""
    try:
        values = np.asarray(image[block])
    except (OSError, RuntimeError, ValueError):
        return b"damaged"
    return np.ascontiguousarray(values, values.dtype.newbyteorder("<")).tobytes()


def samples(n_timepoints: int, shape: Shape, unit: Shape, itemsize: int) -> Iterator[tuple[int, list[Block]]]:
    """Yield the places of timepoints to look at, and the blocks of each: all of a small movie, else some.

    Parameters
    ----------
    n_timepoints
        T.
    shape
        (Z, Y, X) of a timepoint.
    unit
        Of the blocks: see :func:`unit_of`.
    itemsize
        Bytes of a value.
    """
    if n_timepoints <= _MOST_BLOCKS and n_timepoints * math.prod(shape) * itemsize <= _MOST_BYTES:
        yield from ((place, list(regions(shape, unit))) for place in range(n_timepoints))
        return
    n_blocks = min(_MOST_BLOCKS, max(_LEAST_BLOCKS, _MOST_BYTES // (math.prod(unit) * itemsize)))
    places = _spread(n_timepoints, n_blocks)
    each = n_blocks // len(places)
    for place in places:
        yield place, _some_blocks(shape, unit, place, each)


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
