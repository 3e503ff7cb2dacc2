"""Movies as BigDataViewer writes them into HDF5.

``/tTTTTT/sSS/0/cells`` holds timepoint T of setup S at full resolution, (Z, Y, X). Integer cells are unsigned
16-bit values in signed storage. A large movie may be split into partition files, which a master file reaches
through external links. The format is described by T. Pietzsch et al., *BigDataViewer*, Nature Methods 2015,
doi:10.1038/nmeth.3392.
"""

import logging
import math
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from elephant.dataset.layout import grow, regions
from elephant.dataset.readers.bdv_views import choose_views
from elephant.dataset.readers.bdv_xml import ViewSetup, locate
from elephant.dataset.readers.filters import check_filters, load_filters
from elephant.dataset.readers.hdf5 import check_links, is_beside, open_hdf5, opened, outside
from elephant.errors import DatasetError
from elephant.hardware import total_bytes
from elephant.progress import CancelToken, NeverCancelled
from elephant.types import Shape

_PIECE_BYTES = 8 * 2**20
_LARGEST_BLOCK_BYTES = 2**30
_WORKING_BYTES = 4  # of a voxel, as the networks see it
_VALUE_DTYPES = {
    "int16": "uint16",
    "uint16": "uint16",
    "uint8": "uint8",
    "float32": "float32",
    "float64": "float64",
}

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Movie:
    """What there is to read in a BigDataViewer file; holds no file open and travels between processes.

    Attributes
    ----------
    path
        The file, a master file where the movie is split.
    cells
        The name inside the file of every timepoint's full-resolution image; None where the timepoint is blank.
    shape
        (Z, Y, X) of a timepoint.
    dtype
        NumPy name of the type of the values: uint8, uint16, float32 or float64.
    chunks
        (Z, Y, X) of the blocks in which the first timepoint is stored.
    stored_bytes
        What the images take in the file, compressed as they are there.
    setup, others
        The source that is read, and the movie's other sources.
    filters
        Numbers of the HDF5 filters that blocks are packed with.
    """

    path: Path
    cells: tuple[str | None, ...]
    shape: Shape
    dtype: str
    chunks: Shape
    stored_bytes: int
    setup: ViewSetup = field(default_factory=lambda: ViewSetup(0))
    others: tuple[ViewSetup, ...] = ()
    filters: tuple[int, ...] = ()

    @classmethod
    def inspect(
        cls,
        path: Path,
        setup: int | None = None,
        *,
        fill_gaps: bool = False,
        cancel: CancelToken = NeverCancelled(),  # noqa: B008 - has no state
    ) -> "Movie":
        """Look through a movie without reading its images.

        Parameters
        ----------
        path
            The ``.h5``, a master file where the movie is split, whose ``.xml`` is looked for beside it; or an ``.xml``.
        setup
            Number of the source to read; None for the movie's first.
        fill_gaps
            Whether timepoints without an image are blank where no ``.xml`` lists them as missing.
        cancel
            Asked for every timepoint.

        Raises
        ------
        NotFoundError
            There is no such file.
        InvalidInputError
            There is no such source.
        DatasetError
            It is no BigDataViewer file, an image is missing or cannot be unpacked, or timepoints differ in size or
            type.
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
                shape=tuple(first.shape),
                dtype=_VALUE_DTYPES[first.dtype.name],
                chunks=tuple(first.chunks or (1, 1, first.shape[2])),
                stored_bytes=stored,
                setup=views.setup,
                others=views.others,
                filters=tuple(sorted(filters)),
            )

    @property
    def n_timepoints(self) -> int:
        """T."""
        return len(self.cells)

    @property
    def blank_timepoints(self) -> tuple[int, ...]:
        """The timepoints that the movie has no image of."""
        return tuple(t for t, name in enumerate(self.cells) if name is None)

    def is_blank(self, t: int) -> bool:
        """Tell whether the movie has no image of a timepoint."""
        return self.cells[t] is None

    @contextmanager
    def timepoint(self, t: int) -> Iterator["Timepoint"]:
        """Open a timepoint for reading blocks of it; all is 0 in one that is blank."""
        name = self.cells[t]
        if name is None:
            yield Timepoint(self, t, None)
            return
        load_filters(self.filters)
        with open_hdf5(self.path) as file:
            yield Timepoint(self, t, _cells(file, name, self.path))

    def pieces(self, region: tuple[slice, ...]) -> Iterator[tuple[slice, ...]]:
        """Cut a region, (Z, Y, X), into pieces of a few MB along the blocks in which the movie is stored."""
        block = grow(self.chunks, self.shape, _PIECE_BYTES // np.dtype(self.dtype).itemsize)
        for piece in regions(self.shape, block):
            cut = tuple(slice(max(p.start, r.start), min(p.stop, r.stop)) for p, r in zip(piece, region, strict=True))
            if all(c.start < c.stop for c in cut):
                yield cut


class Timepoint:
    """An open timepoint of a movie."""

    def __init__(self, movie: Movie, t: int, cells: h5py.Dataset | None) -> None:
        self._movie = movie
        self._t = t
        self._cells = cells

    def read(self, region: tuple[slice, ...]) -> NDArray[Any]:
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
    """Return an image the links to which were checked."""
    try:
        cells = file[name]
    except (KeyError, OSError, RuntimeError, ValueError) as error:
        raise DatasetError(
            f"expected {path.name} to hold {name}, but what it links to is missing or damaged: if the movie is split, "
            "put all its partitions beside it; else export it again"
        ) from error
    if not isinstance(cells, h5py.Dataset):
        raise DatasetError(f"expected {name} of {path.name} to be an image, got a group: export the movie again")
    holder, own = (os.fsdecode(h5py.h5f.get_name(each.id)) for each in (cells, file))
    is_own = holder == own or is_beside(os.path.abspath(holder), path)  # noqa: PTH100 - keeps links
    if cells.is_virtual or cells.external or not is_own:
        raise outside(name, path)
    return cells


def _check_first(cells: h5py.Dataset, path: Path) -> None:
    """Check that the first image is one that this machine can work with."""
    if cells.ndim != 3 or min(cells.shape) < 1:
        raise DatasetError(
            f"expected images of {path.name} to be volumes (Z, Y, X), got the shape {cells.shape}: "
            "export the movie again"
        )
    if cells.dtype.name not in _VALUE_DTYPES:
        raise DatasetError(
            f"expected images of {path.name} to be {', '.join(_VALUE_DTYPES)}, got {cells.dtype.name}: "
            "convert the movie to 16 bits before the export"
        )
    there_is = total_bytes()
    needed = math.prod(cells.shape) * _WORKING_BYTES
    if needed > there_is:
        raise DatasetError(
            f"a timepoint of {path.name} has {_by(cells.shape)} voxels (Z, Y, X) and would need "
            f"{needed / 2**30:.3g} GiB of memory to work with, but this machine has {there_is / 2**30:.3g} GiB: "
            "export a part of the movie, or a smaller one"
        )


def _check_alike(first: h5py.Dataset, cells: h5py.Dataset, path: Path) -> None:
    if (cells.shape, cells.dtype) != (first.shape, first.dtype):
        raise DatasetError(
            f"expected all timepoints of {path.name} to be alike, but {first.name} is {first.shape} {first.dtype} "
            f"and {cells.name} is {cells.shape} {cells.dtype}: export the movie again with one size and type"
        )
    # A block is unpacked whole, and may be far larger than the image that it belongs to.
    block = math.prod(cells.chunks or (0,)) * cells.dtype.itemsize
    if block > _LARGEST_BLOCK_BYTES:
        raise DatasetError(
            f"expected {cells.name} of {path.name} to be stored in blocks of at most {_LARGEST_BLOCK_BYTES >> 30} GiB, "
            f"got blocks of {_by(cells.chunks)} voxels (Z, Y, X): store it in smaller ones, with "
            f"`h5repack -l CHUNK=16x64x64 {path.name} smaller.h5`"
        )


def _warn_of_another_size(setup: ViewSetup, cells: h5py.Dataset, path: Path) -> None:
    """Say that an ``.xml`` gives another size, as one that was left by another movie does."""
    if setup.size is not None and setup.size != tuple(cells.shape):
        logger.warning(
            "the .xml of %s says that %s has %s voxels (Z, Y, X), but its images have %s: see whether it is the "
            ".xml of this movie",
            path.name,
            setup.title,
            _by(setup.size),
            _by(cells.shape),
        )


def _by(shape: Iterable[int]) -> str:
    return " x ".join(map(str, shape))
