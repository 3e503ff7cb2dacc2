"""What a dataset was made from, and whether its movie is still the same.

``source.json`` in the dataset's folder is put in place in the same step as the arrays, so it always belongs to them.
Datasets of the original server have none.

A movie that was replaced by another one of the same name is recognised in about a second, whatever its size. The file
system's stamps are compared first, which costs nothing. Where they differ, as they do after a copy too, a digest of the
images decides: of all values of a small movie, and of blocks spread over the timepoints of a large one. Since it is of
values, a movie that was copied, repacked or got another source is still the same. A change of a few voxels of a large
movie may go unnoticed.
"""

import logging
import math
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, ValidationError

from elephant.config import Voxel
from elephant.dataset.layout import grow, regions
from elephant.errors import ElephantError
from elephant.io.addresses import address_of
from elephant.io.object_stamps import seen_object
from elephant.types import Shape, VoxelSize

SOURCE_FILE = "source.json"
_LARGEST_BYTES = 16 << 20

_StoredVoxel = Annotated[Voxel, PlainSerializer(lambda voxel: list(voxel.zyx))]
_Factor = Annotated[float, Field(gt=0)]

logger = logging.getLogger(__name__)


class _Stored(BaseModel):
    """Contents of the file: frozen, finite; keys of later versions are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False, arbitrary_types_allowed=True)


class FileStamp(_Stored):
    """What the file system says of a file: it differs if the content does.

    Attributes
    ----------
    name
        Path relative to the movie's folder.
    size
        Bytes.
    mtime_ns, ctime_ns, inode
        As :func:`os.stat` gives them.
    """

    name: str
    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int


class Fingerprint(_Stored):
    """What identifies a movie.

    Attributes
    ----------
    files
        The stamps of the movie's file and of its partitions.
    method
        How `digest` was made; only digests of the same method can be compared.
    digest
        Digest of sizes, type, and sampled values of the images.
    """

    files: tuple[FileStamp, ...]
    method: int
    digest: str


class DatasetSource(_Stored):
    """What a dataset was made from.

    Attributes
    ----------
    movie
        Name of the movie's file.
    reader
        Name of the reader that read it, if another package added it; None for BigDataViewer files.
    folder
        Absolute path of the movie's folder; None if that is the dataset's own.
    setup, setup_name, n_setups
        Number and name of the source (channel, angle) that was used, and how many the movie has. None if not known.
    axes
        Axes of the movie as a person gave them; None if it said them itself.
    weights
        The numbers of the sources that were added up in place of one, with their weights; then `setup_name` says it in
        words, and `setup` is None.
    level
        Which level of the movie's resolution pyramid was used; 0 is full resolution.
    t_start, t_end
        First and last timepoint of the movie that were used; None if all were.
    in_place
        Whether the images are read from the movie, of which the dataset holds no copy.
    blank_timepoints
        Timepoints of the dataset that the movie lacks, which are black.
    interval
        Seconds between timepoints; None if not known.
    voxel_size, unit
        Physical size of a voxel, Z, Y, X, and its unit, such as ``micrometer``.
    divisor
        Divisor of the values: ``stored = floor(value / divisor)``.
    offset, factor
        How values were scaled instead: ``stored = round((value - offset) * factor)``, clipped to the stored type;
        otherwise None.
    guessed_from
        How many blocks of the movie the scaling was guessed from; None if it was not guessed.
    fingerprint
        What identifies the movie.
    """

    movie: str
    reader: str | None = None
    folder: str | None = None
    setup: int | None = None
    setup_name: str | None = None
    n_setups: int | None = None
    axes: str | None = None
    weights: tuple[tuple[int, float], ...] = ()
    level: int = 0
    t_start: int | None = None
    t_end: int | None = None
    in_place: bool = False
    blank_timepoints: tuple[int, ...] = ()
    interval: _Factor | None = None
    voxel_size: _StoredVoxel | None = None
    unit: str | None = None
    divisor: _Factor = 1.0
    offset: float | None = None
    factor: _Factor | None = None
    guessed_from: int | None = None
    fingerprint: Fingerprint | None = None

    @classmethod
    def read(cls, folder: Path) -> Self | None:
        """Return what a dataset was made from; None if its folder has no ``source.json``, or none that can be read.

        Parameters
        ----------
        folder
            The dataset's folder.
        """
        try:
            with (folder / SOURCE_FILE).open("rb") as file:
                return cls.model_validate_json(file.read(_LARGEST_BYTES))
        except FileNotFoundError:
            return None
        except (OSError, ValidationError, ElephantError) as error:
            logger.warning("%s of %s cannot be read and is ignored: %s", SOURCE_FILE, folder.name, _short(error))
            return None

    def write(self, folder: Path) -> None:
        """Write the file into a folder: that of a running conversion, which puts it in place."""
        (folder / SOURCE_FILE).write_text(self.as_json(), encoding="utf-8")

    def as_json(self) -> str:
        """Return the content of the file."""
        return self.model_dump_json(indent=1, exclude_defaults=True)

    @property
    def title(self) -> str:
        """Its name for people, such as ``m.h5, source 1 (GFP) of 2, level 1, timepoints 5-9``."""
        return ", ".join(filter(None, (self.movie, self._setup_in_words(), self.part)))

    @property
    def part(self) -> str:
        """Which part of the source is used, such as ``level 1, timepoints 5-9``; empty for all of it."""
        level = f"level {self.level}" if self.level else ""
        times = "" if self.t_start is None else f"timepoints {self.t_start}-{self.t_end}"
        return ", ".join(filter(None, (level, times)))

    def _setup_in_words(self) -> str:
        if self.weights:
            return f"sum of sources: {self.setup_name}"
        if self.setup is None or self.n_setups == 1:
            return ""
        name = f" ({self.setup_name})" if self.setup_name else ""
        count = f" of {self.n_setups}" if self.n_setups else ""
        return f"source {self.setup}{name}{count}"

    @property
    def setups(self) -> tuple[int | None, ...]:
        """The numbers of the sources that were used; None if that is not known."""
        return tuple(setup for setup, _ in self.weights) or (self.setup,)

    @property
    def files(self) -> tuple[FileStamp, ...]:
        """Stamps of the movie's files when the dataset was made; empty if not known."""
        return () if self.fingerprint is None else self.fingerprint.files

    def movie_path(self, folder: Path) -> Path:
        """Return the path of the movie of the dataset in `folder`, which may be gone."""
        return (folder if self.folder is None else Path(self.folder)) / self.movie


def _short(error: Any) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__


TOLERANCE = 0.01


def voxel_size_in_words(voxel: VoxelSize, n_dims: int, unit: str | None = None) -> str:
    """Format a voxel size for people: ``0.4 x 0.4 x 2 micrometer (X, Y, Z)``."""
    edges = " x ".join(f"{edge:.6g}" for edge in reversed(voxel.last(n_dims)))
    return f"{edges}{f' {unit}' if unit else ''} ({', '.join('XYZ'[:n_dims])})"


def differ(one: VoxelSize, other: VoxelSize, n_dims: int) -> bool:
    """Return whether an edge of two voxel sizes differs by more than 1%; in 2D Z is ignored."""
    pairs = zip(one.last(n_dims), other.last(n_dims), strict=True)
    return any(abs(a - b) > TOLERANCE * max(a, b) for a, b in pairs)


def describe_difference(given: VoxelSize, source: DatasetSource | None, n_dims: int, name: str) -> str:
    """Return a sentence if a voxel size differs from the dataset's, otherwise an empty string.

    Parameters
    ----------
    given
        The voxel size of the stored image, as the user gives it.
    source
        What the dataset was made from; None if not known.
    n_dims
        3 or 2.
    name
        Name of the dataset.
    """
    known = None if source is None else source.voxel_size
    if source is None or known is None or not differ(given, known, n_dims):
        return ""
    return (
        f"the voxel size of {name} is {voxel_size_in_words(known, n_dims, source.unit)}, but "
        f"{voxel_size_in_words(given, n_dims)} was given, and is used: if it is right, correct the movie's .xml, or "
        "convert the movie again with that voxel size"
    )


Block = tuple[slice, ...]

METHOD = 1  # to be changed when the same movie would get another digest

_MOST_BYTES = 32 << 20  # of values, unless the movie's blocks are larger
_MOST_BLOCKS = 512
_LEAST_BLOCKS = 8
_LEAST_BLOCK_BYTES = 32 << 10
LARGEST_BLOCK_BYTES = 128 << 20  # larger ones are not read: a check must not take much memory
_GOLDEN = (math.sqrt(5) - 1) / 2  # its multiples spread evenly over 0 to 1


def stamp_of(folder: Path, name: str) -> FileStamp | None:
    """Return the stamp of a file; None if there is no regular file.

    On another machine it is that of the last seconds: the size and the version that the server gives.
    """
    if address_of(folder) is not None:
        address = address_of(folder / name)
        seen = None if address is None else seen_object(address)
        if seen is None:
            return None
        return FileStamp(name=name, size=seen.size, mtime_ns=0, ctime_ns=0, inode=seen.version)
    with suppress(OSError, ValueError):
        found = os.stat(f"{folder}/{name}")  # noqa: PTH116 - of a thousand files, a Path takes most of the time
        if stat.S_ISREG(found.st_mode):
            return FileStamp(
                name=name,
                size=found.st_size,
                mtime_ns=found.st_mtime_ns,
                ctime_ns=found.st_ctime_ns,
                inode=found.st_ino,
            )
    return None


def stamps_of(folder: Path, files: Iterable[Path]) -> tuple[FileStamp, ...]:
    """Return the stamps of files, with names relative to a folder; missing files are left out."""
    found = (stamp_of(folder, os.path.relpath(path, folder)) for path in files)
    return tuple(stamp for stamp in found if stamp is not None)


def unit_of(stored: Shape, shape: Shape, itemsize: int) -> Shape:
    """Return the shape of the blocks that are read: those in which an image is stored, or several of them."""
    return grow(tuple(stored), tuple(shape), _LEAST_BLOCK_BYTES // itemsize)


def content(image: Any, block: Block) -> bytes:
    """Return the values of a block of an image, little-endian; damage is reported when the block is converted."""
    try:
        values = np.asarray(image[block])
    except (OSError, RuntimeError, ValueError):
        return b"damaged"
    return np.ascontiguousarray(values, values.dtype.newbyteorder("<")).tobytes()


def samples(n_timepoints: int, shape: Shape, unit: Shape, itemsize: int) -> Iterator[tuple[int, list[Block]]]:
    """Yield the indices of the timepoints to read, and the blocks of each: all of a small movie, otherwise some.

    Parameters
    ----------
    n_timepoints
        T.
    shape
        (Z, Y, X) of a timepoint.
    unit
        Shape of the blocks, from :func:`unit_of`.
    itemsize
        Bytes of a value.
    """
    if n_timepoints <= _MOST_BLOCKS and n_timepoints * math.prod(shape) * itemsize <= _MOST_BYTES:
        yield from ((place, list(regions(shape, unit))) for place in range(n_timepoints))
        return
    n_blocks = min(_MOST_BLOCKS, max(_LEAST_BLOCKS, _MOST_BYTES // (math.prod(unit) * itemsize)))
    places = _spread(n_timepoints, n_blocks)
    each = n_blocks // len(places)
    for place in places:
        yield place, _some_blocks(shape, unit, place, each)


def _spread(n: int, most: int) -> list[int]:
    """Return at most `most` of the numbers below `n`, with the first and the last, in irregular steps."""
    if n <= most:
        return list(range(n))
    inner = (int((i + (i * _GOLDEN) % 1) * n / most) for i in range(1, most - 1))
    return sorted({0, n - 1, *inner})


def _some_blocks(shape: Shape, unit: Shape, place: int, count: int) -> list[Block]:
    """Return the block in the middle of an image, and others, which differ between timepoints."""
    grid = [math.ceil(size / edge) for size, edge in zip(shape, unit, strict=True)]
    n = math.prod(grid)
    middle = int(np.ravel_multi_index([g // 2 for g in grid], grid))
    chosen = {middle, *(int(((place + 1) * (k + 1) * _GOLDEN) % 1 * n) for k in range(count - 1))}
    corners = (np.unravel_index(i, grid) for i in sorted(chosen))
    return [
        tuple(slice(int(c) * u, min((int(c) + 1) * u, s)) for c, u, s in zip(corner, unit, shape, strict=True))
        for corner in corners
    ]
