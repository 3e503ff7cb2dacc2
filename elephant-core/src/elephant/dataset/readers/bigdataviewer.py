"""Movies that BigDataViewer writes into HDF5.

``/tTTTTT/sSS/0/cells`` holds timepoint T of setup S at full resolution, (Z, Y, X). Integer cells are unsigned
16-bit values in signed storage. A large movie may be split into partition files, to which a master file has
external links. The format is described by T. Pietzsch et al., *BigDataViewer*, Nature Methods 2015,
doi:10.1038/nmeth.3392.
"""

import logging
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from elephant.dataset.readers.base import Reader, ViewSetup, by, check_memory
from elephant.dataset.readers.bdv_views import choose_views, digest_of, files_of
from elephant.dataset.readers.bdv_xml import locate, read_spim_data
from elephant.dataset.readers.hdf5 import (
    TIMEPOINT,
    check_filters,
    check_links,
    is_beside,
    is_hdf5_name,
    load_filters,
    open_hdf5,
    opened,
    outside,
)
from elephant.dataset.readers.hdf5_blocks import Blocks, fastest
from elephant.errors import DatasetError, NotFoundError
from elephant.progress import CancelToken, NeverCancelled

_LARGEST_BLOCK_BYTES = 2**30
_VALUE_DTYPES = {
    "int16": "uint16",
    "uint16": "uint16",
    "uint8": "uint8",
    "float32": "float32",
    "float64": "float64",
}

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class BigDataViewerReader(Reader):
    """Reads a BigDataViewer file.

    Attributes
    ----------
    cells
        For each timepoint, the name of its full-resolution image in the file; None if it is blank.
    filters
        Numbers of the HDF5 filters that the blocks are compressed with.
    """

    cells: tuple[str | None, ...]
    filters: tuple[int, ...] = ()

    @classmethod
    def claims(cls, path: Path) -> bool:
        """Return whether a file is an HDF5 file with timepoints, or an ``.xml`` that describes one."""
        try:
            if path.suffix.lower() == ".xml":
                return bool(read_spim_data(path))
            if not is_hdf5_name(path.name):
                return False
            with opened(path) as file:
                return any(TIMEPOINT.fullmatch(name) for name in file)
        except (DatasetError, NotFoundError):
            return False

    @classmethod
    def open(
        cls,
        path: Path,
        setup: int | None = None,
        *,
        fill_gaps: bool = False,
        cancel: CancelToken = NeverCancelled(),  # noqa: B008 - has no state
    ) -> "BigDataViewerReader":
        """Inspect a movie without reading its images.

        Parameters
        ----------
        path
            The ``.h5`` (the master file if the movie is split), whose ``.xml`` is looked for beside it; or an ``.xml``.
        setup
            Number of the source to read; None for the movie's first.
        fill_gaps
            Whether timepoints without an image become blank even if no ``.xml`` lists them as missing.
        cancel
            Asked for every timepoint.

        Raises
        ------
        NotFoundError
            There is no such file.
        InvalidInputError
            There is no such source.
        DatasetError
            It is not a BigDataViewer file, an image is missing or cannot be decompressed, or timepoints differ in size
            or type.
        """
        path, described = locate(path)
        with opened(path) as file:
            views = choose_views(file, path, described, setup, cancel, fill_gaps=fill_gaps)
            names = [name for name in views.cells if name is not None]
            first = _cells(file, names[0], path)
            _check_first(first, path)
            stored, filters = 0, set[int]()
            for name in names:
                cancel.check()
                cells = _linked(file, name, path)
                _check_alike(first, cells, path)
                filters.update(check_filters(cells, path.name))
                stored += cells.id.get_storage_size()
            _warn_of_another_size(views.setup, first, path)
            return cls(
                path=path,
                cells=views.cells,
                n_timepoints=len(views.cells),
                blank_timepoints=tuple(t for t, name in enumerate(views.cells) if name is None),
                shape=tuple(first.shape),
                dtype=_VALUE_DTYPES[first.dtype.name],
                chunks=tuple(first.chunks or (1, 1, first.shape[2])),
                stored_bytes=stored,
                setup=views.setup,
                others=views.others,
                filters=tuple(sorted(filters)),
            )

    @contextmanager
    def timepoint(self, t: int) -> Iterator["Timepoint"]:
        """Open a timepoint for reading blocks of it; a blank one is all 0."""
        name = self.cells[t]
        if name is None:
            yield Timepoint(self, t, None)
            return
        load_filters(self.filters)
        with open_hdf5(self.path) as file:
            yield Timepoint(self, t, fastest(_cells(file, name, self.path), is_read_once=True))

    def files(self) -> tuple[Path, ...]:
        """Return the file, and the partitions that exist."""
        return files_of(self.path)

    @classmethod
    def digest(cls, path: Path, setup: int | None, cancel: CancelToken) -> str:
        """Return a digest of sampled values, which does not depend on the ``.xml``."""
        return digest_of(path, setup, cancel)


class Timepoint:
    """An open timepoint of a movie."""

    def __init__(self, movie: BigDataViewerReader, t: int, cells: "h5py.Dataset | Blocks | None") -> None:
        self._movie = movie
        self._t = t
        self._cells = cells

    def __getitem__(self, region: tuple[slice, ...]) -> NDArray[Any]:
        """Return a block of the values, (Z, Y, X), of the movie's type.

        Raises
        ------
        DatasetError
            The block is damaged.
        """
        if self._cells is None:
            return np.zeros([s.stop - s.start for s in region], self._movie.dtype)
        try:
            stored = self._cells[region]
        except (OSError, RuntimeError, ValueError) as error:
            where = ", ".join(f"{s.start}-{s.stop - 1}" for s in region)
            raise DatasetError(
                f"expected every block of {self._movie.path.name} to be readable, but timepoint {self._t} is damaged "
                f"within Z, Y, X = {where}: export the movie again, or upload it again"
            ) from error
        native = stored.astype(stored.dtype.newbyteorder("="), copy=False)
        # The same bits: signed storage holds unsigned values.
        values: NDArray[Any] = native.view(self._movie.dtype)
        return values


def _cells(file: h5py.File, name: str, path: Path) -> h5py.Dataset:
    check_links(file, name, path)
    return _linked(file, name, path)


def _linked(file: h5py.File, name: str, path: Path) -> h5py.Dataset:
    """Return an image whose links have been checked."""
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


def _check_first(cells: h5py.Dataset, path: Path) -> None:
    """Check that the first image is a volume of a known type that fits into this machine's memory."""
    if cells.ndim != 3 or min(cells.shape) < 1:
        raise DatasetError(
            f"expected images of {path.name} to be volumes (Z, Y, X), got the shape {cells.shape}: "
            "export the movie again"
        )
    if cells.dtype.name not in _VALUE_DTYPES:
        raise DatasetError(
            f"expected images of {path.name} to be {', '.join(_VALUE_DTYPES)}, got {cells.dtype.name}: "
            "convert the movie to 16 bits before exporting it"
        )
    check_memory(tuple(cells.shape), path)


def _check_alike(first: h5py.Dataset, cells: h5py.Dataset, path: Path) -> None:
    if (cells.shape, cells.dtype) != (first.shape, first.dtype):
        raise DatasetError(
            f"expected all timepoints of {path.name} to be alike, but {first.name} is {first.shape} {first.dtype} "
            f"and {cells.name} is {cells.shape} {cells.dtype}: export the movie again with one size and type"
        )
    # A block is decompressed as a whole, and may be far larger than its image.
    block = math.prod(cells.chunks or (0,)) * cells.dtype.itemsize
    if block > _LARGEST_BLOCK_BYTES:
        raise DatasetError(
            f"expected {cells.name} of {path.name} to be stored in blocks of at most {_LARGEST_BLOCK_BYTES >> 30} GiB, "
            f"got blocks of {by(cells.chunks)} voxels (Z, Y, X): store it in smaller ones, with "
            f"`h5repack -l CHUNK=16x64x64 {path.name} smaller.h5`"
        )


def _warn_of_another_size(setup: ViewSetup, cells: h5py.Dataset, path: Path) -> None:
    """Warn if the ``.xml`` gives another size, as it does if it belongs to another movie."""
    if setup.size is not None and setup.size != tuple(cells.shape):
        logger.warning(
            "the .xml of %s says that %s has %s voxels (Z, Y, X), but its images have %s: check that it is the .xml of "
            "this movie",
            path.name,
            setup.title,
            by(setup.size),
            by(cells.shape),
        )
