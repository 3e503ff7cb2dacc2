"""What reads a movie of a format: the contract between the conversion and a package that adds a format.

A package adds a subclass of :class:`Reader` under the entry-point group ``elephant.readers``. The core checks what it
returns and reports what it raises as its own fault, so it need not guard against either.

Three things are up to a reader, and need nothing where a format has none of them:

- **Levels of a resolution pyramid.** ``open`` returns the reader of full resolution, whose ``levels`` lists the size
  and voxel size of each level, finest first and itself included. The core asks that reader for another one with
  ``at_level``. It returns a copy with the ``shape``, ``chunks``, ``stored_bytes``, the voxel size in ``setup``, and
  ``level`` of the wanted level: ``dataclasses.replace`` does. The number was checked before. ``open`` does not judge
  whether a timepoint fits into memory: the core does, for the level that was chosen.
- **Reading in place.** A dataset may read from the movie itself instead of a copy. Then :meth:`Reader.timepoint` is
  called for each box that is read, often with a small box, so it should open in milliseconds. A reader sets
  ``in_place`` to False where a small box costs as much as a whole timepoint.
- **Stamps.** Whether a movie changed is told by sizes and times of ``files()``, looked at often, and by ``digest``
  where these differ. Both are of the whole movie at full resolution, whichever part of it a dataset holds.

Which timepoints are read, and the source by the name of its channel, are chosen by the core, for every reader.
"""

import hashlib
import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol, Self

import numpy as np

from elephant.dataset.layout import grow, regions
from elephant.dataset.readers.sources import ViewSetup, choose, listed, say_what_was_taken, timepoints_in_words
from elephant.dataset.source import content, samples, unit_of
from elephant.errors import DatasetError
from elephant.hardware import total_bytes
from elephant.progress import CancelToken
from elephant.types import Shape, VoxelSize

__all__ = [
    "DTYPES",
    "Level",
    "Reader",
    "Region",
    "ViewSetup",
    "Voxels",
    "by",
    "check_memory",
    "choose",
    "listed",
    "say_what_was_taken",
    "timepoints_in_words",
]

DTYPES = ("uint8", "uint16", "float32", "float64")
# Types of files, and those that hold their values exactly; the conversion says how it scales floats.
EXACT_DTYPES = {name: name for name in DTYPES} | {
    "int8": "float32", "int16": "float32", "float16": "float32", "int32": "float64", "uint32": "float64",
}  # fmt: skip

_PIECE_BYTES = 8 * 2**20
_WORKING_BYTES = 4  # of a voxel in a network's input
_MOST_FILES = 1000

Region = tuple[slice, ...]


class Voxels(Protocol):
    """The image of a timepoint, which can be read in pieces: a NumPy memory map, or an array of Zarr or HDF5."""

    def __getitem__(self, region: Region) -> Any:
        """Return the values of a box, (Z, Y, X), of the reader's type."""


@dataclass(frozen=True, slots=True)
class Level:
    """One resolution of a movie.

    Attributes
    ----------
    shape
        (Z, Y, X) of a timepoint, in voxels.
    voxel_size
        Physical edges of its voxels; None if not known.
    """

    shape: Shape
    voxel_size: VoxelSize | None = None


@dataclass(frozen=True, kw_only=True)
class Reader(ABC):
    """Reads a movie of one format.

    It holds no open file and can be pickled: a large movie is read by several processes, each of which gets a copy and
    opens one timepoint at a time. Coordinates are always in the order Z, Y, X; a plane has one Z.

    Attributes
    ----------
    suffixes
        Class attribute: the endings of this format's file names, in lower case, such as ``(".npy",)``.
    takes_axes
        Class attribute: whether movies may not say their axes, so that ``open`` has a parameter `axes` (``TZYX``).
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
    levels
        The movie's resolutions, finest first; empty: there is just one.
    level
        Which of them is read; 0 is full resolution.
    given_axes
        The axes that a person gave; None: what the movie says.
    interval
        Seconds between timepoints; None if not known.
    in_place
        Whether small boxes can be read without reading much more, so that a dataset can do without a copy.
    """

    suffixes: ClassVar[tuple[str, ...]] = ()
    takes_axes: ClassVar[bool] = False

    path: Path
    shape: Shape
    dtype: str
    n_timepoints: int
    setup: ViewSetup = field(default_factory=lambda: ViewSetup(0))
    others: tuple[ViewSetup, ...] = ()
    blank_timepoints: tuple[int, ...] = ()
    chunks: Shape | None = None
    stored_bytes: int | None = None
    levels: tuple[Level, ...] = ()
    level: int = 0
    given_axes: str | None = None
    interval: float | None = None
    in_place: bool = True

    @classmethod
    def claims(cls, path: Path) -> bool:
        """Return whether an existing file or folder is of this format, by its name or its content."""
        return path.name.lower().endswith(cls.suffixes)

    @classmethod
    @abstractmethod
    def open(cls, path: Path, setup: int | None, *, fill_gaps: bool, cancel: CancelToken) -> Self:
        """Inspect a movie at full resolution without reading its images.

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

    def at_level(self, level: int) -> Self:
        """Return a reader of another resolution of this movie.

        Parameters
        ----------
        level
            An index of `levels`.

        Raises
        ------
        DatasetError
            The level is damaged.
        """
        if level != self.level:
            raise NotImplementedError(f"{type(self).__name__} lists levels, and has no at_level()")
        return self

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
        return cls.open(path, setup, fill_gaps=True, cancel=cancel).digest_of_values(cancel)

    def digest_of_values(self, cancel: CancelToken) -> str:
        """Return the digest of the movie that this reads, at full resolution."""
        reader = self
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
