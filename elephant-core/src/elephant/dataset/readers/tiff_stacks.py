"""Where the planes of a TIFF are: by its OME-XML, by what ImageJ or tifffile wrote into it, or by its pages alone."""

import math
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tifffile import TiffFile, TiffPage, TiffPageSeries

from elephant.dataset.readers.axes import LEADING, leading_axes
from elephant.dataset.readers.tiff_files import (
    check_end,
    check_readable,
    page_at,
    page_offsets,
    segment_shape,
    truncated,
)
from elephant.dataset.readers.tiff_ome import UNCALIBRATED, in_unit
from elephant.errors import DatasetError
from elephant.progress import CancelToken
from elephant.types import VoxelSize
from elephant.units import unit_named

MISSING = -1
_PAGE_AXES = "SYX"
_PER_CENTIMETRE = 3


@dataclass(frozen=True, slots=True)
class Page:
    """What the pages of a stack have in common.

    Attributes
    ----------
    height, width, samples
        Lengths of Y, X and of the colours of a pixel.
    dtype
        NumPy's letters for the type, with the order of bytes.
    is_planar
        Whether colours are stored one after the other.
    block
        Y, X of the pieces in which it is stored; None: lines.
    levels
        Y, X of its smaller copies, largest first.
    is_inverted
        Whether 0 is white.
    """

    height: int
    width: int
    samples: int
    dtype: str
    is_planar: bool
    block: tuple[int, int] | None
    levels: tuple[tuple[int, int], ...] = ()
    is_inverted: bool = False

    @classmethod
    def of(cls, tif: TiffFile, page: TiffPage, path: Path) -> "Page":
        """Return what a page says; those after it are compared with that when they are read."""
        check_readable(page, path)
        levels = []
        for offset in page.subifds or ():
            smaller = page_at(tif, int(offset))
            if facts_of(smaller)[2:] != facts_of(page)[2:] or not smaller.dataoffsets or 0 in smaller.shaped:
                break
            levels.append((smaller.imagelength, smaller.imagewidth))
        return cls(
            *facts_of(page),
            block=None if page.is_contiguous else segment_shape(page),
            levels=tuple(levels),
            is_inverted=page.photometric == 0 and page.bitspersample > 1,
        )

    @property
    def n_bytes(self) -> int:
        """Size of its values."""
        return self.height * self.width * self.samples * np.dtype(self.dtype).itemsize


def facts_of(page: TiffPage) -> tuple[int, int, int, str, bool]:
    """Return Y, X, the number of colours, the type and the order of colours of a page."""
    dtype = "" if page.dtype is None else np.dtype(page.dtype).newbyteorder(page.parent.byteorder).str
    samples = page.samplesperpixel
    return page.imagelength, page.imagewidth, samples, dtype, page.planarconfig == 2 and samples > 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """An image of a TIFF, of which each channel is a source.

    Attributes
    ----------
    name
        Its name; may be empty.
    files
        The files that its planes are in.
    places
        (T, C, Z): where the page of each plane begins in its file, or `MISSING`; where `is_raw`, its first value.
    numbers
        (T, C, Z): which of the files it is in.
    is_raw
        Whether planes follow each other without pages of their own, as in files of ImageJ of more than 4 GiB.
    page
        What the pages are like.
    channels
        Names of the channels, as far as they are known.
    voxel_size, unit, interval
        As the file says; None if it does not. The interval is in seconds.
    missing_files
        Names of the files that it lacks.
    doubt
        What a person may want to know about the axes; empty if they are certain.
    """

    name: str = ""
    files: tuple[Path, ...]
    places: NDArray[np.int64]
    numbers: NDArray[np.int32]
    is_raw: bool = False
    page: Page
    channels: tuple[str, ...] = ()
    voxel_size: VoxelSize | None = None
    unit: str = ""
    interval: float | None = None
    missing_files: tuple[str, ...] = ()
    doubt: str = ""


def series_stacks(tif: TiffFile, path: Path, axes: str | None, unknown: str, cancel: CancelToken) -> list[Stack]:
    """Return the images of a TIFF without OME-XML.

    Parameters
    ----------
    tif, path
        The file.
    axes
        Its axes as the person gives them; None: what the file says.
    unknown
        What axes of which the file does not say the meaning are taken for; empty: they are an error.
    cancel
        Asked now and then.

    Raises
    ------
    DatasetError
        It is damaged, or does not say what its axes are.
    InvalidInputError
        The given axes do not fit.
    """
    n_pages = len(page_offsets(tif, path, cancel))
    _check_whole(tif, path, n_pages)
    return [_of_series(tif, series, path, axes, unknown) for series in tif.series if series.keyframe is not None]


def _check_whole(tif: TiffFile, path: Path, n_pages: int) -> None:
    """Refuse a file that says that it holds more images than it does; tifffile would return the first one."""
    for is_kind, kind in ((tif.is_imagej, "imagej"), (tif.is_shaped, "shaped")):
        if is_kind and kind not in {series.kind for series in tif.series}:
            raise truncated(path, n_pages, tif.filehandle.size)
    stated = int((tif.imagej_metadata or {}).get("images", 1)) if tif.is_imagej else 1
    found = sum(math.prod(series.shape) // max(1, math.prod(series.keyframe.shape)) for series in tif.series)
    if stated > found:
        raise DatasetError(
            f"expected {path.name} to hold {stated} images, as ImageJ wrote into it, got {found}: it is truncated; "
            "copy it again, or export it again"
        )


def _of_series(tif: TiffFile, series: TiffPageSeries, path: Path, axes: str | None, unknown: str) -> Stack:
    page = Page.of(tif, series.keyframe, path)
    has_planes = page.is_planar and _has_planes_for_colours(series, axes)
    if has_planes:
        page = _of_one_plane(series, page, path)
    of_page = _PAGE_AXES.removeprefix("S") if has_planes else _PAGE_AXES
    lead = [(a, n) for a, n in zip(series.axes, series.shape, strict=True) if a not in of_page]
    found, sizes = "".join(a for a, _ in lead), tuple(n for _, n in lead)
    letters = leading_axes(found, sizes, axes, path, unknown)
    places, is_raw = _places(tif, series, math.prod(sizes), page, path)
    if not is_raw:
        check_end(tif, page_at(tif, int(places[-1])), len(places), path)
    if series.kind == "imagej":
        meta = dict(tif.imagej_metadata or {})
    else:
        meta = dict((tif.shaped_metadata or ({},))[0]) if series.kind == "shaped" else {}
    ordered = _in_order(places, letters, sizes)
    size, unit = _voxel_size(tif.pages.first, meta, ordered.shape[2])
    return Stack(
        name=series.name if len(tif.series) > 1 else "",
        files=(path,),
        places=ordered,
        numbers=np.zeros(ordered.shape, np.int32),
        is_raw=is_raw,
        page=page,
        channels=_labels(meta, ordered.shape[1]),
        voxel_size=size,
        unit=unit,
        interval=_positive(meta.get("finterval")),
        doubt="" if axes is not None or series.kind != "imagej" else _doubt(letters, sizes),
    )


def _has_planes_for_colours(series: TiffPageSeries, axes: str | None) -> bool:
    """Return whether what pages have for colours, one after the other, are planes, channels or timepoints.

    tifffile stores each three or four of them as a page of colours, unless it is told otherwise.
    """
    if "S" not in series.axes:
        return True
    if axes is None or axes.upper().endswith("S"):
        return False
    n_long = sum(n > 1 for a, n in zip(series.axes, series.shape, strict=True) if a not in _PAGE_AXES)
    return len(axes) - len("YX") == n_long + 1


def _of_one_plane(series: TiffPageSeries, page: Page, path: Path) -> Page:
    """Return what a page of colours is like for each of them.

    Raises
    ------
    DatasetError
        They cannot be told apart by where they are in the file.
    """
    if series.dataoffset is None or page.block is not None or page.levels:
        raise DatasetError(
            f"expected each plane of {path.name} in a page of its own, got {page.samples} planes in each page, as if "
            "these were colours, compressed or in tiles: save it again with pages of one plane (in tifffile: "
            "photometric='minisblack'), or without compression"
        )
    return replace(page, samples=1, is_planar=False)


def _doubt(letters: str, sizes: tuple[int, ...]) -> str:
    """Return a warning for a stack of planes: programs without a notion of time save timepoints like that."""
    lengths = {letter: n for letter, n in zip(letters, sizes, strict=True) if n > 1}
    if set(lengths) != {"Z"}:
        return ""
    return f"one timepoint of {lengths['Z']} planes (Z): if these are timepoints, give `axes` TYX"


def _places(tif: TiffFile, series: TiffPageSeries, n: int, page: Page, path: Path) -> tuple[NDArray[np.int64], bool]:
    """Return where the planes of a series are, and whether these are places of values and not of pages."""
    size = tif.filehandle.size
    if series.dataoffset is not None and page.block is None and not page.levels:
        if series.dataoffset + n * page.n_bytes > size:
            raise truncated(path, len(tif.pages), size)
        return series.dataoffset + page.n_bytes * np.arange(n, dtype=np.int64), True
    found = [each.offset if each is not None else 0 for each in series.pages]
    if len(found) != n or not all(found):
        raise DatasetError(
            f"expected {path.name} to hold {n} pages, as its description says, got {len(found)}: export the movie "
            "again, or open it in Fiji and save it as TIFF"
        )
    return np.array(found, np.int64), False


def _in_order(places: NDArray[np.int64], letters: str, sizes: tuple[int, ...]) -> NDArray[np.int64]:
    """Return places as T, C, Z."""
    long = [i for i, letter in enumerate(letters) if letter in LEADING]
    shaped = places.reshape([sizes[i] for i in long])
    names = [letters[i] for i in long]
    ordered = shaped.transpose([names.index(letter) for letter in LEADING if letter in names])
    return np.expand_dims(ordered, tuple(i for i, letter in enumerate(LEADING) if letter not in names))


def _labels(meta: dict[str, Any], n_channels: int) -> tuple[str, ...]:
    """Return the names of channels: tifffile writes and reads them as labels of the first planes."""
    labels = meta.get("Labels") or ()
    if n_channels < 2 or not isinstance(labels, list | tuple) or len(labels) < n_channels:
        return ()
    names = tuple(str(label).strip() for label in labels[:n_channels])
    return names if len(set(names)) == n_channels and all(names) else ()


def _voxel_size(page: TiffPage, meta: dict[str, Any], n_z: int) -> tuple[VoxelSize | None, str]:
    """Return the size of a voxel that ImageJ wrote: Y and X as pixels per unit, Z as the spacing of planes.

    ImageJ names the units of Y and Z only where they differ from that of X. tifffile may have written pixels per
    centimetre beside a spacing in another unit.
    """
    unit = _unit(meta.get("unit"))
    if unit_named(unit) in UNCALIBRATED:
        return None, ""
    units = [_unit(meta.get(f"{axis}unit")) or unit for axis in ("z", "y")] + [unit]
    if page.tags.valueof(296) == _PER_CENTIMETRE:
        units[1:] = ["cm", "cm"]
    edges = [_positive(meta.get("spacing")), _per_pixel(page, 283), _per_pixel(page, 282)]
    found = [in_unit(edge, own, unit) for edge, own in zip(edges, units, strict=True)]
    if n_z == 1 and found[0] is None:
        found[0] = 1.0
    if any(edge is None for edge in found):
        return None, ""
    z, y, x = (edge for edge in found if edge is not None)
    return VoxelSize(z, y, x), unit


def _unit(text: object) -> str:
    return re.sub(r"\\u00b5", "µ", str(text or ""), flags=re.IGNORECASE).strip()


def _per_pixel(page: TiffPage, tag: int) -> float | None:
    value = page.tags.valueof(tag)
    if not isinstance(value, tuple) or len(value) != 2 or not value[0]:
        return None
    return _positive(value[1] / value[0])


def _positive(value: object) -> float | None:
    number = float(value) if isinstance(value, int | float) else math.nan
    return number if math.isfinite(number) and number > 0 else None
