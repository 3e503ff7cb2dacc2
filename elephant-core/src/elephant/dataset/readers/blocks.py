"""Reading boxes of an image whose blocks are decompressed one by one, in several threads."""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import islice, product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elephant.dataset.workers import cores_of_this_task

_MOST_THREADS = 4  # more of them mostly wait for each other between blocks
_LEAST_BYTES = 1 << 20  # of a thread
_MOST_KEPT_BYTES = 24 << 20

# Of a block, along an axis: where it begins, and the part that is wanted, in the block, in the image and in the result.
_Part = tuple[int, slice, slice, slice]


class BlockImage(ABC):
    """An image, (Z, Y, X), that is stored in blocks of the same shape.

    Parameters
    ----------
    shape, chunks
        (Z, Y, X) of the image and of a block.
    dtype
        Type of the values.
    is_read_once
        Whether each value will be read once. Then blocks are kept, up to 24 MiB, until each of theirs has been read.
    """

    def __init__(
        self, shape: tuple[int, ...], chunks: tuple[int, ...], dtype: "np.dtype[Any]", *, is_read_once: bool
    ) -> None:
        self._shape = shape
        self._chunks = chunks
        self._dtype = dtype
        self._block_bytes = math.prod(chunks) * dtype.itemsize
        self._whole = tuple(slice(0, step) for step in chunks)
        self._most_kept = _MOST_KEPT_BYTES // self._block_bytes if is_read_once else 0
        self._kept: dict[tuple[int, ...], tuple[NDArray[Any], int]] = {}  # with how many values are still to be read

    @abstractmethod
    def _content(self, corner: tuple[int, ...]) -> NDArray[Any] | None:
        """Return the values of the block that begins at a corner, (Z, Y, X); None if `_otherwise` has them."""

    @abstractmethod
    def _otherwise(self, region: tuple[slice, ...]) -> NDArray[Any] | int:
        """Return the values of a part of a block for which `_content` returned None."""

    def __getitem__(self, region: tuple[slice, ...]) -> NDArray[Any]:
        """Return the values of a box, (Z, Y, X).

        Raises
        ------
        OSError, RuntimeError, ValueError
            A block is damaged.
        """
        values: NDArray[Any] = np.empty([s.stop - s.start for s in region], self._dtype)
        parts = [_parts(*each) for each in zip(region, self._chunks, strict=True)]
        n_bytes = math.prod(map(len, parts)) * self._block_bytes
        n_threads = min(_MOST_THREADS, cores_of_this_task(), 1 + n_bytes // _LEAST_BYTES)
        if n_threads == 1:
            self._read_into(values, product(*parts))
            return values
        with ThreadPoolExecutor(n_threads, "blocks") as pool:
            own = (islice(product(*parts), i, None, n_threads) for i in range(n_threads))
            shares = [pool.submit(self._read_into, values, each) for each in own]
            for share in shares:
                share.result()
        return values

    def _read_into(self, values: NDArray[Any], parts: Iterable[tuple[_Part, ...]]) -> None:
        for part in parts:
            corner, in_block, in_image, in_values = zip(*part, strict=True)
            content = self._content(corner) if in_block == self._whole else self._block(corner, in_block)
            values[in_values] = self._otherwise(in_image) if content is None else content[in_block]

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


def _parts(wanted: slice, step: int) -> list[_Part]:
    """Return the parts of blocks along an axis that are wanted."""
    found = []
    for corner in range(wanted.start // step * step, wanted.stop, step):
        start, stop = max(corner, wanted.start), min(corner + step, wanted.stop)
        in_block, in_values = (slice(start - at, stop - at) for at in (corner, wanted.start))
        found.append((corner, in_block, slice(start, stop), in_values))
    return found
