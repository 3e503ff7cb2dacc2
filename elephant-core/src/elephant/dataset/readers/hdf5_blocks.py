"""Reading compressed HDF5 images block by block, decompressed outside of HDF5.

HDF5 decompresses with zlib, and one block at a time in a process. libdeflate takes a third of the time, and several
threads can use it. Whatever differs from the usual case, damage included, is left to HDF5, block by block.

References
----------
HDF5 File Format Specification Version 3.0, section IV.A.2.l, "The Data Storage - Filter Pipeline Message".
"""

import importlib
import logging
import math
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from itertools import product
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from elephant.dataset.workers import cores_of_this_task

_PACKAGE = "deflate"
_PIPELINES = ([h5py.h5z.FILTER_DEFLATE], [h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_DEFLATE])
_MOST_THREADS = 4  # more of them mostly wait for each other between blocks
_LEAST_BYTES = 1 << 20  # of a thread
_MOST_KEPT_BYTES = 24 << 20

logger = logging.getLogger(__name__)

_Inflate = Callable[[bytes, int], bytearray]
# Of a block, along an axis: where it begins, and the part that is wanted, in the block, in the image and in the result.
_Part = tuple[int, slice, slice, slice]


def fastest(cells: h5py.Dataset, *, is_read_once: bool = False) -> "h5py.Dataset | Blocks":
    """Return an image to be read by boxes: as :class:`Blocks` if it is compressed with deflate, otherwise as it is.

    Both return the same values and raise the same errors.

    Parameters
    ----------
    cells
        The image.
    is_read_once
        Whether each of its values will be read once.
    """
    inflate = _inflate()
    if inflate is None or cells.chunks is None:
        return cells
    settings = cells.id.get_create_plist()
    filters = [settings.get_filter(i)[0] for i in range(settings.get_nfilters())]
    # HDF5 converts values of other types, such as integers of 12 bits.
    is_plain = cells.id.get_type().equal(h5py.h5t.py_create(cells.dtype))
    if not is_plain or filters not in _PIPELINES:
        return cells
    return Blocks(cells, inflate, is_shuffled=len(filters) > 1, is_read_once=is_read_once)


class Blocks:
    """An image whose blocks are compressed with deflate, maybe after their bytes were shuffled.

    Parameters
    ----------
    cells
        The image; it stays open as long as this is used.
    inflate
        Returns the content of a zlib stream, given the most bytes that it may have.
    is_shuffled
        Whether the first bytes of all values come first, then the second ones.
    is_read_once
        Whether to keep blocks, up to 24 MiB, until each of their values has been read.
    """

    def __init__(self, cells: h5py.Dataset, inflate: _Inflate, *, is_shuffled: bool, is_read_once: bool) -> None:
        self._cells = cells
        self._inflate = inflate
        self._is_shuffled = is_shuffled
        self._dtype = cells.dtype
        self._shape = cells.shape
        self._chunks: tuple[int, ...] = cells.chunks
        self._block_bytes = math.prod(self._chunks) * cells.dtype.itemsize
        self._whole = tuple(slice(0, step) for step in self._chunks)
        self._most_kept = _MOST_KEPT_BYTES // self._block_bytes if is_read_once else 0
        self._kept: dict[tuple[int, ...], tuple[NDArray[Any], int]] = {}  # with how many values are still to be read

    def __getitem__(self, region: tuple[slice, ...]) -> NDArray[Any]:
        """Return the values of a box, (Z, Y, X).

        Raises
        ------
        OSError, RuntimeError
            A block is damaged.
        """
        values: NDArray[Any] = np.empty([s.stop - s.start for s in region], self._dtype)
        parts = list(product(*map(_parts, region, self._chunks)))
        n_threads = min(_MOST_THREADS, cores_of_this_task(), 1 + len(parts) * self._block_bytes // _LEAST_BYTES)
        if n_threads == 1:
            self._read_into(values, parts)
            return values
        with ThreadPoolExecutor(n_threads, "blocks") as pool:
            shares = [pool.submit(self._read_into, values, parts[i::n_threads]) for i in range(n_threads)]
            for share in shares:
                share.result()
        return values

    def _read_into(self, values: NDArray[Any], parts: Iterable[tuple[_Part, ...]]) -> None:
        for part in parts:
            corner, in_block, in_image, in_values = zip(*part, strict=True)
            content = self._content(corner) if in_block == self._whole else self._block(corner, in_block)
            values[in_values] = self._cells[in_image] if content is None else content[in_block]

    def _block(self, corner: tuple[int, ...], wanted: tuple[slice, ...]) -> NDArray[Any] | None:
        """Return the values of a block, and keep it if others of them have still to be read, and there is room."""
        content, n_left = self._kept.pop(corner, (None, 0))
        if content is None:
            content = self._content(corner)
            if content is not None and not any(part.start for part in wanted) and len(self._kept) < self._most_kept:
                sizes = zip(self._shape, corner, self._chunks, strict=True)
                n_left = math.prod(min(size - at, step) for size, at, step in sizes)
        n_left -= math.prod(part.stop - part.start for part in wanted)
        if content is not None and n_left > 0:
            self._kept[corner] = content, n_left
        return content

    def _content(self, corner: tuple[int, ...]) -> NDArray[Any] | None:
        """Return the values of a block; None if HDF5 has to read it: it is missing, damaged or stored otherwise."""
        try:
            skipped, stored = self._cells.id.read_direct_chunk(corner)
            # At the edges of an image, blocks may be uncompressed without being marked so.
            if skipped or len(stored) == self._block_bytes:
                return None
            content: bytes | bytearray = self._inflate(stored, self._block_bytes)
        except Exception:  # noqa: BLE001 - HDF5 tells what is wrong
            return None
        if len(content) < self._block_bytes:  # HDF5 would return whatever is in memory behind it
            raise OSError(f"expected {self._block_bytes} bytes of the block at {corner}, got {len(content)}")
        if self._is_shuffled:
            content = np.frombuffer(content, np.uint8).reshape(self._dtype.itemsize, -1).T.tobytes()
        return np.frombuffer(content, self._dtype).reshape(self._chunks)


def _parts(wanted: slice, step: int) -> list[_Part]:
    """Return the parts of blocks along an axis that are wanted."""
    found = []
    for corner in range(wanted.start // step * step, wanted.stop, step):
        start, stop = max(corner, wanted.start), min(corner + step, wanted.stop)
        in_block, in_values = (slice(start - at, stop - at) for at in (corner, wanted.start))
        found.append((corner, in_block, slice(start, stop), in_values))
    return found


@lru_cache(maxsize=1)
def _inflate() -> _Inflate | None:
    try:
        inflate: _Inflate = importlib.import_module(_PACKAGE).zlib_decompress
    except (ImportError, OSError) as error:
        logger.debug("%s is not installed: %s", _PACKAGE, error)
        return None
    return inflate
