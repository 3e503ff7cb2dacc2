"""What reads a movie of a format: the contract between the conversion and a package that adds a format.

A package adds a subclass of :class:`Reader` under the entry-point group ``elephant.readers``. The core checks what it
returns and reports what it raises as its own fault, so it need not guard against either.
"""

import hashlib
import logging
import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol, Self

import numpy as np

from elephant.dataset.layout import grow, regions
from elephant.dataset.source import content, samples, unit_of
from elephant.errors import DatasetError, InvalidInputError
from elephant.hardware import total_bytes
from elephant.progress import CancelToken
from elephant.types import Shape, VoxelSize
from elephant.words import in_ranges

_MOST_NAMED = 8

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ViewSetup:
    """One source of a movie: a channel, an angle, a tile or an illumination.

    Attributes
    ----------
    id
        Its number: S in ``/sSS`` of a BigDataViewer file.
    name
        Its name; may be empty.
    size
        (Z, Y, X) in voxels; None if the file has no size.
    voxel_size
        Physical edges of a voxel; None if the file has none, or an impossible one.
    unit
        Unit of the voxel size as written, such as ``micrometer`` or ``µm``; may be empty.
    attributes
        For each attribute (``channel``, ``angle``, ...) the name of its value, or its number.
    """

    id: int
    name: str = ""
    size: Shape | None = None
    voxel_size: VoxelSize | None = None
    unit: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """Its name for people, such as ``source 1 (GFP)``."""
        return f"source {self.id} ({self.name})" if self.name else f"source {self.id}"


def choose(setups: tuple[ViewSetup, ...], number: int | None, path: Path) -> ViewSetup:
    """Return the source with a number, or the first if it is None.

    Raises
    ------
    InvalidInputError
        The movie at `path` has no source with this number.
    """
    if number is None:
        return setups[0]
    chosen = next((setup for setup in setups if setup.id == number), None)
    if chosen is None:
        raise InvalidInputError(
            f"expected `setup` to be a source of {path.name}, got {number}: it has {listed(setups)}"
        )
    return chosen


def say_what_was_taken(
    path: Path, setup: ViewSetup, others: Sequence[ViewSetup], blank: Sequence[int], *, is_chosen: bool
) -> None:
    """Log which of several sources is used, and which timepoints of the dataset are blank.

    Parameters
    ----------
    path
        The movie.
    setup, others
        The source that is used, and the movie's other ones.
    blank
        Timepoints without an image, counted from 0.
    is_chosen
        Whether the user chose this source.
    """
    if others:
        logger.log(
            logging.INFO if is_chosen else logging.WARNING,
            "%s has %d sources, and %s is used: %s",
            path.name,
            len(others) + 1,
            setup.title,
            _way_to(others),
        )
    if blank:
        is_one = len(blank) == 1
        logger.warning(
            "%s of the dataset %s blank: %s of %s has no image there",
            timepoints_in_words(blank),
            "is" if is_one else "are",
            setup.title,
            path.name,
        )


def listed(setups: Sequence[ViewSetup]) -> str:
    """Format the numbers and names of the first sources, and how many more there are."""
    words = ", ".join(f"{s.id} ({s.name})" if s.name else str(s.id) for s in setups[:_MOST_NAMED])
    return words + (f" and {len(setups) - _MOST_NAMED} more" if len(setups) > _MOST_NAMED else "")


def timepoints_in_words(numbers: Sequence[int]) -> str:
    """Format ascending timepoints as ``timepoints 0-4, 7``, shortened if there are many."""
    return f"timepoint{'s' * (len(numbers) > 1)} {in_ranges(numbers, _MOST_NAMED)}"


def _way_to(others: Sequence[ViewSetup]) -> str:
    if len(others) > 1:
        return f"choose another one with `setup`: {listed(others)}"
    name = f" ({others[0].name})" if others[0].name else ""
    return f"choose the other one with `setup` {others[0].id}{name}"


DTYPES = ("uint8", "uint16", "float32", "float64")

_PIECE_BYTES = 8 * 2**20
_WORKING_BYTES = 4  # of a voxel in a network's input
_MOST_FILES = 1000

Region = tuple[slice, ...]


class Voxels(Protocol):
    """The image of a timepoint, which can be read in pieces: a NumPy memory map, or an array of Zarr or HDF5."""

    def __getitem__(self, region: Region) -> Any:
        """Return the values of a box, (Z, Y, X), of the reader's type."""


@dataclass(frozen=True, kw_only=True)
class Reader(ABC):
    """Reads a movie of one format.

    It holds no open file and can be pickled: a large movie is read by several processes, each of which gets a copy and
    opens one timepoint at a time. Coordinates are always in the order Z, Y, X; a plane has one Z.

    Attributes
    ----------
    suffixes
        Class attribute: the endings of this format's file names, in lower case, such as ``(".npy",)``.
    path
        The file or folder.
    shape
        (Z, Y, X) of a timepoint, in voxels, the same for all timepoints.
    dtype
        NumPy name of the type of the values: uint8, uint16, float32 or float64.
    n_timepoints
        T, at least 1.
    setup, others
        The source (channel, angle) that is read, with its voxel size if known, and the movie's other sources.
    blank_timepoints
        Timepoints without an image, counted from 0; they are never read.
    chunks
        (Z, Y, X) of the blocks in which images are stored, so that none is read twice; None: lines along X.
    stored_bytes
        Size of the images on disk; None if not known.
    """

    suffixes: ClassVar[tuple[str, ...]] = ()

    path: Path
    shape: Shape
    dtype: str
    n_timepoints: int
    setup: ViewSetup = field(default_factory=lambda: ViewSetup(0))
    others: tuple[ViewSetup, ...] = ()
    blank_timepoints: tuple[int, ...] = ()
    chunks: Shape | None = None
    stored_bytes: int | None = None

    @classmethod
    def claims(cls, path: Path) -> bool:
        """Return whether an existing file or folder is of this format, by its name or its content."""
        return path.name.lower().endswith(cls.suffixes)

    @classmethod
    @abstractmethod
    def open(cls, path: Path, setup: int | None, *, fill_gaps: bool, cancel: CancelToken) -> Self:
        """Inspect a movie without reading its images.

        Parameters
        ----------
        path
            The file or folder.
        setup
            Number of the source to read; None for the movie's first.
        fill_gaps
            Whether missing timepoints become blank; otherwise they are an error.
        cancel
            To be asked if this takes long.

        Raises
        ------
        DatasetError
            The movie cannot be read; the message should say what was expected, what was found, and what to do.
        InvalidInputError
            There is no such source.
        """

    @abstractmethod
    def timepoint(self, t: int) -> AbstractContextManager[Voxels]:
        """Open a timepoint, which is read in pieces of a few MB.

        Raises
        ------
        DatasetError
            It is damaged.
        """

    def files(self) -> tuple[Path, ...]:
        """Return the files whose times and sizes reveal a change: of a folder, its first thousand files."""
        if self.path.is_file():
            return (self.path,)
        return tuple(sorted(path for path in self.path.rglob("*") if path.is_file())[:_MOST_FILES])

    @classmethod
    def digest(cls, path: Path, setup: int | None, cancel: CancelToken) -> str:
        """Return a digest of sampled values, which identifies a movie when its files' times have changed.

        Parameters
        ----------
        path, setup
            As for :meth:`open`.
        cancel
            Asked for every block.
        """
        reader = cls.open(path, setup, fill_gaps=True, cancel=cancel)
        itemsize = np.dtype(reader.dtype).itemsize
        unit = unit_of(reader.stored_blocks(), reader.shape, itemsize)
        digest = hashlib.blake2b(f"{reader.n_timepoints} {reader.shape} {reader.dtype}".encode(), digest_size=16)
        blank = set(reader.blank_timepoints)
        for t, blocks in samples(reader.n_timepoints, reader.shape, unit, itemsize):
            if t in blank:
                digest.update(f"{t}: none".encode())
                continue
            with reader.timepoint(t) as image:
                for block in blocks:
                    cancel.check()
                    digest.update(content(image, block))
        return digest.hexdigest()

    def pieces(self, region: Region) -> Iterator[Region]:
        """Cut a region, (Z, Y, X), into pieces of a few MB along the blocks in which the movie is stored."""
        block = grow(self.stored_blocks(), self.shape, _PIECE_BYTES // np.dtype(self.dtype).itemsize)
        for piece in regions(self.shape, block):
            cut = tuple(slice(max(p.start, r.start), min(p.stop, r.stop)) for p, r in zip(piece, region, strict=True))
            if all(c.start < c.stop for c in cut):
                yield cut

    def stored_blocks(self) -> Shape:
        """Return the shape of the blocks in which images are stored, or of a line along X."""
        return self.chunks or (1, 1, self.shape[2])


def check_memory(shape: Shape, path: Path) -> None:
    """Check that this machine has enough memory for timepoints of a shape, (Z, Y, X).

    Raises
    ------
    DatasetError
        It has too little memory.
    """
    there_is = total_bytes()
    needed = math.prod(shape) * _WORKING_BYTES
    if needed > there_is:
        raise DatasetError(
            f"a timepoint of {path.name} has {by(shape)} voxels (Z, Y, X) and would need "
            f"{needed / 2**30:.3g} GiB of memory, but this machine has {there_is / 2**30:.3g} GiB: "
            "export a part of the movie, or a smaller one"
        )


def by(shape: Iterable[int]) -> str:
    """Format a shape as ``3 x 4 x 5``."""
    return " x ".join(map(str, shape))
