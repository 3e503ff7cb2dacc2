"""A movie for the conversion: what its reader returns, checked.

What a reader of another package returns is checked here, once, and its errors name the package.
"""

import pickle
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elephant.dataset.readers.base import DTYPES, Reader, Region, ViewSetup, Voxels, check_memory, choose
from elephant.dataset.readers.bdv_xml import MOST_TIMEPOINTS
from elephant.dataset.source import METHOD, Fingerprint, stamps_of
from elephant.errors import DatasetError, NotFoundError
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

    def open(self, path: Path, setup: int | None, cancel: CancelToken, *, fill_gaps: bool) -> "Movie":
        """Inspect a movie, and check what its reader returns.

        Raises
        ------
        NotFoundError
            There is no such file.
        InvalidInputError
            There is no such source.
        DatasetError
            It cannot be read, or no dataset can be made from it.
        PluginError
            The reader failed, or returned something invalid.
        """
        if not path.exists() and not self.plugin.is_own:
            raise NotFoundError(f"the movie {path} does not exist: check its name, or upload it")
        with self.plugin.blamed():
            reader = self.kind.open(path, setup, fill_gaps=fill_gaps, cancel=cancel)
            _check(reader, self.kind)
        if reader.dtype not in DTYPES:
            raise DatasetError(
                f"expected images of {path.name} to be {', '.join(DTYPES)}, got {reader.dtype}: convert the movie to "
                "uint16 first"
            )
        check_memory(reader.shape, reader.path)
        choose((reader.setup, *reader.others) if setup is None else (reader.setup,), setup, path)
        return Movie(self.plugin, reader, frozenset(reader.blank_timepoints))

    def digest(self, path: Path, setup: int | None, cancel: CancelToken) -> str:
        """Return the digest that identifies a movie."""
        with self.plugin.blamed():
            return str(self.kind.digest(path, setup, cancel))


@dataclass(frozen=True, slots=True)
class Movie:
    """An inspected movie; it holds no file open and can be sent to other processes.

    Attributes
    ----------
    plugin
        The package of its reader.
    reader
        The reader, which knows its shape and sources and reads its voxels.
    blank
        Timepoints without an image.
    """

    plugin: Plugin
    reader: Reader
    blank: frozenset[int]

    @property
    def path(self) -> Path:
        """The file or folder."""
        return self.reader.path

    def timepoint_bytes(self) -> int:
        """Return the size of a timepoint's values in bytes."""
        return int(np.prod(self.reader.shape, dtype=object)) * np.dtype(self.reader.dtype).itemsize

    @contextmanager
    def timepoint(self, t: int) -> Iterator["Timepoint"]:
        """Open a timepoint for reading pieces of it."""
        opened = ExitStack()
        with self.plugin.blamed():
            voxels = opened.enter_context(self.reader.timepoint(t))
        try:
            yield Timepoint(self, t, voxels)
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
        return type(self.reader).digest(self.path, self.reader.setup.id, cancel)


class Timepoint:
    """An open timepoint of a movie."""

    def __init__(self, movie: Movie, t: int, voxels: Voxels) -> None:
        self._movie = movie
        self._t = t
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
                    f"expected values of shape {expected[0]} and type {expected[1]} of timepoint {self._t}, got "
                    f"{values.shape} and {values.dtype.name}"
                )
        return values.astype(values.dtype.newbyteorder("="), copy=False)


def _check(reader: object, kind: type[Reader]) -> None:
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
    pickle.loads(pickle.dumps(reader))  # noqa: S301 - what was made here


def _is_count(number: object) -> bool:
    return isinstance(number, int) and number >= 1
