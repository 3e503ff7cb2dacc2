"""Images in HDF5 files that others made: they are in the movie's own files, and read piece by piece."""

import math
import os
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from elephant.dataset.readers.base import Region, by
from elephant.dataset.readers.hdf5 import check_links, is_beside, outside
from elephant.dataset.readers.hdf5_blocks import Blocks
from elephant.errors import DatasetError

_LARGEST_BLOCK_BYTES = 2**30


def image_at(file: h5py.File, name: str, path: Path) -> h5py.Dataset:
    """Return an image of a movie, having checked that no link on the way to it leads elsewhere.

    Raises
    ------
    DatasetError
        It is missing, damaged, no image, or outside of the movie's folder.
    """
    check_links(file, name, path)
    return linked_image(file, name, path)


def linked_image(file: h5py.File, name: str, path: Path) -> h5py.Dataset:
    """Return an image whose links have been checked; see :func:`image_at`."""
    try:
        cells = file[name]
    except (KeyError, OSError, RuntimeError, ValueError) as error:
        raise DatasetError(
            f"expected {path.name} to hold {name}, but the link's target is missing or damaged: if the movie is split, "
            "put all its partitions beside it; otherwise export it again"
        ) from error
    if not isinstance(cells, h5py.Dataset):
        raise DatasetError(f"expected {name} of {path.name} to be an image, got a group: export the movie again")
    holder, own = (os.fsdecode(h5py.h5f.get_name(each.id)) for each in (cells, file))
    is_own = holder == own or is_beside(os.path.abspath(holder), path)  # noqa: PTH100 - keeps links
    if cells.is_virtual or cells.external or not is_own:
        raise outside(name, path)
    return cells


def check_block(cells: h5py.Dataset, path: Path) -> None:
    """Check that an image is stored in blocks that fit into memory.

    Raises
    ------
    DatasetError
        They are larger than 1 GiB.
    """
    # A block is decompressed as a whole, and may be far larger than its image.
    block = math.prod(cells.chunks or (0,)) * cells.dtype.itemsize
    if block > _LARGEST_BLOCK_BYTES:
        raise DatasetError(
            f"expected {cells.name} of {path.name} to be stored in blocks of at most {_LARGEST_BLOCK_BYTES >> 30} GiB, "
            f"got blocks of {by(cells.chunks)} voxels (Z, Y, X): store it in smaller ones, with "
            f"`h5repack -l CHUNK=16x64x64 {path.name} smaller.h5`"
        )


class Timepoint:
    """An open timepoint of a movie.

    Parameters
    ----------
    path
        The movie.
    t
        The timepoint.
    dtype
        NumPy name of the type of the values. Stored numbers of the same size, signed or not, keep their bits.
    cells
        The image; None if it is blank.
    """

    def __init__(self, path: Path, t: int, dtype: str, cells: "h5py.Dataset | Blocks | None") -> None:
        self._path = path
        self._t = t
        self._dtype = np.dtype(dtype)
        self._cells = cells

    def __getitem__(self, region: Region) -> NDArray[Any]:
        """Return a block of the values, (Z, Y, X), of the movie's type.

        Raises
        ------
        DatasetError
            The block is damaged.
        """
        if self._cells is None:
            return np.zeros([s.stop - s.start for s in region], self._dtype)
        try:
            stored = self._cells[region]
        except (OSError, RuntimeError, ValueError) as error:
            where = ", ".join(f"{s.start}-{s.stop - 1}" for s in region)
            raise DatasetError(
                f"expected every block of {self._path.name} to be readable, but timepoint {self._t} is damaged "
                f"within Z, Y, X = {where}: export the movie again, or upload it again"
            ) from error
        native = stored.astype(stored.dtype.newbyteorder("="), copy=False)
        # The same bits: signed storage holds unsigned values.
        is_same_size = native.dtype.kind in "iu" and native.dtype.itemsize == self._dtype.itemsize
        values: NDArray[Any] = native.view(self._dtype) if is_same_size else native.astype(self._dtype, copy=False)
        return values
