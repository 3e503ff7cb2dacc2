"""Movies of BigDataViewer in OME-Zarr: the ``.xml`` says where the image of each view is.

BigStitcher writes an OME-Zarr for each view, or one for several of them, and lists them (``bdv.multimg.zarr``). MoBIE
names one OME-Zarr, of which each channel is a source (``bdv.ome.zarr``).
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path, PurePosixPath
from typing import Any

from elephant.dataset.readers.base import Level, Reader, Region, ViewSetup, Voxels, by
from elephant.dataset.readers.bdv_finding import ZARR_LOADERS, images_of
from elephant.dataset.readers.bdv_views import choose_views
from elephant.dataset.readers.bdv_xml import SpimData, ZarrGroup, read_spim_data
from elephant.dataset.readers.ome_metadata import SPACE
from elephant.dataset.readers.ome_zarr import OmeZarrReader
from elephant.errors import DatasetError, InvalidInputError, NotFoundError
from elephant.progress import CancelToken, NeverCancelled
from elephant.types import VoxelSize

_MOST_FILES = 1000
_ONE_IMAGE = "bdv.ome.zarr"

# A channel of an OME-Zarr image, and which of its timepoints.
View = tuple[OmeZarrReader, int]


@dataclass(frozen=True, kw_only=True)
class BdvZarrReader(Reader):
    """Reads a movie of BigDataViewer in OME-Zarr, by its ``.xml``.

    Attributes
    ----------
    views
        For each timepoint, what reads its image, and the timepoint there; None if it is blank.
    """

    views: tuple[View | None, ...]

    @classmethod
    def claims(cls, path: Path) -> bool:
        """Return whether this is an ``.xml`` of a movie in OME-Zarr."""
        try:
            return path.suffix.lower() == ".xml" and read_spim_data(path).loader in ZARR_LOADERS
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
    ) -> "BdvZarrReader":
        """Inspect a movie without reading its images.

        Parameters
        ----------
        path
            The ``.xml``.
        setup
            Number of the source to read; None for the movie's first.
        fill_gaps
            Whether timepoints without an image become blank even if the ``.xml`` does not list them as missing.
        cancel
            Asked for every timepoint.

        Raises
        ------
        NotFoundError
            There is no such file, or not the images that it names.
        InvalidInputError
            There is no such source.
        DatasetError
            It is not an ``.xml`` of a movie in OME-Zarr, an image is missing, or timepoints differ in size or type.
        """
        described = read_spim_data(path)
        images = ZarrImages(described, images_of(described, ZARR_LOADERS, "OME-Zarr"), cancel)
        chosen = choose_views(images, path, described, setup, cancel, fill_gaps=fill_gaps)
        views = tuple(None if t is None else images.view(t, chosen.setup.id) for t in chosen.timepoints)
        first = _first_of(views, path)
        levels = tuple(_levels(chosen.setup, first.levels))
        unit = chosen.setup.unit if chosen.setup.voxel_size else first.setup.unit
        return cls(
            path=path,
            views=views,
            n_timepoints=len(views),
            blank_timepoints=chosen.blank,
            setup=replace(chosen.setup, voxel_size=levels[0].voxel_size, unit=unit),
            others=chosen.others,
            levels=levels,
            shape=first.shape,
            dtype=first.dtype,
            chunks=first.chunks,
        )

    def at_level(self, level: int) -> "BdvZarrReader":
        """Return a reader of another level of the pyramid."""
        found = {_key(reader): _level_of(reader, level) for reader in _readers(self.views)}
        views = tuple(None if view is None else (found[_key(view[0])], view[1]) for view in self.views)
        first = _first_of(views, self.path)
        setup = replace(self.setup, voxel_size=self.levels[level].voxel_size)
        return replace(
            self, views=views, level=level, setup=setup, shape=first.shape, dtype=first.dtype, chunks=first.chunks
        )

    @contextmanager
    def timepoint(self, t: int) -> Iterator["Timepoint"]:
        """Open a timepoint for reading blocks of it."""
        view = self.views[t]
        if view is None:
            raise DatasetError(f"{self.path.name} has no image at timepoint {t}")
        with view[0].timepoint(view[1]) as voxels:
            yield Timepoint(self, t, voxels)

    def files(self) -> tuple[Path, ...]:
        """Return the ``.xml``, the files with the metadata of the images, and the first ones with voxels."""
        found = chain.from_iterable(reader.files() for reader in _readers(self.views))
        return (self.path, *islice(found, _MOST_FILES))


class ZarrImages:
    """The images of a movie in OME-Zarr.

    Parameters
    ----------
    described
        The content of the ``.xml``.
    root
        The folder of the images.
    cancel
        Asked for every image that is opened.

    Raises
    ------
    DatasetError
        The ``.xml`` names no images, or one that is not in the folder.
    """

    def __init__(self, described: SpimData, root: Path, cancel: CancelToken) -> None:
        self._name = described.path.name
        self._root = root
        self._cancel = cancel
        self._opened: dict[tuple[str, int], OmeZarrReader] = {}
        self._groups = described.groups
        if described.loader == _ONE_IMAGE:
            image = self._channel("", 0)
            views = ((t, c) for t in range(image.n_timepoints) for c in range(1 + len(image.others)))
            self._groups = {(t, c): ZarrGroup("", (c, t)) for t, c in views}
        if not self._groups:
            raise DatasetError(
                f"expected {self._name} to say where the image of each view is, in `zgroups`, but it has none: save "
                "the movie's .xml from BigStitcher again"
            )

    def timepoints(self) -> Collection[int]:
        """Return the numbers of the timepoints of which some source has an image."""
        return {t for t, _ in self._groups}

    def setups(self) -> Collection[int]:
        """Return the numbers of the sources that have an image."""
        return {setup for _, setup in self._groups}

    def name(self, timepoint: int, setup: int) -> str:
        """Return the name of an image, whether it exists or not."""
        group = self._groups.get((timepoint, setup))
        return f"timepoint {timepoint} of view {setup}" if group is None else f"{self._root.name}/{group.path}"

    def has(self, timepoint: int, setup: int) -> bool:
        """Return whether an image exists."""
        group = self._groups.get((timepoint, setup))
        return group is not None and self._place(group.path).exists()

    def view(self, timepoint: int, setup: int) -> View:
        """Return what reads an image that exists."""
        group = self._groups[timepoint, setup]
        before = reversed(self._channel(group.path, 0).array_axes)
        axes = [name for name in before if name not in SPACE]
        indices = dict(zip(axes, group.indices, strict=False))
        channel, t = indices.get("c", 0), indices.get("t", 0)
        found = self._channel(group.path, channel)
        if any(group.indices[len(axes) :]) or t >= found.n_timepoints:
            raise self._beyond(timepoint, setup, group)
        return found, t

    def _channel(self, path: str, channel: int) -> OmeZarrReader:
        """Return what reads a channel of an image; several views may be of the same."""
        key = path, channel
        if key not in self._opened:
            self._cancel.check()
            try:
                self._opened[key] = OmeZarrReader.open(self._place(path), channel, cancel=self._cancel)
            except InvalidInputError as error:
                raise DatasetError(f"{self._name} names channel {channel} of {path}, which is not there") from error
        return self._opened[key]

    def _place(self, path: str) -> Path:
        parts = PurePosixPath(path.strip("/")).parts
        if ".." in parts or "\\" in path or ":" in path or "\0" in path:
            raise DatasetError(
                f"expected the images of {self._name} to be in its folder {self._root.name}, got the path {path!r}: "
                "save the movie's .xml from BigStitcher again"
            )
        return self._root.joinpath(*parts)

    def _beyond(self, timepoint: int, setup: int, group: ZarrGroup) -> DatasetError:
        where = " ".join(map(str, group.indices))
        return DatasetError(
            f"{self._name} names {group.path} at the indices {where} for timepoint {timepoint} of view {setup}, which "
            "is not there: save the movie's .xml from BigStitcher again"
        )


class Timepoint:
    """An open timepoint of a movie."""

    def __init__(self, movie: BdvZarrReader, t: int, voxels: Voxels) -> None:
        self._movie = movie
        self._t = t
        self._voxels = voxels

    def __getitem__(self, region: Region) -> Any:
        """Return a block of the values, (Z, Y, X), of the movie's type.

        Raises
        ------
        DatasetError
            The block is damaged.
        """
        try:
            return self._voxels[region]
        except DatasetError as error:
            raise DatasetError(f"timepoint {self._t} of {self._movie.path.name} is damaged: {error}") from error


def _first_of(views: Sequence[View | None], path: Path) -> OmeZarrReader:
    """Return the first of several images, all of which have the same size and type."""
    first, *others = _readers(views)
    for other in others:
        if (other.shape, other.dtype) != (first.shape, first.dtype):
            raise DatasetError(
                f"expected all timepoints of {path.name} to be alike, but {first.path.name} is {by(first.shape)} "
                f"{first.dtype} and {other.path.name} is {by(other.shape)} {other.dtype}: export the movie again with "
                "one size and type"
            )
    return first


def _readers(views: Iterable[View | None]) -> list[OmeZarrReader]:
    """Return what reads the images of several views, each once."""
    return list({_key(view[0]): view[0] for view in views if view is not None}.values())


def _key(reader: OmeZarrReader) -> tuple[Path, int]:
    return reader.path, reader.setup.id


def _levels(setup: ViewSetup, levels: Sequence[Level]) -> Iterator[Level]:
    """Yield the levels of an image; the voxel size that the ``.xml`` gives counts at full resolution."""
    own, first = setup.voxel_size, levels[0].voxel_size
    yield Level(levels[0].shape, own or first)
    for level in levels[1:]:
        size = level.voxel_size
        if own is not None:
            size = None if size is None or first is None else _scaled(own, size, first)
        yield Level(level.shape, size)


def _scaled(own: VoxelSize, size: VoxelSize, first: VoxelSize) -> VoxelSize:
    return VoxelSize(*(edge * a / b for edge, a, b in zip(own.zyx, size.zyx, first.zyx, strict=True)))


def _level_of(reader: OmeZarrReader, level: int) -> OmeZarrReader:
    if level >= len(reader.levels):
        raise DatasetError(f"expected {reader.path.name} to have a level {level} as the other timepoints, got none")
    return reader.at_level(level)
