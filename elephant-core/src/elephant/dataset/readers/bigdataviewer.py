"""Movies that BigDataViewer writes into HDF5.

``/tTTTTT/sSS/0/cells`` holds timepoint T of setup S at full resolution, (Z, Y, X). Integer cells are unsigned
16-bit values in signed storage. A large movie may be split into partition files, to which a master file has
external links. The format is described by T. Pietzsch et al., *BigDataViewer*, Nature Methods 2015,
doi:10.1038/nmeth.3392.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import h5py

from elephant.dataset.readers.base import Level, Reader, ViewSetup, by
from elephant.dataset.readers.bdv_finding import HDF5_LOADERS, images_at, locate
from elephant.dataset.readers.bdv_hdf5 import HDF5Images, at_level, digest_of, files_of, resolutions
from elephant.dataset.readers.bdv_views import MOST_LEVELS, choose_views, scaled
from elephant.dataset.readers.bdv_xml import read_spim_data
from elephant.dataset.readers.hdf5 import (
    TIMEPOINT,
    check_filters,
    check_links,
    is_hdf5_name,
    load_filters,
    open_hdf5,
    opened,
)
from elephant.dataset.readers.hdf5_blocks import fastest
from elephant.dataset.readers.hdf5_images import Timepoint, check_block, image_at, linked_image
from elephant.errors import DatasetError, NotFoundError
from elephant.progress import CancelToken, NeverCancelled
from elephant.types import Shape

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
    file
        The ``.h5``, or the master file; `path` is that, or the ``.xml`` if it is not beside it.
    cells
        For each timepoint, the name of its image in the file; None if it is blank.
    filters
        Numbers of the HDF5 filters that the blocks are compressed with.
    """

    file: Path
    cells: tuple[str | None, ...]
    filters: tuple[int, ...] = ()

    @classmethod
    def claims(cls, path: Path) -> bool:
        """Return whether a file is an HDF5 file with timepoints, or an ``.xml`` that describes one."""
        try:
            if path.suffix.lower() == ".xml":
                return read_spim_data(path).loader in HDF5_LOADERS
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
        movie = locate(path, HDF5_LOADERS, "HDF5")
        path = movie.images
        with opened(path) as file:
            images = HDF5Images(file, path)
            views = choose_views(images, path, movie.described, setup, cancel, fill_gaps=fill_gaps)
            cells = tuple(None if t is None else images.name(t, views.setup.id) for t in views.timepoints)
            seen = _look_at(file, cells, path, cancel)
            _warn_of_another_size(views.setup, seen["shape"], path)
            first = next(name for name in cells if name is not None)
            return cls(
                path=movie.path,
                file=path,
                cells=cells,
                n_timepoints=len(cells),
                blank_timepoints=views.blank,
                setup=views.setup,
                others=views.others,
                levels=_levels(file, first, views.setup, path),
                **seen,
            )

    def at_level(self, level: int) -> "BigDataViewerReader":
        """Return a reader of another level of the pyramid."""
        cells = tuple(None if name is None else at_level(name, level) for name in self.cells)
        setup = replace(self.setup, voxel_size=self.levels[level].voxel_size)
        with opened(self.file) as file:
            for name in cells:
                if name is not None:
                    check_links(file, name, self.file)
            seen = _look_at(file, cells, self.file, NeverCancelled())
        return replace(self, cells=cells, level=level, setup=setup, **seen)

    @contextmanager
    def timepoint(self, t: int) -> Iterator["Timepoint"]:
        """Open a timepoint for reading blocks of it; a blank one is all 0."""
        name = self.cells[t]
        if name is None:
            yield Timepoint(self.path, t, self.dtype, None)
            return
        load_filters(self.filters)
        with open_hdf5(self.file) as file:
            cells = fastest(image_at(file, name, self.file), is_read_once=True)
            yield Timepoint(self.path, t, self.dtype, cells)

    def files(self) -> tuple[Path, ...]:
        """Return the file, the partitions that exist, and the ``.xml`` if it is elsewhere."""
        return files_of(self.file) + ((self.path,) if self.path != self.file else ())

    @classmethod
    def digest(cls, path: Path, setup: int | None, cancel: CancelToken) -> str:
        """Return a digest of sampled values, which does not depend on the ``.xml``."""
        return digest_of(images_at(path, HDF5_LOADERS, "HDF5"), setup, cancel)


def _look_at(file: h5py.File, names: Sequence[str | None], path: Path, cancel: CancelToken) -> dict[str, Any]:
    """Return what a reader notes of images; all of those that exist are alike."""
    there_are = [name for name in names if name is not None]
    first = image_at(file, there_are[0], path)
    _check_first(first, path)
    stored, filters = 0, set[int]()
    for name in there_are:
        cancel.check()
        cells = linked_image(file, name, path)
        _check_alike(first, cells, path)
        filters.update(check_filters(cells, path.name))
        stored += cells.id.get_storage_size()
    return {
        "shape": tuple(first.shape),
        "dtype": _VALUE_DTYPES[first.dtype.name],
        "chunks": tuple(first.chunks or (1, 1, first.shape[2])),
        "stored_bytes": stored,
        "filters": tuple(sorted(filters)),
    }


def _levels(file: h5py.File, name: str, setup: ViewSetup, path: Path) -> tuple[Level, ...]:
    """Return the levels of an image, by its name; a damaged one and those after it are left out."""
    factors = resolutions(file, setup.id, path)
    found: list[Level] = []
    while len(found) < MOST_LEVELS and check_links(file, at := at_level(name, len(found)), path):
        try:
            cells = linked_image(file, at, path)
        except DatasetError:
            break
        if cells.ndim != 3 or min(cells.shape) < 1:
            break
        found.append(Level(tuple(cells.shape), scaled(setup.voxel_size, factors, len(found))))
    return tuple(found)


def _check_first(cells: h5py.Dataset, path: Path) -> None:
    """Check that the first image is a volume of a known type."""
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


def _check_alike(first: h5py.Dataset, cells: h5py.Dataset, path: Path) -> None:
    if (cells.shape, cells.dtype) != (first.shape, first.dtype):
        raise DatasetError(
            f"expected all timepoints of {path.name} to be alike, but {first.name} is {first.shape} {first.dtype} "
            f"and {cells.name} is {cells.shape} {cells.dtype}: export the movie again with one size and type"
        )
    check_block(cells, path)


def _warn_of_another_size(setup: ViewSetup, found: Shape, path: Path) -> None:
    """Warn if the ``.xml`` gives another size, as it does if it belongs to another movie."""
    if setup.size is not None and setup.size != found:
        logger.warning(
            "the .xml of %s says that %s has %s voxels (Z, Y, X), but its images have %s: check that it is the .xml of "
            "this movie",
            path.name,
            setup.title,
            by(setup.size),
            by(found),
        )
