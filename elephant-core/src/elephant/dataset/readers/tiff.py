"""TIFF movies: OME-TIFF in one file or several, hyperstacks of ImageJ, and stacks of pages, classic TIFF or BigTIFF."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from elephant.dataset.readers.base import (
    EXACT_DTYPES,
    Level,
    Reader,
    ViewSetup,
    choose,
    timepoints_in_words,
)
from elephant.dataset.readers.bdv_xml import MOST_TIMEPOINTS
from elephant.dataset.readers.tiff_files import (
    SUFFIXES,
    is_tiff,
    opened,
)
from elephant.dataset.readers.tiff_ome import parse
from elephant.dataset.readers.tiff_ome_files import is_companion, ome_stacks, read_companion
from elephant.dataset.readers.tiff_pages import Timepoint, level_page
from elephant.dataset.readers.tiff_stacks import MISSING, Page, Stack, series_stacks
from elephant.errors import DatasetError, InvalidInputError
from elephant.progress import CancelToken, NeverCancelled
from elephant.types import Shape, VoxelSize

# Other numbers become floats that hold them exactly; the conversion says how it scales those.
DTYPES = EXACT_DTYPES | {"bool": "uint8"}
_IN_DOUBT = "ZTC"
_COLOURS = ("red", "green", "blue", "alpha")

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class TiffReader(Reader):
    """Reads a TIFF, of which each channel of each image is a source.

    Attributes
    ----------
    parts
        The files that hold the planes.
    places, numbers
        (T, Z): where the page of each plane begins (or its first value, if `is_raw`), and in which file.
    is_raw
        Whether planes follow each other without pages of their own.
    page
        What the pages are like.
    sample
        Which of the colours of a pixel is read.
    doubt
        What a person may want to know about the axes; empty if they are certain.
    """

    takes_axes: ClassVar[bool] = True

    parts: tuple[Path, ...]
    places: NDArray[np.int64] = field(compare=False, repr=False)
    numbers: NDArray[np.int32] = field(compare=False, repr=False)
    is_raw: bool
    page: Page
    sample: int = 0
    doubt: str = ""

    @classmethod
    def claims(cls, path: Path) -> bool:
        """Return whether a file is a TIFF by its beginning, or the metadata of several."""
        if is_companion(path):
            return path.is_file()
        return path.name.lower().endswith(SUFFIXES) or (path.is_file() and is_tiff(path))

    @classmethod
    def open(
        cls,
        path: Path,
        setup: int | None = None,
        *,
        fill_gaps: bool = False,
        cancel: CancelToken = NeverCancelled(),  # noqa: B008 - has no state
        axes: str | None = None,
    ) -> Self:
        """Inspect a movie without reading its images.

        Parameters
        ----------
        path
            The file; one of several OME-TIFFs that belong together; or their companion file.
        setup
            Number of the channel to read; None for the first.
        fill_gaps
            Whether timepoints that lack planes become blank.
        cancel
            Asked for every file, and now and then for pages.
        axes
            The axes in the order of the file, such as ``TZYX``; None: what the file says.

        Raises
        ------
        NotFoundError
            There is no such file.
        InvalidInputError
            There is no such channel, or the axes do not fit.
        DatasetError
            It cannot be read, lacks planes, or does not say what its axes are.
        """
        found = cls.inspect(path, setup, fill_gaps=fill_gaps, cancel=cancel, axes=axes)
        if found.doubt:
            logger.warning("%s is taken as %s", path.name, found.doubt)
        if found.page.is_inverted:
            logger.warning("0 is white in %s: if nuclei are dark, invert the movie in Fiji first", path.name)
        return found

    @classmethod
    def inspect(
        cls,
        path: Path,
        setup: int | None,
        *,
        fill_gaps: bool,
        cancel: CancelToken,
        axes: str | None = None,
        unknown: str = "",
    ) -> Self:
        """Do the same in silence; axes without a meaning are taken for those of `unknown`, one after the other."""
        stacks = _stacks(path, axes, unknown, cancel)
        sources = list(_sources(stacks))
        setups = tuple(each for each, *_ in sources)
        chosen = choose(setups, setup, path)
        _, stack, channel, sample = sources[setups.index(chosen)]
        places = np.ascontiguousarray(stack.places[:, channel])
        blank = tuple(int(t) for t in np.flatnonzero((places == MISSING).any(axis=1)))
        _check(stack, places, blank, path, fill_gaps=fill_gaps)
        page = stack.page
        shape = (places.shape[1], page.height, page.width)
        stored = sum(part.stat().st_size for part in stack.files if part.is_file())
        return cls(
            path=path,
            shape=shape,
            dtype=DTYPES[np.dtype(page.dtype).name],
            n_timepoints=len(places),
            setup=chosen,
            others=tuple(each for each in setups if each is not chosen),
            blank_timepoints=blank,
            chunks=_chunks(page),
            levels=_levels(shape, page, chosen),
            stored_bytes=stored // len(sources),
            given_axes=axes,
            parts=stack.files,
            places=places,
            numbers=np.ascontiguousarray(stack.numbers[:, channel]),
            is_raw=stack.is_raw,
            page=page,
            sample=sample,
            interval=stack.interval,
            doubt=stack.doubt,
        )

    @classmethod
    def digest(cls, path: Path, setup: int | None, cancel: CancelToken) -> str:
        """Return a digest of sampled values, whatever axes a person gave."""
        try:
            found = cls.inspect(path, setup, fill_gaps=True, cancel=cancel, unknown=_IN_DOUBT)
        except InvalidInputError:  # with the given axes there is such a source
            found = cls.inspect(path, None, fill_gaps=True, cancel=cancel, unknown=_IN_DOUBT)
        return found.digest_of_values(cancel)

    def at_level(self, level: int) -> Self:
        """Return a reader of a smaller copy, which TIFF keeps beside each page (in its SubIFDs)."""
        if level == self.level:
            return self
        t, z = np.argwhere(self.places != MISSING)[0]
        part = self.parts[self.numbers[t, z]]
        with opened(part) as tif:
            page = Page.of(tif, level_page(tif, int(self.places[t, z]), level), part)
        wanted = self.levels[level]
        return replace(
            self,
            level=level,
            shape=wanted.shape,
            page=page,
            chunks=_chunks(page),
            stored_bytes=None,
            setup=replace(self.setup, size=wanted.shape, voxel_size=wanted.voxel_size),
        )

    @contextmanager
    def timepoint(self, t: int) -> Iterator[Timepoint]:
        """Open a timepoint for reading blocks of it, page by page and piece by piece."""
        with ExitStack() as files:
            yield Timepoint(self, t, files)

    def files(self) -> tuple[Path, ...]:
        """Return the files that hold the planes, and the one with the metadata."""
        return tuple(dict.fromkeys((self.path, *self.parts)))


def _stacks(path: Path, axes: str | None, unknown: str, cancel: CancelToken) -> list[Stack]:
    if is_companion(path):
        return ome_stacks(read_companion(path), path, cancel)
    with opened(path) as tif:
        if not tif.is_ome:
            found = series_stacks(tif, path, axes, unknown, cancel)
            if not found:
                raise DatasetError(f"expected {path.name} to hold images, got none: export it again")
            return found
        document = parse(tif.ome_metadata or "", path)
    return ome_stacks(document, path, cancel)


def _chunks(page: Page) -> Shape | None:
    return None if page.block is None else (1, min(page.block[0], page.height), min(page.block[1], page.width))


def _levels(shape: Shape, page: Page, setup: ViewSetup) -> tuple[Level, ...]:
    """Return the resolutions, the full one first; none if that is the only one."""
    if not page.levels:
        return ()
    levels, own = [Level(shape, setup.voxel_size)], setup.voxel_size
    for height, width in page.levels:
        edges = None
        if own is not None:
            edges = VoxelSize(own.z, own.y * _factor(page.height, height), own.x * _factor(page.width, width))
        levels.append(Level((shape[0], height, width), edges))
    return tuple(levels)


def _factor(full: int, smaller: int) -> float:
    """Return by how much a voxel is longer: a whole number where the smaller length is rounded from such."""
    whole = round(full / smaller)
    return float(whole) if abs(full - whole * smaller) < whole else full / smaller


def _sources(stacks: Sequence[Stack]) -> Iterator[tuple[ViewSetup, Stack, int, int]]:
    """Yield each source with its image, channel and colour."""
    number = 0
    for i, stack in enumerate(stacks):
        n_channels, samples = stack.places.shape[1], stack.page.samples
        size = (stack.places.shape[2], stack.page.height, stack.page.width)
        for c in range(n_channels * samples):
            channel, sample = divmod(c, samples)
            name = _name(stack, channel, sample)
            attributes = {"channel": name or str(c)}
            if len(stacks) > 1:
                attributes["image"] = stack.name or str(i)
                name = ", ".join(filter(None, (attributes["image"], name)))
            yield ViewSetup(number, name, size, stack.voxel_size, stack.unit, attributes), stack, channel, sample
            number += 1


def _name(stack: Stack, channel: int, sample: int) -> str:
    name = stack.channels[channel] if channel < len(stack.channels) else ""
    if stack.page.samples == 1:
        return name
    colour = _COLOURS[sample] if stack.page.samples in (3, 4) else f"sample {sample}"
    return f"{name} {colour}".strip()


def _check(stack: Stack, places: NDArray[np.int64], blank: tuple[int, ...], path: Path, *, fill_gaps: bool) -> None:
    """Refuse a source that lacks planes, or of which no dataset can be made."""
    dtype = np.dtype(stack.page.dtype).name
    if dtype not in DTYPES:
        raise DatasetError(
            f"expected images of {path.name} to be {', '.join(DTYPES)}, got {dtype}: convert the movie to 16 bits "
            "in Fiji"
        )
    if len(places) > MOST_TIMEPOINTS:
        raise DatasetError(
            f"expected {path.name} to have at most {MOST_TIMEPOINTS} timepoints, got {len(places)}: export a part of it"
        )
    if not blank or (fill_gaps and len(blank) < len(places)):
        return
    names = stack.missing_files
    if names:
        some = f"{names[0]}{f' and {len(names) - 1} more' if len(names) > 1 else ''}"
        raise DatasetError(
            f"{path.name} names {len(stack.files)} files, of which {len(names)} are missing: copy {some} beside it"
            ", or give `fill_gaps` to leave the timepoints in them blank"
        )
    raise DatasetError(
        f"expected {path.name} to hold all planes, but {timepoints_in_words(blank)} of {len(places)} lack some, as "
        "after a recording that was stopped: export the movie again, or give `fill_gaps` to leave these blank"
    )
