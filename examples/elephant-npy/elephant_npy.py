"""Movies as NumPy arrays: T, Z, Y, X, or T, Y, X, in an ``.npy`` file."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import numpy as np

from elephant.dataset.readers.base import Reader
from elephant.errors import DatasetError
from elephant.progress import CancelToken


class NpyReader(Reader):
    """Reads an ``.npy`` file, a piece at a time."""

    suffixes = (".npy",)

    @classmethod
    def open(cls, path: Path, setup: int | None, *, fill_gaps: bool, cancel: CancelToken) -> Self:
        """Look at the header of the file; such a file has one source, and no gaps."""
        try:
            array = np.load(path, mmap_mode="r")
        except (ValueError, EOFError) as error:
            raise DatasetError(f"{path.name} is no array of numbers, or not whole: save it again") from error
        if array.ndim not in (3, 4) or array.size == 0:
            raise DatasetError(f"expected {path.name} to be T, Z, Y, X or T, Y, X, got the shape {array.shape}")
        shape = (*(1,) * (4 - array.ndim), *array.shape[1:])
        return cls(path=path, shape=shape, dtype=array.dtype.name, n_timepoints=len(array), stored_bytes=array.nbytes)

    @contextmanager
    def timepoint(self, t: int) -> Iterator[np.ndarray]:
        """Map the file into memory; what is not asked for stays on the disk."""
        image = np.load(self.path, mmap_mode="r")[t]
        yield image if image.ndim == 3 else image[np.newaxis]
