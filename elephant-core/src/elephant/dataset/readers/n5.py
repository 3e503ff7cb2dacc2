"""Movies of BigDataViewer in N5: ``setupS/timepointT/sL`` holds timepoint T of source S at level L, X first.

References
----------
The format of BigDataViewer for N5, https://github.com/bigdataviewer/bigdataviewer-core/blob/master/BDV%20N5%20format.md.
"""

import re
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elephant.dataset.readers.base import Level, Reader, Region, ViewSetup, by
from elephant.dataset.readers.bdv_finding import N5_LOADERS, Located, images_at, locate
from elephant.dataset.readers.bdv_views import MOST_LEVELS, choose_views, numbered, scaled
from elephant.dataset.readers.bdv_xml import read_spim_data
from elephant.dataset.readers.formats import format_of
from elephant.dataset.readers.n5_image import (
    ATTRIBUTES,
    NOT_THERE,
    N5Blocks,
    N5Image,
    attributes_of,
    check_count,
    open_image,
)
from elephant.errors import DatasetError, InvalidInputError, NotFoundError, reason_of
from elephant.progress import CancelToken, NeverCancelled
from elephant.types import VoxelSize

_SETUP = re.compile(r"setup(\d{1,10})")
_TIMEPOINT = re.compile(r"timepoint(\d{1,10})")
_MOST_FILES = 1000


@dataclass(frozen=True, kw_only=True)
class N5Reader(Reader):
    """Reads a movie of BigDataViewer in N5.

    Attributes
    ----------
    folder
        The folder of the images; `path` is that, or the ``.xml`` if it is not beside it.
    names
        For each timepoint, the name of its image in the folder; None if it is blank.
    """

    folder: Path
    names: tuple[str | None, ...]

    @classmethod
    def claims(cls, path: Path) -> bool:
        """Return whether this is a folder of N5, or an ``.xml`` that describes one."""
        try:
            if path.is_dir():
                return path.suffix.lower() == ".n5" or "n5" in attributes_of(path)
            return path.suffix.lower() == ".xml" and read_spim_data(path).loader in N5_LOADERS
        except (DatasetError, NotFoundError):
            return False

    @classmethod
    def open(
        cls,
        path: Path,
        setup: int | None = None,
        *,
        fill_gaps: bool = False,
        cancel: CancelToken = NeverCancelled(),  # noqa: B008 - has no state
    ) -> "N5Reader":
        """Inspect a movie without reading its images.

        Parameters
        ----------
        path
            The folder, whose ``.xml`` is looked for beside it; or an ``.xml``.
        setup
            Number of the source to read; None for the movie's first.
        fill_gaps
            Whether timepoints without an image become blank even if no ``.xml`` lists them as missing. Blocks without
            a file are 0, as N5 has it: they are no gaps.
        cancel
            Asked for every timepoint.

        Raises
        ------
        NotFoundError
            There is no such folder.
        InvalidInputError
            There is no such source.
        DatasetError
            It is not a movie in N5, an image is missing, or timepoints differ in size or type.
        """
        return cls._open(locate(path, N5_LOADERS, "N5"), setup, cancel, fill_gaps=fill_gaps)

    @classmethod
    def _open(cls, movie: Located, setup: int | None, cancel: CancelToken, *, fill_gaps: bool) -> "N5Reader":
        folder = movie.images
        images = N5Images(folder)
        views = choose_views(images, folder, movie.described, setup, cancel, fill_gaps=fill_gaps)
        names = tuple(None if t is None else images.name(t, views.setup.id) for t in views.timepoints)
        first = _first_of(folder, names, cancel)
        source = views.setup if views.setup.voxel_size else _with_own_size(views.setup, first)
        return cls(
            path=movie.path,
            folder=folder,
            names=names,
            shape=first.shape,
            dtype=first.dtype,
            chunks=first.chunks,
            n_timepoints=len(names),
            blank_timepoints=views.blank,
            setup=source,
            others=views.others,
            levels=_levels(folder, first, source),
        )

    def at_level(self, level: int) -> "N5Reader":
        """Return a reader of another level of the pyramid."""
        names = tuple(None if name is None else f"{name.rpartition('/')[0]}/s{level}" for name in self.names)
        first = _first_of(self.folder, names, NeverCancelled())
        return replace(
            self,
            names=names,
            level=level,
            shape=first.shape,
            dtype=first.dtype,
            chunks=first.chunks,
            setup=replace(self.setup, voxel_size=self.levels[level].voxel_size),
        )

    @contextmanager
    def timepoint(self, t: int) -> Iterator["Timepoint"]:
        """Open a timepoint for reading blocks of it; a blank one is all 0."""
        name = self.names[t]
        if name is None:
            yield Timepoint(self, t, None)
            return
        image = _image(self.folder, name)
        check_count(image, self.path.name)
        yield Timepoint(self, t, N5Blocks(image, is_read_once=True))

    def files(self) -> tuple[Path, ...]:
        """Return the files with the attributes, and the first ones with voxels."""
        folders = dict.fromkeys(
            folder for name in self.names if name is not None for folder in _on_the_way(self.folder, name)
        )
        named = (place for folder in folders if (place := folder / ATTRIBUTES).is_file())
        blocks = (path for name in self.names if name is not None for path in (self.folder / name).rglob("*"))
        found = [*islice(named, _MOST_FILES), *islice((path for path in blocks if path.is_file()), _MOST_FILES)]
        return tuple(sorted({*found, *([self.path] if self.path != self.folder else [])}))

    @classmethod
    def digest(cls, path: Path, setup: int | None, cancel: CancelToken) -> str:
        """Return a digest of sampled values, which does not depend on the ``.xml``."""
        folder = images_at(path, N5_LOADERS, "N5")
        return cls._open(Located(folder, folder, None), setup, cancel, fill_gaps=True).digest_of_values(cancel)


class N5Images:
    """The images of a movie in a folder of N5.

    Parameters
    ----------
    path
        The folder.

    Raises
    ------
    NotFoundError
        There is no such folder.
    DatasetError
        It holds no images of BigDataViewer.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        folders = numbered(_names_in(path), _SETUP)
        self._timepoints = {number: numbered(_names_in(path / name), _TIMEPOINT) for number, name in folders.items()}
        if not any(self._timepoints.values()):
            raise DatasetError(
                f"expected {path.name} to be an N5 folder of BigDataViewer with setup0/timepoint0/s0, got "
                f"{format_of(path)} without it: save the movie as N5 from BigDataViewer or BigStitcher"
            )

    def timepoints(self) -> Collection[int]:
        """Return the numbers of the timepoints of which some source has something."""
        return set().union(*self._timepoints.values())

    def setups(self) -> Collection[int]:
        """Return the numbers of the sources that have a timepoint."""
        return [number for number, timepoints in self._timepoints.items() if timepoints]

    def name(self, timepoint: int, setup: int) -> str:
        """Return the name of an image of full resolution, whether it exists or not."""
        return f"setup{setup}/timepoint{timepoint}/s0"

    def has(self, timepoint: int, setup: int) -> bool:
        """Return whether an image exists; one that cannot be looked at counts as existing."""
        if timepoint not in self._timepoints.get(setup, ()):
            return False
        try:
            (self._path / self.name(timepoint, setup) / ATTRIBUTES).stat()
        except OSError as error:
            return error.errno not in NOT_THERE
        return True


class Timepoint:
    """An open timepoint of a movie."""

    def __init__(self, movie: N5Reader, t: int, blocks: N5Blocks | None) -> None:
        self._movie = movie
        self._t = t
        self._blocks = blocks

    def __getitem__(self, region: Region) -> NDArray[Any]:
        """Return a block of the values, (Z, Y, X), of the movie's type.

        Raises
        ------
        DatasetError
            The block is damaged.
        """
        if self._blocks is None:
            return np.zeros([s.stop - s.start for s in region], self._movie.dtype)
        try:
            return self._blocks[region]
        except ValueError as error:
            where = ", ".join(f"{s.start}-{s.stop - 1}" for s in region)
            raise DatasetError(
                f"expected every block of {self._movie.path.name} to be readable, but timepoint {self._t} is damaged "
                f"within Z, Y, X = {where} ({error}): copy the movie again, or export it again"
            ) from error


def _names_in(folder: Path) -> list[str]:
    """Return what a folder holds."""
    try:
        return [place.name for place in folder.iterdir()]
    except FileNotFoundError as error:
        raise NotFoundError(f"the movie {folder} does not exist: check its name, or copy it") from error
    except NotADirectoryError as error:
        raise DatasetError(f"expected {folder.name} to be an N5 folder, got {format_of(folder)}") from error
    except OSError as error:
        raise DatasetError(f"the folder {folder} cannot be read ({reason_of(error)}): copy the movie again") from error


def _image(path: Path, name: str) -> N5Image:
    """Return an image that the movie should have."""
    found = open_image(path / name, path.name)
    if found is None:
        raise DatasetError(
            f"expected {path.name} to hold the image {name}, but it has no {ATTRIBUTES} with `dimensions`: export or "
            "copy the movie again"
        )
    return found


def _first_of(path: Path, names: Sequence[str | None], cancel: CancelToken) -> N5Image:
    """Return the first of several images, all of which have the same size and type."""
    there_are = [name for name in names if name is not None]
    first = _image(path, there_are[0])
    for name in there_are[1:]:
        cancel.check()
        other = _image(path, name)
        if not first.is_like(other):
            raise DatasetError(
                f"expected all timepoints of {path.name} to be alike, but {there_are[0]} is {by(first.shape)} "
                f"{first.stored} and {name} is {by(other.shape)} {other.stored}: export the movie again with one size "
                "and type"
            )
    return first


def _with_own_size(setup: ViewSetup, first: N5Image) -> ViewSetup:
    """Return a source with the voxel size that the folder itself gives, without a unit; all 1 where it is not known."""
    found: Any = attributes_of(first.folder.parent).get("resolution")
    try:
        x, y, z = map(float, found)
        size = VoxelSize(z, y, x)
    except (TypeError, ValueError, InvalidInputError):
        return setup
    return setup if size == VoxelSize(1, 1, 1) else replace(setup, voxel_size=size)


def _levels(path: Path, first: N5Image, setup: ViewSetup) -> tuple[Level, ...]:
    """Return the levels of the first image; a damaged one and those after it are left out."""
    factors = _factors(attributes_of(path / f"setup{setup.id}"))
    found = [Level(first.shape, setup.voxel_size)]
    while len(found) < MOST_LEVELS:
        try:
            image = open_image(first.folder.with_name(f"s{len(found)}"), path.name)
        except DatasetError:
            break
        if image is None:
            break
        found.append(Level(image.shape, scaled(setup.voxel_size, factors, len(found))))
    return tuple(found)


def _factors(attributes: dict[str, Any]) -> list[list[float]]:
    """Return by what each level is reduced along Z, Y, X; none if that is not known."""
    try:
        return [[float(z), float(y), float(x)] for x, y, z in attributes["downsamplingFactors"][:MOST_LEVELS]]
    except (LookupError, TypeError, ValueError):
        return []


def _on_the_way(path: Path, name: str) -> Iterator[Path]:
    """Yield the folders from the movie's to that of an image."""
    yield path
    for part in name.split("/"):
        path = path / part
        yield path
