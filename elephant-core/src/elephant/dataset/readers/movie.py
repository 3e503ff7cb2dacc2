"""A movie for the conversion: what its reader returns, checked.

What a reader of another package returns is checked here, once, and its errors name the package.
"""

import math
import pickle
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elephant.config import ConversionParams
from elephant.dataset.readers.base import DTYPES, Level, Reader, Region, ViewSetup, Voxels, by, check_memory
from elephant.dataset.readers.bdv_xml import MOST_TIMEPOINTS
from elephant.dataset.readers.sources import choose, number_of_channel, refuse_parts, timepoints_in_words
from elephant.dataset.readers.weighted import WeightedSum, digest_of_all, weights_by_source
from elephant.dataset.source import METHOD, Fingerprint, stamps_of
from elephant.errors import DatasetError, InvalidInputError, NotFoundError
from elephant.plugins import Plugin
from elephant.progress import CancelToken


@dataclass(frozen=True, slots=True)
class InstalledReader:
    """An installed reader.

    Attributes
    ----------
    plugin
        The package and name that it is registered under.
    kind
        The reader's class.
    """

    plugin: Plugin
    kind: type[Reader]

    def claims(self, path: Path) -> bool:
        """Return whether a file or folder is a movie of this format."""
        with self.plugin.blamed():
            return bool(self.kind.claims(path))

    def open_chosen(
        self, path: Path, params: ConversionParams, cancel: CancelToken, weights: Sequence[tuple[int, float]] = ()
    ) -> "Movie":
        """Inspect the chosen part of a movie: a source or a sum of some, a level, and consecutive timepoints.

        Parameters
        ----------
        path, cancel
            As for :meth:`Reader.open`.
        params
            Which part.
        weights
            The numbers of sources to add up, with their weights, where they are known.

        Raises
        ------
        InvalidInputError
            There is no such source, level or timepoint.
        DatasetError
            As for :meth:`open`; or sources that are added up differ in size or in their timepoints; or none was chosen
            of several that each show a part of the specimen.
        NotFoundError, PluginError
            As for :meth:`open`.
        """
        given = [name for name in ("setup", "channel", "weights") if getattr(params, name) is not None]
        if len(given) > 1:
            raise InvalidInputError(f"expected one of `{'` and `'.join(given)}`, got both: leave one out")
        setup = params.setup
        if params.channel is not None:
            setup = number_of_channel(self._setups(path, params, cancel), params.channel, path)
        if params.weights is not None:
            weights = weights_by_source(params.weights, self._setups(path, params, cancel), path)
        numbers: list[int | None] = [number for number, _ in weights]
        parts = [
            self.open(path, number, cancel, fill_gaps=params.fill_gaps, level=params.level, axes=params.axes)
            for number in numbers or [setup]
        ]
        movie = parts[0]
        if weights:
            found = WeightedSum.of([part.reader for part in parts], [weight for _, weight in weights])
            movie = replace(movie, reader=found)
        elif not given:
            refuse_parts(movie.reader.setup, movie.reader.others, path)
        return movie.between(params.t_start, params.t_end)

    def open(
        self,
        path: Path,
        setup: int | None,
        cancel: CancelToken,
        *,
        fill_gaps: bool,
        level: int = 0,
        axes: str | None = None,
    ) -> "Movie":
        """Inspect a movie, and check what its reader returns.

        Raises
        ------
        NotFoundError
            There is no such file.
        InvalidInputError
            There is no such source or level.
        DatasetError
            It cannot be read, or no dataset can be made from it.
        PluginError
            The reader failed, or returned something invalid.
        """
        reader = self.inspect(path, setup, cancel, fill_gaps=fill_gaps, axes=axes)
        if level:
            reader = self.at_level(reader, level)
        if reader.dtype not in DTYPES:
            raise DatasetError(
                f"expected images of {path.name} to be {', '.join(DTYPES)}, got {reader.dtype}: convert the movie to "
                "uint16 first"
            )
        check_memory(reader.shape, reader.path)
        choose((reader.setup, *reader.others) if setup is None else (reader.setup,), setup, path)
        return Movie(self.plugin, reader, range(reader.n_timepoints))

    def _setups(self, path: Path, params: ConversionParams, cancel: CancelToken) -> list[ViewSetup]:
        """Return the sources of a movie in the order of their numbers."""
        reader = self.inspect(path, None, cancel, fill_gaps=True, axes=params.axes)
        return sorted((reader.setup, *reader.others), key=attrgetter("id"))

    def inspect(
        self, path: Path, setup: int | None, cancel: CancelToken, *, fill_gaps: bool, axes: str | None = None
    ) -> Reader:
        """Return the reader of a movie at full resolution, whether or not a timepoint fits into memory.

        Raises
        ------
        InvalidInputError, NotFoundError, DatasetError, PluginError
            As for :meth:`open`.
        """
        if axes is not None and not self.kind.takes_axes:
            raise InvalidInputError(
                f"expected no `axes` for {path.name}, got {axes}: the reader {self.plugin.name} has them from the file"
            )
        given = {} if axes is None else {"axes": axes}
        if not path.exists() and not self.plugin.is_own:
            raise NotFoundError(f"the movie {path} does not exist: check its name, or upload it")
        with self.plugin.blamed():
            reader = self.kind.open(path, setup, fill_gaps=fill_gaps, cancel=cancel, **given)
            _check(reader, self.kind, level=0)
        return reader

    def at_level(self, reader: Reader, level: int) -> Reader:
        """Return the reader of another resolution.

        Raises
        ------
        InvalidInputError, DatasetError, PluginError
            As for :meth:`open`.
        """
        if level >= len(reader.levels):
            raise InvalidInputError(
                f"expected `level` to be a resolution of {reader.path.name}, got {level}: it has "
                f"{_levels_in_words(reader)}"
            )
        with self.plugin.blamed():
            found = reader.at_level(level)
            _check(found, self.kind, level)
        return found

    def digest(self, path: Path, setups: Sequence[int | None], cancel: CancelToken) -> str:
        """Return the digest that identifies the sources of a movie that are used; None stands for the first."""
        with self.plugin.blamed():
            return digest_of_all([str(self.kind.digest(path, setup, cancel)) for setup in setups])


@dataclass(frozen=True)
class Movie:
    """An inspected movie; it holds no file open and can be sent to other processes.

    Attributes
    ----------
    plugin
        The package of its reader.
    reader
        The reader, which knows its shape and sources and reads its voxels.
    timepoints
        Which of the reader's timepoints are used; they count from 0 here.
    """

    plugin: Plugin
    reader: Reader
    timepoints: range

    @property
    def path(self) -> Path:
        """The file or folder."""
        return self.reader.path

    @property
    def n_timepoints(self) -> int:
        """T."""
        return len(self.timepoints)

    @cached_property
    def blank(self) -> frozenset[int]:
        """Timepoints without an image."""
        first = self.timepoints.start
        return frozenset(t - first for t in self.reader.blank_timepoints if t in self.timepoints)

    def between(self, t_start: int | None, t_end: int | None) -> "Movie":
        """Return the movie of the timepoints from `t_start` to `t_end`; None stands for its own first or last one.

        Raises
        ------
        InvalidInputError
            There are no such timepoints, or none of them has an image.
        """
        last = self.n_timepoints - 1
        start, end = 0 if t_start is None else t_start, last if t_end is None else t_end
        if not 0 <= start <= end <= last:
            raise InvalidInputError(
                f"expected timepoints `t_start` to `t_end` of {self.path.name}, which has the timepoints 0 to {last}, "
                f"got {start} to {end}"
            )
        chosen = replace(self, timepoints=self.timepoints[start : end + 1])
        if len(chosen.blank) == chosen.n_timepoints:
            raise InvalidInputError(
                f"expected an image in {timepoints_in_words(chosen.timepoints)} of {self.path.name}, got none: choose "
                "other timepoints"
            )
        return chosen

    def timepoint_bytes(self) -> int:
        """Return the size of a timepoint's values in bytes."""
        return int(np.prod(self.reader.shape, dtype=object)) * np.dtype(self.reader.dtype).itemsize

    def stored_bytes(self) -> int | None:
        """Return about how much the timepoints take on disk; None if not known."""
        stored = self.reader.stored_bytes
        return None if stored is None else stored * self.n_timepoints // self.reader.n_timepoints

    @contextmanager
    def timepoint(self, t: int) -> Iterator["Timepoint"]:
        """Open a timepoint for reading pieces of it."""
        opened = ExitStack()
        with self.plugin.blamed():
            voxels = opened.enter_context(self.reader.timepoint(self.timepoints[t]))
        try:
            yield Timepoint(self, self.timepoints[t], voxels)
        finally:
            with self.plugin.blamed():
                opened.close()

    def pieces(self, region: Region) -> list[Region]:
        """Cut a region, (Z, Y, X), into pieces that are read one at a time."""
        with self.plugin.blamed():
            return list(self.reader.pieces(region))

    def fingerprint(self, cancel: CancelToken) -> Fingerprint:
        """Return what identifies the movie."""
        with self.plugin.blamed():
            files = stamps_of(self.path.parent, self.reader.files())
            if not files:
                raise ValueError(f"files() of {self.path.name} returned no existing file")
            return Fingerprint(files=files, method=METHOD, digest=self._digest(cancel))

    def is_same(self, known: Fingerprint, cancel: CancelToken) -> bool:
        """Return whether the movie still has this fingerprint."""
        places = [self.path.parent / stamp.name for stamp in known.files]
        if stamps_of(self.path.parent, places) == known.files:
            return True
        with self.plugin.blamed():
            return self._digest(cancel) == known.digest

    def _digest(self, cancel: CancelToken) -> str:
        parts = self.reader.parts if isinstance(self.reader, WeightedSum) else (self.reader,)
        return digest_of_all([str(type(part).digest(self.path, part.setup.id, cancel)) for part in parts])


class Timepoint:
    """An open timepoint of a movie, which has a number in the movie."""

    def __init__(self, movie: Movie, number: int, voxels: Voxels) -> None:
        self._movie = movie
        self.number = number
        self._voxels = voxels

    def read(self, region: Region) -> NDArray[Any]:
        """Return a block of the values, (Z, Y, X), of the movie's type.

        Raises
        ------
        DatasetError
            The block is damaged.
        PluginError
            The reader failed, or returned values of another shape or type than expected.
        """
        with self._movie.plugin.blamed():
            values = np.asarray(self._voxels[region])
            expected = (tuple(s.stop - s.start for s in region), self._movie.reader.dtype)
            if (values.shape, values.dtype.name) != expected:
                raise ValueError(
                    f"expected values of shape {expected[0]} and type {expected[1]} of timepoint {self.number}, got "
                    f"{values.shape} and {values.dtype.name}"
                )
        return values.astype(values.dtype.newbyteorder("="), copy=False)


def _levels_in_words(reader: Reader) -> str:
    if len(reader.levels) < 2:
        return f"only level 0, of {by(reader.shape)} voxels (Z, Y, X)"
    return ", ".join(f"{n} ({by(level.shape)})" for n, level in enumerate(reader.levels)) + " voxels (Z, Y, X)"


def _check(reader: object, kind: type[Reader], level: int) -> None:
    """Check what a reader says of a movie."""
    if not isinstance(reader, kind):
        raise TypeError(f"expected open() to return a {kind.__name__}, got {type(reader).__name__}")
    shape, n_timepoints = reader.shape, reader.n_timepoints
    is_shape = isinstance(shape, tuple) and len(shape) == 3 and all(_is_count(size) for size in shape)
    if not is_shape or not _is_count(n_timepoints) or n_timepoints > MOST_TIMEPOINTS:
        raise ValueError(
            f"expected a shape (Z, Y, X) and at most {MOST_TIMEPOINTS} timepoints, got {shape} and {n_timepoints}"
        )
    if not isinstance(reader.path, Path) or not isinstance(reader.setup, ViewSetup):
        raise TypeError("expected `path` to be a Path and `setup` to be a ViewSetup")
    if not set(reader.blank_timepoints) < set(range(n_timepoints)):
        raise ValueError("expected `blank_timepoints` to be some of the timepoints, and not all of them")
    if reader.interval is not None and not 0 < reader.interval < math.inf:
        raise ValueError(f"expected `interval` to be a number of seconds above 0, or None, got {reader.interval}")
    _check_levels(reader, level)
    pickle.loads(pickle.dumps(reader))  # noqa: S301 - what was made here


def _check_levels(reader: Reader, level: int) -> None:
    """Check that the reader is at the wanted level, and that this has the size that the list says."""
    if not isinstance(reader.levels, tuple) or not all(isinstance(each, Level) for each in reader.levels):
        raise TypeError("expected `levels` to be a tuple of Level")
    if reader.level != level or (reader.levels and reader.levels[level].shape != reader.shape):
        raise ValueError(
            f"expected a reader of level {level}, of the shape that `levels` gives it, got level {reader.level} of "
            f"{reader.shape}"
        )


def _is_count(number: object) -> bool:
    return isinstance(number, int) and number >= 1
