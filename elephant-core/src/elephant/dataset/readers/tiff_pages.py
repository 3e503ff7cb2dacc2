"""Reading parts of the planes of a TIFF: lines, strips and tiles."""

import math
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from tifffile import TiffFile, TiffPage

from elephant.dataset.readers.base import Region
from elephant.dataset.readers.tiff_files import check_expansion, page_at, quiet, segment_shape
from elephant.dataset.readers.tiff_stacks import facts_of
from elephant.errors import DatasetError

if TYPE_CHECKING:
    from elephant.dataset.readers.tiff import TiffReader


def level_page(tif: TiffFile, place: int, level: int) -> TiffPage:
    """Return the page of a level of the page that begins at a place."""
    page = page_at(tif, place)
    return page_at(tif, int((page.subifds or ())[level - 1])) if level else page


class Timepoint:
    """An open timepoint of a movie."""

    def __init__(self, movie: "TiffReader", t: int, files: ExitStack) -> None:
        self._movie = movie
        self._t = t
        self._files = files
        self._pages: dict[int, TiffPage] = {}
        self._open: tuple[int, BinaryIO] | None = None
        self._tif: TiffFile | None = None

    def __getitem__(self, region: Region) -> NDArray[Any]:
        """Return a block of the values, (Z, Y, X), of the movie's type.

        Raises
        ------
        DatasetError
            The block is damaged.
        """
        movie, (z, y, x) = self._movie, region
        out = np.empty([s.stop - s.start for s in region], movie.dtype)
        for i, plane in enumerate(range(z.start, z.stop)):
            number, place = int(movie.numbers[self._t, plane]), int(movie.places[self._t, plane])
            path = movie.parts[number]
            try:
                file = self._file(number)
                out[i] = self._rows(file, place, y, x) if movie.is_raw else self._page(number, place, plane, file, y, x)
            except DatasetError:
                raise
            except MemoryError:
                raise
            except Exception as error:  # codecs raise errors of their own
                raise DatasetError(self._damaged(path, plane, error)) from error
        return out

    def _damaged(self, path: Path, plane: int, error: Exception) -> str:
        words = " ".join(str(error).split())[:200] or type(error).__name__
        return (
            f"expected every page of {path.name} to be readable, but timepoint {self._t} is damaged at plane Z = "
            f"{plane} ({words}): copy the movie again, or export it again"
        )

    def _file(self, number: int) -> BinaryIO:
        """Return a file that is open; just one is at a time."""
        if self._open is None or self._open[0] != number:
            self._files.close()
            self._tif = None
            self._open = number, self._files.enter_context(self._movie.parts[number].open("rb"))
        return self._open[1]

    def _page(self, number: int, place: int, plane: int, file: BinaryIO, y: slice, x: slice) -> NDArray[Any]:
        movie = self._movie
        if (page := self._pages.get(plane)) is None:
            with quiet():
                if self._tif is None:
                    self._tif = self._files.enter_context(TiffFile(movie.parts[number]))
                page = level_page(self._tif, place, movie.level)
            expected, found = movie.page, facts_of(page)
            if found != (expected.height, expected.width, expected.samples, expected.dtype, expected.is_planar):
                raise ValueError(
                    f"a page of {found[1]} x {found[0]} pixels of type {found[3]}, where the first has "
                    f"{expected.width} x {expected.height} of {expected.dtype}"
                )
            self._pages[plane] = page
        if page.is_contiguous:
            return self._rows(file, page.dataoffsets[0], y, x)
        return _segments(page, file, movie.sample, y, x)

    def _rows(self, file: BinaryIO, start: int, y: slice, x: slice) -> NDArray[Any]:
        """Return a part of a plane whose values follow each other."""
        page, sample = self._movie.page, self._movie.sample
        dtype = np.dtype(page.dtype)
        if page.is_planar:
            start += sample * page.height * page.width * dtype.itemsize
        samples = 1 if page.is_planar else page.samples
        line = page.width * samples * dtype.itemsize
        data = _read(file, start + y.start * line, (y.stop - y.start) * line)
        lines = np.frombuffer(data, dtype).reshape(y.stop - y.start, page.width, samples)
        return lines[:, x, 0 if page.is_planar else sample]


def _read(file: BinaryIO, start: int, n: int) -> bytes:
    file.seek(start)
    data = file.read(n)
    if len(data) < n:
        raise ValueError(f"the file ends {n - len(data)} bytes too early")
    return data


def _segments(page: TiffPage, file: BinaryIO, sample: int, y: slice, x: slice) -> NDArray[Any]:
    """Return a part of a plane that is stored in strips or tiles; those that are not stored are 0."""
    height, width = segment_shape(page)
    down, across = math.ceil(page.imagelength / height), math.ceil(page.imagewidth / width)
    is_planar = page.planarconfig == 2 and page.samplesperpixel > 1
    out = np.zeros((y.stop - y.start, x.stop - x.start), page.dtype)
    for row in range(y.start // height, (y.stop - 1) // height + 1):
        for column in range(x.start // width, (x.stop - 1) // width + 1):
            index = ((sample if is_planar else 0) * down + row) * across + column
            values = _segment(page, file, index)
            if values is None:
                continue
            top, left = row * height, column * width
            into, part = _overlap(y, top, values.shape[0]), _overlap(x, left, values.shape[1])
            out[into[0], part[0]] = values[into[1], part[1], 0 if is_planar else sample]
    return out


def _overlap(wanted: slice, start: int, length: int) -> tuple[slice, slice]:
    """Return where a piece that starts somewhere overlaps what is wanted: within that, and within the piece."""
    low, high = max(wanted.start, start), min(wanted.stop, start + length)
    high = max(low, high)
    return slice(low - wanted.start, high - wanted.start), slice(low - start, high - start)


def _segment(page: TiffPage, file: BinaryIO, index: int) -> NDArray[Any] | None:
    """Return a strip or tile, Y, X and colours; None if it is not stored."""
    start, n = page.dataoffsets[index], page.databytecounts[index]
    if not start or not n:
        return None
    data = _read(file, start, n)
    check_expansion(data, page)
    values, *_ = page.decode(data, index, jpegtables=page.jpegtables, jpegheader=page.jpegheader)
    return None if values is None else np.asarray(values)[0]
