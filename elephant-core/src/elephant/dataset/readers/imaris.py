"""Movies of Imaris, version 5.5 and later, which are HDF5.

``/DataSet/ResolutionLevel L/TimePoint T/Channel C/Data`` holds timepoint T of channel C at level L, (Z, Y, X), filled
up with zeros to whole blocks. Attributes are arrays of single characters.

References
----------
The file format of Imaris 5.5, https://imaris.oxinst.com/support/imaris-file-format.
"""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from elephant.dataset.readers.base import Level, Reader, ViewSetup, by, choose, timepoints_in_words
from elephant.dataset.readers.bdv_views import MOST_LEVELS, numbered
from elephant.dataset.readers.bdv_xml import MOST_TIMEPOINTS
from elephant.dataset.readers.formats import content_of_hdf5
from elephant.dataset.readers.hdf5 import check_filters, check_links, load_filters, open_hdf5, opened
from elephant.dataset.readers.hdf5_blocks import fastest
from elephant.dataset.readers.hdf5_images import Timepoint, check_block, image_at
from elephant.errors import DatasetError, InvalidInputError
from elephant.progress import CancelToken, NeverCancelled
from elephant.types import Shape, VoxelSize

_FILE = ("an Imaris file (version 5.5 or later)", "save the movie from Imaris again")
_TIMEPOINT = re.compile(r"TimePoint (\d{1,10})")
_CHANNEL = re.compile(r"Channel (\d{1,10})")
_LEVEL = "DataSet/ResolutionLevel {}"
_IMAGE = "DataSetInfo/Image"
_TIMES = "DataSetInfo/TimeInfo"
_LARGEST_ATTRIBUTE_BYTES = 64 << 10
_AXES = "ZYX"
# Numbers of 32 bits become floats that hold them exactly.
_DTYPES = {"uint8": "uint8", "uint16": "uint16", "uint32": "float64", "float32": "float32"}


@dataclass(frozen=True, kw_only=True)
class ImarisReader(Reader):
    """Reads an Imaris file, of which each channel is a source.

    Attributes
    ----------
    filters
        Numbers of the HDF5 filters that the blocks are compressed with.
    """

    suffixes = (".ims",)

    filters: tuple[int, ...] = ()

    @classmethod
    def open(
        cls,
        path: Path,
        setup: int | None = None,
        *,
        fill_gaps: bool = False,
        cancel: CancelToken = NeverCancelled(),  # noqa: B008 - has no state
    ) -> "ImarisReader":
        """Inspect a movie without reading its images.

        Parameters
        ----------
        path
            The ``.ims``.
        setup
            Number of the channel to read; None for the first.
        fill_gaps
            Whether timepoints without an image become blank.
        cancel
            Asked for every timepoint.

        Raises
        ------
        NotFoundError
            There is no such file.
        InvalidInputError
            There is no such channel.
        DatasetError
            It is not an Imaris file, an image is missing or cannot be decompressed, or timepoints differ in size or
            type.
        """
        with opened(path, _FILE) as file:
            numbers = _numbers(file, path)
            present = _present(file, numbers, path)
            setups = tuple(_setups(file, present[0], path))
            chosen = choose(setups, setup, path)
            is_there = {t: check_links(file, _name(0, t, chosen.id), path) for t in present}
            blank = tuple(t for t in numbers if not is_there.get(t, False))
            _check_gaps(blank, numbers, chosen, path, fill_gaps=fill_gaps)
            shown = [t for t in numbers if is_there.get(t, False)]
            levels = tuple(_levels(file, shown[0], chosen.id, path))
            source = replace(chosen, size=levels[0].shape, voxel_size=levels[0].voxel_size)
            return cls(
                path=path,
                n_timepoints=len(numbers),
                blank_timepoints=blank,
                setup=source,
                others=tuple(each for each in setups if each.id != chosen.id),
                levels=levels,
                interval=_interval(file, path),
                **_look_at(file, path, [_name(0, t, chosen.id) for t in shown], levels[0].shape, cancel),
            )

    def at_level(self, level: int) -> "ImarisReader":
        """Return a reader of another level of the pyramid."""
        at, blank = self.levels[level], set(self.blank_timepoints)
        names = [_name(level, t, self.setup.id) for t in range(self.n_timepoints) if t not in blank]
        with opened(self.path, _FILE) as file:
            seen = _look_at(file, self.path, names, at.shape, NeverCancelled())
        return replace(self, level=level, setup=replace(self.setup, voxel_size=at.voxel_size), **seen)

    @contextmanager
    def timepoint(self, t: int) -> Iterator[Timepoint]:
        """Open a timepoint for reading blocks of it; a blank one is all 0."""
        if t in self.blank_timepoints:
            yield Timepoint(self.path, t, self.dtype, None)
            return
        load_filters(self.filters)
        with open_hdf5(self.path, _FILE) as file:
            cells = image_at(file, _name(self.level, t, self.setup.id), self.path)
            yield Timepoint(self.path, t, self.dtype, fastest(cells, is_read_once=True))


def _name(level: int, timepoint: int, channel: int) -> str:
    return f"{_LEVEL.format(level)}/TimePoint {timepoint}/Channel {channel}/Data"


def _group(file: h5py.File, name: str, path: Path) -> h5py.Group | None:
    """Return a group, if there is one, having checked that no link on the way to it leads elsewhere."""
    found = file.get(name) if check_links(file, name, path) else None
    return found if isinstance(found, h5py.Group) else None


def _numbers(file: h5py.File, path: Path) -> range:
    """Return the timepoints from 0 to the last of which there is something."""
    level = _group(file, _LEVEL.format(0), path)
    found = numbered(level, _TIMEPOINT) if level is not None else {}
    if not found:
        raise DatasetError(
            f"expected {path.name} to be {_FILE[0]} with {_LEVEL.format(0)}/TimePoint 0, got "
            f"{content_of_hdf5(file)} without it: {_FILE[1]}"
        )
    count = max(found) + 1
    if count > MOST_TIMEPOINTS:
        raise DatasetError(
            f"expected {path.name} to have at most {MOST_TIMEPOINTS} timepoints, got one with the number {max(found)}: "
            f"{_FILE[1]}"
        )
    return range(count)


def _present(file: h5py.File, numbers: range, path: Path) -> list[int]:
    """Return the timepoints that have channels, at least one."""
    found = [t for t in numbers if _group(file, f"{_LEVEL.format(0)}/TimePoint {t}", path) is not None]
    if not found:
        raise DatasetError(f"expected {path.name} to have images, got timepoints without any: {_FILE[1]}")
    return found


def _setups(file: h5py.File, timepoint: int, path: Path) -> Iterator[ViewSetup]:
    """Yield a source for each channel of a timepoint."""
    group = _group(file, f"{_LEVEL.format(0)}/TimePoint {timepoint}", path)
    channels = numbered(group, _CHANNEL) if group is not None else {}
    if not channels:
        raise DatasetError(f"expected {path.name} to have channels, got none at timepoint {timepoint}: {_FILE[1]}")
    unit = _text(_attributes(file, _IMAGE, path), "Unit")
    for number in channels:
        name = _text(_attributes(file, f"DataSetInfo/Channel {number}", path), "Name")
        yield ViewSetup(number, name, unit=unit, attributes={"channel": name or str(number)})


def _check_gaps(
    blank: Sequence[int], numbers: Sequence[int], chosen: ViewSetup, path: Path, *, fill_gaps: bool
) -> None:
    if not blank or (fill_gaps and len(blank) < len(numbers)):
        return
    if len(blank) == len(numbers):
        raise DatasetError(f"{chosen.title} of {path.name} has no image at any timepoint: choose another with `setup`")
    raise DatasetError(
        f"expected an image of {chosen.title} at each of the {len(numbers)} timepoints of {path.name}, but there is "
        f"none at {timepoints_in_words(blank)}: save the movie from Imaris again, or fill the gaps with blank images "
        "(fill_gaps in dataset/generate)"
    )


def _levels(file: h5py.File, timepoint: int, channel: int, path: Path) -> Iterator[Level]:
    """Yield the levels of an image; below full resolution, one without a size ends them."""
    extent = _extent(_attributes(file, _IMAGE, path))
    for level in range(MOST_LEVELS):
        name = _name(level, timepoint, channel)
        if not check_links(file, name, path):
            return
        shape = _size(_attributes(file, name.rpartition("/")[0], path), "ImageSize")
        if level == 0:
            shape = _full_size(shape, _size(_attributes(file, _IMAGE, path), ""), path)
        if shape is None:
            return
        yield Level(shape, _voxel_size(extent, shape))


def _full_size(own: Shape | None, said: Shape | None, path: Path) -> Shape:
    """Return the size of an image without what fills it up, from the image itself or from the file's description."""
    found = own or said
    if found is None:
        raise DatasetError(
            f"expected {path.name} to say how large its images are, in the attributes X, Y and Z of {_IMAGE}, got "
            f"none: {_FILE[1]}"
        )
    if own is not None and said is not None and own != said:
        raise DatasetError(
            f"{path.name} gives two sizes of its images, {by(said)} voxels (Z, Y, X) for the movie and {by(own)} for "
            f"the first of them: {_FILE[1]}"
        )
    return found


def _look_at(file: h5py.File, path: Path, names: Sequence[str], shape: Shape, cancel: CancelToken) -> dict[str, Any]:
    """Return what a reader notes of images, all of which are alike."""
    first = image_at(file, names[0], path)
    _check_first(first, shape, path)
    stored, filters = 0, set[int]()
    for name in names:
        cancel.check()
        cells = image_at(file, name, path)
        if (cells.shape, cells.dtype) != (first.shape, first.dtype):
            raise DatasetError(
                f"expected all timepoints of {path.name} to be alike, but {names[0]} is {by(first.shape)} "
                f"{first.dtype} and {name} is {by(cells.shape)} {cells.dtype}: {_FILE[1]}"
            )
        check_block(cells, path)
        filters.update(check_filters(cells, path.name))
        stored += cells.id.get_storage_size()
    chunks = first.chunks or (1, 1, shape[2])
    return {
        "shape": shape,
        "dtype": _DTYPES[first.dtype.name],
        "chunks": tuple(min(c, s) for c, s in zip(chunks, shape, strict=True)),
        "stored_bytes": stored,
        "filters": tuple(sorted(filters)),
    }


def _check_first(cells: h5py.Dataset, shape: Shape, path: Path) -> None:
    if cells.ndim != 3 or any(n < size for n, size in zip(cells.shape, shape, strict=True)):
        raise DatasetError(
            f"expected images of {by(shape)} voxels (Z, Y, X) in {path.name}, as it says, but {by(cells.shape)} are "
            f"stored: {_FILE[1]}"
        )
    if cells.dtype.name not in _DTYPES:
        raise DatasetError(
            f"expected images of {path.name} to be {', '.join(_DTYPES)}, got {cells.dtype.name}: {_FILE[1]}, with 16 "
            "bits"
        )


def _attributes(file: h5py.File, name: str, path: Path) -> Mapping[str, Any]:
    """Return the attributes of a group; none if there is no such group."""
    group = _group(file, name, path)
    return {} if group is None else group.attrs


def _text(attributes: Mapping[str, Any], name: str) -> str:
    """Return an attribute, which is an array of characters; empty if there is none of a usual length."""
    if not isinstance(attributes, h5py.AttributeManager):
        return ""
    if name not in attributes or attributes.get_id(name).get_storage_size() > _LARGEST_ATTRIBUTE_BYTES:
        return ""
    found = attributes[name]
    if isinstance(found, np.ndarray):
        found = b"".join(found.ravel().tolist()) if found.dtype.kind == "S" else "".join(map(str, found.ravel()))
    return (found.decode("utf-8", "replace") if isinstance(found, bytes) else str(found)).strip("\0 \n\r\t")


def _size(attributes: Mapping[str, Any], prefix: str) -> Shape | None:
    """Return (Z, Y, X) of the attributes X, Y and Z; None if these are not whole numbers of at least 1."""
    texts = [_text(attributes, f"{prefix}{axis}") for axis in _AXES]
    if not all(text.isascii() and text.isdigit() and len(text) < 19 for text in texts):
        return None
    shape = tuple(map(int, texts))
    return shape if min(shape) > 0 else None


def _extent(attributes: Mapping[str, Any]) -> tuple[float, ...] | None:
    """Return the physical size of the image along Z, Y, X; None if it is not known."""
    try:
        ends = [[float(_text(attributes, f"{end}{i}")) for end in ("ExtMin", "ExtMax")] for i in (2, 1, 0)]
    except ValueError:
        return None
    return tuple(high - low for low, high in ends)


def _voxel_size(extent: tuple[float, ...] | None, shape: Shape) -> VoxelSize | None:
    if extent is None or not all(map(math.isfinite, extent)):
        return None
    try:
        return VoxelSize(*(length / size for length, size in zip(extent, shape, strict=True)))
    except InvalidInputError:
        return None


def _interval(file: h5py.File, path: Path) -> float | None:
    """Return the seconds from the first timepoint to the second."""
    attributes = _attributes(file, _TIMES, path)
    try:
        first, second = (datetime.fromisoformat(_text(attributes, f"TimePoint{n}")) for n in (1, 2))
        seconds = (second - first).total_seconds()
    except (ValueError, TypeError):
        return None
    return seconds if seconds > 0 else None
