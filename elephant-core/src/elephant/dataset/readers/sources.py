"""The sources of a movie (channels, angles, tiles): which one is used, by its number or its channel's name."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from elephant.errors import DatasetError, InvalidInputError
from elephant.types import Shape, VoxelSize
from elephant.words import in_ranges

_MOST_NAMED = 8
_IN_PARTS = ("angle", "tile", "illumination")

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ViewSetup:
    """One source of a movie: a channel, an angle, a tile or an illumination.

    Attributes
    ----------
    id
        Its number: S in ``/sSS`` of a BigDataViewer file.
    name
        Its name; may be empty.
    size
        (Z, Y, X) in voxels; None if the file has no size.
    voxel_size
        Physical edges of a voxel; None if the file has none, or an impossible one.
    unit
        Unit of the voxel size as written, such as ``micrometer`` or ``µm``; may be empty.
    attributes
        For each attribute (``channel``, ``angle``, ...) the name of its value, or its number.
    """

    id: int
    name: str = ""
    size: Shape | None = None
    voxel_size: VoxelSize | None = None
    unit: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """Its name for people, such as ``source 1 (GFP)``."""
        return f"source {self.id} ({self.name})" if self.name else f"source {self.id}"

    @property
    def names(self) -> set[str]:
        """Its own name and that of its channel, which people choose it by."""
        return {self.name, self.attributes.get("channel", self.name)}


def choose(setups: tuple[ViewSetup, ...], number: int | None, path: Path) -> ViewSetup:
    """Return the source with a number, or the first if it is None.

    Raises
    ------
    InvalidInputError
        The movie at `path` has no source with this number.
    """
    if number is None:
        return setups[0]
    chosen = next((setup for setup in setups if setup.id == number), None)
    if chosen is None:
        raise InvalidInputError(
            f"expected `setup` to be a source of {path.name}, got {number}: it has {listed(setups)}"
        )
    return chosen


def refuse_parts(chosen: ViewSetup, others: Sequence[ViewSetup], path: Path) -> None:
    """Refuse a source that nobody chose and that shows only a part of the specimen: one of several angles or tiles.

    Parameters
    ----------
    chosen, others
        The first source, and the other ones of the movie at `path`.

    Raises
    ------
    DatasetError
        There are other angles, tiles or illuminations of the same channel.
    """
    channel = chosen.attributes.get("channel")
    same = [chosen, *(each for each in others if each.attributes.get("channel") == channel)]
    counts = {kind: len({each.attributes[kind] for each in same if kind in each.attributes}) for kind in _IN_PARTS}
    parts = [f"{count} {kind}s" for kind, count in counts.items() if count > 1]
    if parts:
        raise DatasetError(
            f"{path.name} shows the specimen in {' and '.join(parts)}, which needs fusion to one image: fuse them in "
            f"BigStitcher, or choose one source with `setup`: {listed(same)}"
        )


def number_of_channel(setups: Sequence[ViewSetup], channel: str, path: Path) -> int:
    """Return the number of the source with a name: its own, or that of its channel, in capitals or not.

    Raises
    ------
    InvalidInputError
        No source of the movie at `path` has this name, or several have.
    """
    for wanted, normalised in ((channel, str), (channel.lower(), str.lower)):
        found = [setup.id for setup in setups if wanted in map(normalised, setup.names)]
        if len(found) > 1:
            raise InvalidInputError(
                f"expected one source of {path.name} with the channel {channel}, got {len(found)}, with the numbers "
                f"{in_ranges(found, _MOST_NAMED)}: choose one of them by its number, with `setup`"
            )
        if found:
            return found[0]
    raise InvalidInputError(
        f"expected `channel` to be the name of a source of {path.name}, got {channel}: it has {listed(setups)}; "
        "`setup` chooses by number"
    )


def say_what_was_taken(
    path: Path, setup: ViewSetup, others: Sequence[ViewSetup], blank: Sequence[int], *, is_chosen: bool
) -> None:
    """Log which of several sources is used, and which timepoints of the dataset are blank.

    Parameters
    ----------
    path
        The movie.
    setup, others
        The source that is used, and the movie's other ones.
    blank
        Timepoints without an image, counted from 0.
    is_chosen
        Whether the user chose this source.
    """
    if others:
        logger.log(
            logging.INFO if is_chosen else logging.WARNING,
            "%s has %d sources, and %s is used: %s",
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
    """Format the numbers and names of the first sources, and how many more there are."""
    words = ", ".join(f"{s.id} ({s.name})" if s.name else str(s.id) for s in setups[:_MOST_NAMED])
    return words + (f" and {len(setups) - _MOST_NAMED} more" if len(setups) > _MOST_NAMED else "")


def timepoints_in_words(numbers: Sequence[int]) -> str:
    """Format ascending timepoints as ``timepoints 0-4, 7``, shortened if there are many."""
    return f"timepoint{'s' * (len(numbers) > 1)} {in_ranges(numbers, _MOST_NAMED)}"


def _way_to(others: Sequence[ViewSetup]) -> str:
    if len(others) > 1:
        return f"choose another one with `setup`: {listed(others)}"
    name = f" ({others[0].name})" if others[0].name else ""
    return f"choose the other one with `setup` {others[0].id}{name}"
