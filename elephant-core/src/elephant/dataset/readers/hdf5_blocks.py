"""Reading compressed HDF5 images block by block, decompressed outside of HDF5.

HDF5 decompresses with zlib, and one block at a time in a process. libdeflate takes a third of the time, and several
threads can use it. Whatever differs from the usual case, damage included, is left to HDF5, block by block.

References
----------
HDF5 File Format Specification Version 3.0, section IV.A.2.l, "The Data Storage - Filter Pipeline Message".
"""

import importlib
import logging
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from elephant.dataset.readers.blocks import BlockImage

_PACKAGE = "deflate"
_PIPELINES = ([h5py.h5z.FILTER_DEFLATE], [h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_DEFLATE])

logger = logging.getLogger(__name__)

_Inflate = Callable[[bytes, int], bytearray]


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


class Blocks(BlockImage):
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
        As of :class:`BlockImage`.
    """

    def __init__(self, cells: h5py.Dataset, inflate: _Inflate, *, is_shuffled: bool, is_read_once: bool) -> None:
        super().__init__(cells.shape, cells.chunks, cells.dtype, is_read_once=is_read_once)
        self._cells = cells
        self._inflate = inflate
        self._is_shuffled = is_shuffled

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

    def _otherwise(self, region: tuple[slice, ...]) -> NDArray[Any]:
        """Return what HDF5 reads."""
        values: NDArray[Any] = self._cells[region]
        return values


@lru_cache(maxsize=1)
def _inflate() -> _Inflate | None:
    try:
        inflate: _Inflate = importlib.import_module(_PACKAGE).zlib_decompress
    except (ImportError, OSError) as error:
        logger.debug("%s is not installed: %s", _PACKAGE, error)
        return None
    return inflate
