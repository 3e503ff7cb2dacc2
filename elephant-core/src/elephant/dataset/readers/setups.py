"""The sources of a movie: what a reader says of each, which one is taken, and how that is said."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from elephant.errors import InvalidInputError
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
        Its name; empty where it has none.
    size
        (Z, Y, X) in voxels; None where the file does not say.
    voxel_size
        Physical edges of a voxel; None where the file does not say, or says something impossible.
    unit
        Unit of the voxel size as written, such as ``micrometer`` or ``µm``; empty where there is none.
    attributes
        By the name of an attribute (``channel``, ``angle``, ...) the name of its value, or its number.
    """

    id: int
    name: str = ""
    size: Shape | None = None
    voxel_size: VoxelSize | None = None
    unit: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """What a person knows it by, such as ``source 1 (GFP)``."""
        return f"source {self.id} ({self.name})" if self.name else f"source {self.id}"


def choose(setups: tuple[ViewSetup, ...], number: int | None, path: Path) -> ViewSetup:
    """Return the source of a number, else the first.

    Raises
    ------
    InvalidInputError
        There is none of that number in the movie at `path`.
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
    """Log which source of several was taken, and which timepoints of the dataset are blank.

    Parameters
    ----------
    path
        The movie.
    setup, others
        The source that was taken, and the movie's other ones.
    blank
        Timepoints without an image, counted from 0.
    is_chosen
        Whether somebody asked for this source.
    """
    if others:
        logger.log(
            logging.INFO if is_chosen else logging.WARNING,
            "%s has %d sources, and %s was taken: %s",
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
    """Return the numbers and names of the first sources, and how many more there are."""
    words = ", ".join(f"{s.id} ({s.name})" if s.name else str(s.id) for s in setups[:_MOST_NAMED])
    return words + (f" and {len(setups) - _MOST_NAMED} more" if len(setups) > _MOST_NAMED else "")


def timepoints_in_words(numbers: Sequence[int]) -> str:
    """Return ascending timepoints as ``timepoints 0-4, 7``, at most some parts of them."""
    return f"timepoint{'s' * (len(numbers) > 1)} {in_ranges(numbers, _MOST_NAMED)}"


def _way_to(others: Sequence[ViewSetup]) -> str:
    if len(others) > 1:
        return f"`setup` takes another one: {listed(others)}"
    name = f" ({others[0].name})" if others[0].name else ""
    return f"`setup` {others[0].id} takes the other{name}"
