"""Movies with a file for each timepoint, and perhaps for each channel and plane: TIFF or arrays of NumPy."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from elephant.dataset.readers.base import Reader, Region, ViewSetup, by, choose
from elephant.dataset.readers.bdv_xml import MOST_TIMEPOINTS
from elephant.dataset.readers.file_patterns import Members, infer, members_of_folder, members_of_pattern
from elephant.dataset.readers.npy import NpyReader
from elephant.dataset.readers.tiff import TiffReader
from elephant.dataset.readers.tiff_files import SUFFIXES
from elephant.errors import DatasetError, InvalidInputError
from elephant.progress import CancelToken, NeverCancelled
from elephant.types import Shape
from elephant.words import counted, in_ranges

_MOST_STAMPED = 1000
_MOST_NAMED = 8
_PLANES, _IN_DOUBT = "Z", "ZCT"  # what axes without a meaning are taken for
_KINDS: dict[tuple[str, ...], type[TiffReader] | type[NpyReader]] = {SUFFIXES: TiffReader, (".npy",): NpyReader}

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class FileSeriesReader(Reader):
    """Reads a movie with a file for each timepoint.

    Attributes
    ----------
    parts
        For each timepoint its file, or those of its planes; empty if it is blank.
    inner_setup
        The source within each file.
    unknown
        What axes without a meaning are taken for, one after the other.
    step
        By how much the number of a timepoint is larger than that of the one before.
    """

    takes_axes: ClassVar[bool] = True

    parts: tuple[tuple[Path, ...], ...] = field(repr=False)
    inner_setup: int
    unknown: str = _PLANES
    step: int = 1

    @classmethod
    def claims(cls, path: Path) -> bool:
        """Return whether a folder has files that may be timepoints; a pattern of names is no existing file."""
        if not path.is_dir():
            return False
        return any(_kind(each) is not None for each in path.iterdir() if not each.name.startswith("."))

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
        """Inspect a movie without reading its images; every file is opened.

        Parameters
        ----------
        path
            The folder, or a pattern of file names.
        setup
            Number of the channel to read; None for the first.
        fill_gaps
            Whether numbers that are missing become blank timepoints.
        cancel
            Asked for every file.
        axes
            The axes of each file, such as ``ZYX``; None: what the files say, pages being planes.

        Raises
        ------
        NotFoundError
            There is no such file.
        InvalidInputError
            There is no such channel, or the axes do not fit.
        DatasetError
            Files are missing, damaged, or differ in shape or type.
        """
        found = cls.inspect(path, setup, fill_gaps=fill_gaps, cancel=cancel, axes=axes)
        for part in (part for parts in found.parts for part in parts):
            cancel.check()
            found.inner(part, cancel)
        there = [parts for parts in found.parts if parts]
        logger.info(
            "%s: %s to %s are %s of %s voxels (Z, Y, X), in the order of the numbers in their names",
            path.name,
            there[0][0].name,
            there[-1][-1].name,
            counted(found.n_timepoints, "timepoint"),
            by(found.shape),
        )
        if found.step > 1:
            logger.warning(
                "the numbers of the timepoints of %s go up by %d: they count as consecutive timepoints",
                path.name,
                found.step,
            )
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
        unknown: str = _PLANES,
    ) -> Self:
        """Do the same, of the first file alone."""
        members = members_of_pattern(path) if not path.is_dir() else _members_of(path)
        first = _open(next(iter(sorted(members.files.items())))[1], None, axes, unknown, cancel)
        inner = sorted((first.setup, *first.others), key=lambda each: each.id)
        setups = tuple(_setups(members, inner))
        chosen = choose(setups, setup, path)
        channel, source = divmod(chosen.id, len(inner))
        if source:
            first = _open(first.path, inner[source].id, axes, unknown, cancel)
        parts = _timepoints(members, members.channels[channel], path, fill_gaps=fill_gaps)
        n_planes = len(members.planes)
        shape = (n_planes or first.shape[0], *first.shape[1:])
        return cls(
            path=path,
            shape=shape,
            dtype=first.dtype,
            n_timepoints=len(parts),
            setup=_sized(chosen, shape, n_planes),
            others=tuple(_sized(each, shape, n_planes) for each in setups if each is not chosen),
            blank_timepoints=tuple(t for t, each in enumerate(parts) if not each),
            chunks=first.chunks,
            given_axes=axes,
            parts=parts,
            inner_setup=inner[source].id,
            unknown=unknown,
            step=_step_of(members.timepoints),
        )

    @classmethod
    def digest(cls, path: Path, setup: int | None, cancel: CancelToken) -> str:
        """Return a digest of sampled values, whatever axes a person gave."""
        try:
            found = cls.inspect(path, setup, fill_gaps=True, cancel=cancel, unknown=_IN_DOUBT)
        except InvalidInputError:  # with the given axes there is such a source
            found = cls.inspect(path, None, fill_gaps=True, cancel=cancel, unknown=_IN_DOUBT)
        return found.digest_of_values(cancel)

    def inner(self, part: Path, cancel: CancelToken) -> Reader:
        """Return the reader of a file.

        Raises
        ------
        DatasetError
            It differs from the first in shape or type.
        """
        found = _open(part, self.inner_setup, self.given_axes, self.unknown, cancel)
        one = next(parts for parts in self.parts if parts)
        planes = self.shape[0] if len(one) == 1 else 1
        if (found.shape, found.dtype) != ((planes, *self.shape[1:]), self.dtype):
            raise DatasetError(
                f"expected all files of {self.path.name} to be alike, but {part.name} has {by(found.shape)} voxels (Z, "
                "Y, "
                f"X) of {found.dtype}, and {one[0].name} {by((planes, *self.shape[1:]))} of {self.dtype}: take the one "
                "that differs out, or export it again"
            )
        return found

    @contextmanager
    def timepoint(self, t: int) -> Iterator["Timepoint"]:
        """Open a timepoint for reading blocks of it."""
        with ExitStack() as files:
            yield Timepoint(self, t, files)

    def files(self) -> tuple[Path, ...]:
        """Return the files, or a thousand of them, the first and the last included."""
        found = [part for parts in self.parts for part in parts]
        if len(found) <= _MOST_STAMPED:
            return tuple(found)
        return tuple(found[i * (len(found) - 1) // (_MOST_STAMPED - 1)] for i in range(_MOST_STAMPED))


def _kind(path: Path) -> type[TiffReader] | type[NpyReader] | None:
    return next((kind for suffixes, kind in _KINDS.items() if path.name.lower().endswith(suffixes)), None)


def _members_of(folder: Path) -> Members:
    found = [suffixes for suffixes in _KINDS if any(_kind(path) is _KINDS[suffixes] for path in folder.iterdir())]
    if len(found) > 1:
        raise DatasetError(
            f"expected {folder.name} to hold a movie in files of one format, got TIFF and .npy: give a pattern, such "
            f"as '{folder.name}/t{{t}}.tif'"
        )
    return members_of_folder(folder, found[0] if found else SUFFIXES)


def _open(part: Path, setup: int | None, axes: str | None, unknown: str, cancel: CancelToken) -> TiffReader | NpyReader:
    """Return the reader of a file, which must hold one timepoint; pages without a meaning are planes."""
    kind = _kind(part)
    if kind is None:
        raise DatasetError(
            f"expected the files of a movie to be TIFF or .npy, got {part.name}: give a single movie as a file, "
            "without a pattern"
        )
    found = kind.inspect(part, setup, fill_gaps=False, cancel=cancel, axes=axes, unknown=unknown)
    if len(found.files()) > 1:
        raise DatasetError(
            f"expected each file to hold a timepoint, but {part.name} names the others, with which it is a movie: give "
            f"{part.name} alone"
        )
    if found.n_timepoints > 1 and unknown == _PLANES:
        raise DatasetError(
            f"expected each file to hold one timepoint, but {part.name} has {found.n_timepoints}: if these are planes, "
            "give `axes` ZYX; if it is the whole movie, give it alone"
        )
    return found


def _setups(members: Members, inner: list[ViewSetup]) -> Iterator[ViewSetup]:
    """Yield a source for each channel in the names and each one within a file."""
    for c, channel in enumerate(members.channels):
        for i, each in enumerate(inner):
            names = [*([channel] if len(members.channels) > 1 or channel else []), *([each.name] if each.name else [])]
            name = ", ".join(names)
            number = c * len(inner) + i
            yield replace(each, id=number, name=name, attributes={"channel": name or str(number)})


def _sized(setup: ViewSetup, shape: Shape, n_planes: int) -> ViewSetup:
    """Return a source with its size; files of single planes do not say how far they are apart."""
    return replace(setup, size=shape, voxel_size=None if n_planes > 1 else setup.voxel_size)


def _step_of(numbers: Sequence[int]) -> int:
    """Return by how much each number is larger than the one before; 1 where that differs, or two say too little."""
    steps = {b - a for a, b in pairwise(numbers)}
    return steps.pop() if len(steps) == 1 and len(numbers) > 2 else 1


def _timepoints(members: Members, channel: str, path: Path, *, fill_gaps: bool) -> tuple[tuple[Path, ...], ...]:
    """Return the files of each timepoint of a channel; none where one is missing."""
    numbers, step = members.timepoints, _step_of(members.timepoints)
    n = (numbers[-1] - numbers[0]) // step + 1
    if n > MOST_TIMEPOINTS:
        raise DatasetError(
            f"expected the numbers of timepoints of {path.name} to follow each other, got {numbers[0]} to "
            f"{numbers[-1]} for {len(numbers)}: number them anew"
        )
    planes = members.planes or (0,)
    found = []
    for t in range(numbers[0], numbers[-1] + 1, step):
        parts = tuple(members.files[t, channel, z] for z in planes if (t, channel, z) in members.files)
        found.append(parts if len(parts) == len(planes) else ())
    if members.planes and planes[-1] - planes[0] + 1 != len(planes):
        raise DatasetError(
            f"expected a file for each plane of {path.name}, got the numbers {in_ranges(planes, _MOST_NAMED)}: copy "
            "the missing files, or number them anew"
        )
    missing = [numbers[0] + i * step for i, parts in enumerate(found) if not parts]
    if missing and (not fill_gaps or len(missing) == len(found)):
        which = f" of channel {channel}" if len(members.channels) > 1 else ""
        raise DatasetError(
            f"expected a file for each timepoint of {path.name}, but t = {in_ranges(missing, _MOST_NAMED)}{which} is "
            "missing"
            f"{' or lacks planes' if members.planes else ''}: copy the missing files, or give `fill_gaps` to leave "
            "these timepoints blank"
        )
    return tuple(found)


class Timepoint:
    """An open timepoint of a movie."""

    def __init__(self, movie: FileSeriesReader, t: int, files: ExitStack) -> None:
        self._movie = movie
        self._parts = movie.parts[t]
        self._files = files
        self._open: dict[int, Any] = {}

    def __getitem__(self, region: Region) -> NDArray[Any]:
        """Return a block of the values, (Z, Y, X), of the movie's type.

        Raises
        ------
        DatasetError
            The block is damaged.
        """
        z, y, x = region
        if len(self._parts) == 1:
            return np.asarray(self._voxels(0)[region])
        out = np.empty([s.stop - s.start for s in region], self._movie.dtype)
        for i, plane in enumerate(range(z.start, z.stop)):
            out[i] = self._voxels(plane)[slice(0, 1), y, x][0]
        return out

    def _voxels(self, number: int) -> Any:
        """Return the open file of a volume or a plane; of planes just one is open at a time."""
        if number not in self._open:
            self._files.close()
            part = self._movie.inner(self._parts[number], NeverCancelled())
            self._open = {number: self._files.enter_context(part.timepoint(0))}
        return self._open[number]


def one_movie(folder: Path, files: list[Path]) -> Path | None:
    """Return the movie that several files of a folder are: a pattern, or the first of an OME-TIFF in several files.

    Parameters
    ----------
    folder
        The folder.
    files
        The files in it that may be movies by themselves.

    Returns
    -------
    Path or None
        None if each is a movie by itself.
    """
    kinds = {_kind(path) for path in files}
    kind = kinds.pop()
    if kinds or kind is None:
        return None
    try:
        first = kind.inspect(files[0], None, fill_gaps=True, cancel=NeverCancelled(), unknown="ZTC")
        if len(first.files()) > 1:
            return files[0] if {path.name for path in files} <= {path.name for path in first.files()} else None
        return folder / infer([path.name for path in files], folder) if first.n_timepoints == 1 else None
    except (DatasetError, InvalidInputError):
        return None
