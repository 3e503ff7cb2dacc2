"""Which images of a BigDataViewer movie become a dataset, and the digest by which the movie is recognised.

A dataset holds one source. With an ``.xml`` beside the movie, its sources and timepoints count, in BigDataViewer's
order, and the views that it lists as missing are blank. Without one the sources are those of ``/sSS``, and the
timepoints those of ``/tTTTTT``. Nothing that is not listed as missing is left blank unless the user asks for it.
"""

import hashlib
import logging
import math
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import h5py

from elephant.dataset.readers.base import ViewSetup, choose, listed, timepoints_in_words
from elephant.dataset.readers.bdv_xml import MOST_TIMEPOINTS, SpimData
from elephant.dataset.readers.formats import content_of_hdf5
from elephant.dataset.readers.hdf5 import (
    SETUP,
    TIMEPOINT,
    check_filters,
    check_links,
    external_links,
    is_beside,
    opened,
)
from elephant.dataset.readers.hdf5_blocks import fastest
from elephant.dataset.source import LARGEST_BLOCK_BYTES, content, samples, unit_of
from elephant.errors import DatasetError
from elephant.progress import CancelToken

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Views:
    """The images of one source of a movie.

    Attributes
    ----------
    setup
        The source.
    others
        The movie's other sources.
    cells
        For each timepoint, the name of its image in the file; None if there is none.
    """

    setup: ViewSetup
    others: tuple[ViewSetup, ...]
    cells: tuple[str | None, ...]


def choose_views(
    file: h5py.File,
    path: Path,
    described: SpimData | None,
    setup: int | None,
    cancel: CancelToken,
    *,
    fill_gaps: bool,
) -> Views:
    """Choose a source of a movie and find its images.

    Parameters
    ----------
    file
        The open movie.
    path
        Its path.
    described
        The content of its ``.xml``, if there is one.
    setup
        Number of the source; None for the movie's first.
    cancel
        Asked for every timepoint.
    fill_gaps
        Whether timepoints without an image become blank even if no ``.xml`` lists them as missing.

    Raises
    ------
    InvalidInputError
        There is no such source.
    DatasetError
        It is not a movie, or images are missing.
    """
    groups = numbered(file, TIMEPOINT)
    if not groups:
        raise no_movie(file, path)
    setups = _setups(file, path, groups, described)
    chosen = choose(setups, setup, path)
    numbers = _numbers(groups, described, path)
    search = _Search(file, path, groups, chosen, cancel)
    missing = {t for t, s in described.missing if s == chosen.id} if described else set()
    cells = tuple(None if t in missing else search.cells(t) for t in numbers)
    lacking = [t for t, name in zip(numbers, cells, strict=True) if name is None]
    if len(lacking) == len(numbers):
        raise _without_images(chosen, setups, search, path)
    if not fill_gaps and (unlisted := [t for t in lacking if t not in missing]):
        raise _gaps(unlisted, numbers, chosen, setups, search, path, described)
    _say_what_is_left_out(groups, numbers, path, described)
    return Views(chosen, tuple(other for other in setups if other.id != chosen.id), cells)


def numbered(group: Iterable[str], pattern: re.Pattern[str]) -> dict[int, str]:
    """Return the names that match a pattern, by their number, in ascending order."""
    matches = (pattern.fullmatch(name) for name in group)
    return dict(sorted((int(m[1]), m[0]) for m in matches if m))


def no_movie(file: h5py.File, path: Path) -> DatasetError:
    """Return the error for an HDF5 file that is not a movie."""
    return DatasetError(
        f"expected {path.name} to be an HDF5 file of BigDataViewer with the groups t00000, t00001, ..., got "
        f"{content_of_hdf5(file)}: export the movie as HDF5 from BigDataViewer"
    )


class _Search:
    """Looks for the images of one source."""

    def __init__(
        self, file: h5py.File, path: Path, groups: dict[int, str], setup: ViewSetup, cancel: CancelToken
    ) -> None:
        self._file = file
        self._path = path
        self._groups = groups
        self._setup = setup.id
        self._cancel = cancel

    def name(self, number: int) -> str:
        """Return the name of a timepoint's image."""
        return f"{self._groups.get(number, f't{number:05d}')}/s{self._setup:02d}/0/cells"

    def cells(self, number: int) -> str | None:
        """Return the name of a timepoint's image if it exists; a broken link counts as existing."""
        self._cancel.check()
        if number not in self._groups:
            return None
        name = self.name(number)
        return name if check_links(self._file, name, self._path) else None


def _setups(file: h5py.File, path: Path, groups: dict[int, str], described: SpimData | None) -> tuple[ViewSetup, ...]:
    """Return the sources in order: those of the ``.xml``, else of ``/sSS``, else of the timepoints."""
    if described is not None and described.setups:
        return described.setups
    found = set(numbered(file, SETUP))
    if not found:
        for name in groups.values():
            check_links(file, name, path)
            group = file.get(name)
            found.update(numbered(group, SETUP) if isinstance(group, h5py.Group) else ())
    return tuple(ViewSetup(number) for number in sorted(found or {0}))


def _numbers(groups: dict[int, str], described: SpimData | None, path: Path) -> Sequence[int]:
    """Return the numbers of the timepoints; check their range before it is iterated over."""
    if described is not None and described.timepoints:
        return described.timepoints
    first, last = min(groups), max(groups)
    count = last - first + 1
    if count > MOST_TIMEPOINTS:
        raise DatasetError(
            f"expected at most {MOST_TIMEPOINTS} timepoints, but {path.name}, which has no .xml beside it, has them "
            f"from {first} to {last}, and {count - len(groups)} are missing: export the movie again, or put its .xml, "
            "which lists its timepoints, beside it"
        )
    return range(first, last + 1)


def _others(chosen: ViewSetup, setups: Sequence[ViewSetup]) -> str:
    others = [setup for setup in setups if setup.id != chosen.id]
    return f", or choose another source with `setup`: {listed(others)}" if others else ""


def _without_images(chosen: ViewSetup, setups: Sequence[ViewSetup], search: _Search, path: Path) -> DatasetError:
    return DatasetError(
        f"{chosen.title} of {path.name} has no image at any timepoint ({search.name(0)} and so on): export the movie "
        f"again{_others(chosen, setups)}"
    )


def _gaps(
    lacking: Sequence[int],
    numbers: Sequence[int],
    chosen: ViewSetup,
    setups: Sequence[ViewSetup],
    search: _Search,
    path: Path,
    described: SpimData | None,
) -> DatasetError:
    listing = f"list them as missing views in {described.path.name}" if described else "put the movie's .xml beside it"
    where = search.name(lacking[0]) + (" and so on" if len(lacking) > 1 else "")
    return DatasetError(
        f"expected an image of {chosen.title} at each of the {len(numbers)} timepoints of {path.name}, but there is "
        f"none at {timepoints_in_words(lacking)} ({where}): {listing}, fill the gaps with blank images "
        f"(fill_gaps in dataset/generate){_others(chosen, setups)}"
    )


def _say_what_is_left_out(
    groups: dict[int, str], numbers: Sequence[int], path: Path, described: SpimData | None
) -> None:
    left_out = sorted(set(groups) - set(numbers))
    if left_out and described is not None:
        name = described.path.name
        logger.warning("%s of %s skipped: %s does not list them", timepoints_in_words(left_out), path.name, name)
    if numbers[0] > 0 and described is None:
        logger.warning(
            "%s begins at timepoint %d and has no .xml beside it: this becomes timepoint 0 of the dataset",
            path.name,
            numbers[0],
        )


def files_of(path: Path) -> tuple[Path, ...]:
    """Return the file of a movie, and those of its partitions that exist."""
    with opened(path) as file:
        return (path, *(path.parent / name for name in sorted(set(_partitions(file, path)))))


def digest_of(path: Path, setup: int | None, cancel: CancelToken) -> str:
    """Return a digest of sizes, type and values of a source's images.

    Parameters
    ----------
    path
        The ``.h5``, or the master file if the movie is split.
    setup
        Number of the source to read; None for the first of each timepoint.
    cancel
        Asked for every block.

    Raises
    ------
    NotFoundError
        There is no such file.
    DatasetError
        It cannot be read.
    """
    digest = hashlib.blake2b(digest_size=16)
    with opened(path) as file:
        timepoints = numbered(file, TIMEPOINT)
        names = list(timepoints.values())
        digest.update(repr(list(timepoints)).encode())
        first = next((cells for name in names if (cells := _cells(file, name, setup, path)) is not None), None)
        if first is None:
            return digest.hexdigest()
        for place, blocks in samples(len(names), first.shape, _unit(first), first.dtype.itemsize):
            cells = _cells(file, names[place], setup, path)
            if cells is None:
                digest.update(f"{place}: none".encode())
                continue
            digest.update(f"{place}: {cells.shape} {cells.dtype.name}".encode())
            image = fastest(cells)
            for block in blocks:
                cancel.check()
                digest.update(content(image, block))
    return digest.hexdigest()


def _partitions(file: h5py.File, path: Path) -> Iterator[str]:
    """Yield the partitions that exist, relative to the movie's folder."""
    for name in external_links(file):
        # HDF5 looks beside the movie for a file that is not where the link says.
        for candidate in (name, Path(name).name):
            if is_beside(candidate, path) and (path.parent / candidate).is_file():
                yield os.path.relpath(path.parent / candidate, path.parent)
                break


def _cells(file: h5py.File, timepoint: str, setup: int | None, path: Path) -> h5py.Dataset | None:
    """Return the image of a source at a timepoint; None if there is none that can be read for a digest."""
    check_links(file, timepoint, path)
    group = file.get(timepoint)
    setups = numbered(group, SETUP) if isinstance(group, h5py.Group) else {}
    number = min(setups, default=None) if setup is None else setup
    if number not in setups:
        return None
    name = f"{timepoint}/{setups[number]}/0/cells"
    check_links(file, name, path)
    cells = file.get(name)
    if not isinstance(cells, h5py.Dataset) or cells.ndim != 3 or min(cells.shape) < 1:
        return None
    if cells.is_virtual or cells.external or math.prod(_unit(cells)) * cells.dtype.itemsize > LARGEST_BLOCK_BYTES:
        return None
    check_filters(cells, path.name)
    return cells


def _unit(cells: h5py.Dataset) -> tuple[int, ...]:
    return unit_of(cells.chunks or (1, 1, cells.shape[2]), cells.shape, cells.dtype.itemsize)
