"""Which images of a BigDataViewer movie become a dataset, whatever the format of the images.

A dataset holds one source. With an ``.xml`` beside the movie, its sources and timepoints count, in BigDataViewer's
order, and the views that it lists as missing are blank. Without one the sources and timepoints are those of which there
are images. Nothing that is not listed as missing is left blank unless the user asks for it.
"""

import logging
import math
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from elephant.dataset.readers.base import ViewSetup, choose, listed, timepoints_in_words
from elephant.dataset.readers.bdv_registrations import warn_of_registration
from elephant.dataset.readers.bdv_xml import MOST_TIMEPOINTS, SpimData
from elephant.errors import DatasetError, InvalidInputError
from elephant.progress import CancelToken
from elephant.types import VoxelSize

MOST_LEVELS = 32  # of a pyramid that halves

logger = logging.getLogger(__name__)


class Images(Protocol):
    """The images of a movie: of which views there are any."""

    def timepoints(self) -> Collection[int]:
        """Return the numbers of the timepoints of which there is something, at least one."""

    def setups(self) -> Collection[int]:
        """Return the numbers of the sources; none if they are not known."""

    def name(self, timepoint: int, setup: int) -> str:
        """Return the name of an image of full resolution, whether it exists or not."""

    def has(self, timepoint: int, setup: int) -> bool:
        """Return whether an image exists; a broken link counts as existing."""


@dataclass(frozen=True, slots=True)
class Views:
    """The images of one source of a movie.

    Attributes
    ----------
    setup
        The source.
    others
        The movie's other sources.
    timepoints
        For each timepoint of the dataset, its number in the movie; None if it has no image.
    """

    setup: ViewSetup
    others: tuple[ViewSetup, ...]
    timepoints: tuple[int | None, ...]

    @property
    def present(self) -> list[int]:
        """Numbers of the timepoints that have an image, at least one."""
        return [t for t in self.timepoints if t is not None]

    @property
    def blank(self) -> tuple[int, ...]:
        """Timepoints of the dataset without an image."""
        return tuple(t for t, number in enumerate(self.timepoints) if number is None)


def choose_views(
    images: Images,
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
    images
        The movie's images.
    path
        The movie.
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
        Images are missing.
    """
    setups = _setups(images, described)
    chosen = choose(setups, setup, path)
    numbers = _numbers(images, described, path)
    missing = {t for t, s in described.missing if s == chosen.id} if described else set()
    search = _Search(path, described, setups, chosen, numbers)
    found = list[int | None]()
    for t in numbers:
        cancel.check()
        found.append(t if t not in missing and images.has(t, chosen.id) else None)
    lacking = [t for t, number in zip(numbers, found, strict=True) if number is None]
    if len(lacking) == len(numbers):
        raise search.without_images(images)
    if not fill_gaps and (unlisted := [t for t in lacking if t not in missing]):
        raise search.gaps(unlisted, images)
    _say_what_is_left_out(images.timepoints(), numbers, path, described)
    if described is not None:
        warn_of_registration(described.path, chosen)
    return Views(chosen, search.others, tuple(found))


def numbered(names: Iterable[str], pattern: re.Pattern[str]) -> dict[int, str]:
    """Return the names that match a pattern, by their number, in ascending order."""
    matches = (pattern.fullmatch(name) for name in names)
    return dict(sorted((int(m[1]), m[0]) for m in matches if m))


def scaled(size: VoxelSize | None, factors: Sequence[Sequence[float]], level: int) -> VoxelSize | None:
    """Return the size of a voxel at a level of the pyramid; None if it is not known.

    Parameters
    ----------
    size
        That of full resolution.
    factors
        For each level, by what it is reduced along Z, Y, X.
    level
        The level.
    """
    if size is None or level == 0:
        return size
    if level >= len(factors):
        return None
    pairs = zip(factors[level], factors[0], strict=True)
    ratios = [a / b if math.isfinite(a) and math.isfinite(b) and b > 0 else 0.0 for a, b in pairs]
    try:
        return VoxelSize(*(edge * ratio for edge, ratio in zip(size.zyx, ratios, strict=True)))
    except InvalidInputError:
        return None


@dataclass(frozen=True, slots=True)
class _Search:
    """What is looked for in a movie, and the errors where it is not found."""

    path: Path
    described: SpimData | None
    setups: tuple[ViewSetup, ...]
    chosen: ViewSetup
    numbers: Sequence[int]

    @property
    def others(self) -> tuple[ViewSetup, ...]:
        return tuple(setup for setup in self.setups if setup.id != self.chosen.id)

    def without_images(self, images: Images) -> DatasetError:
        return DatasetError(
            f"{self.chosen.title} of {self.path.name} has no image at any timepoint "
            f"({images.name(0, self.chosen.id)} and so on): export the movie again{self._other_sources()}"
        )

    def gaps(self, lacking: Sequence[int], images: Images) -> DatasetError:
        xml = self.described
        listing = f"list them as missing views in {xml.path.name}" if xml else "put the movie's .xml beside it"
        where = images.name(lacking[0], self.chosen.id) + (" and so on" if len(lacking) > 1 else "")
        return DatasetError(
            f"expected an image of {self.chosen.title} at each of the {len(self.numbers)} timepoints of "
            f"{self.path.name}, but there is none at {timepoints_in_words(lacking)} ({where}): {listing}, fill the "
            f"gaps with blank images (fill_gaps in dataset/generate){self._other_sources()}"
        )

    def _other_sources(self) -> str:
        return f", or choose another source with `setup`: {listed(self.others)}" if self.others else ""


def _setups(images: Images, described: SpimData | None) -> tuple[ViewSetup, ...]:
    """Return the sources in order: those of the ``.xml``, else those of the images."""
    if described is not None and described.setups:
        return described.setups
    return tuple(ViewSetup(number) for number in sorted(images.setups() or {0}))


def _numbers(images: Images, described: SpimData | None, path: Path) -> Sequence[int]:
    """Return the numbers of the timepoints; check their range before it is iterated over."""
    if described is not None and described.timepoints:
        return described.timepoints
    there_are = images.timepoints()
    first, last = min(there_are), max(there_are)
    count = last - first + 1
    if count > MOST_TIMEPOINTS:
        raise DatasetError(
            f"expected at most {MOST_TIMEPOINTS} timepoints, but {path.name}, which has no .xml beside it, has them "
            f"from {first} to {last}, and {count - len(there_are)} are missing: export the movie again, or put its "
            ".xml, which lists its timepoints, beside it"
        )
    return range(first, last + 1)


def _say_what_is_left_out(
    there_are: Collection[int], numbers: Sequence[int], path: Path, described: SpimData | None
) -> None:
    left_out = sorted(set(there_are) - set(numbers))
    if left_out and described is not None:
        name = described.path.name
        logger.warning("%s of %s skipped: %s does not list them", timepoints_in_words(left_out), path.name, name)
    if numbers[0] > 0 and described is None:
        logger.warning(
            "%s begins at timepoint %d and has no .xml beside it: this becomes timepoint 0 of the dataset",
            path.name,
            numbers[0],
        )
