"""What the columns of a table mean: our names, and those of TrackMate, Mastodon, napari, ultrack, btrack and Imaris."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from elephant.annotations.records import HEADER, KNOWN
from elephant.errors import InvalidInputError
from elephant.units import unit_named

PARENT_TRACK = "parent_track"
_NAMES_SHOWN = 8

# In the order in which they are taken where a table has several; our own names come first.
ALIASES: Mapping[str, tuple[str, ...]] = {
    "t": ("frame", "timepoint", "time_point", "spot_frame", "frame_number", "frame_id", "time", "axis_0"),
    "x": ("position_x", "pos_x", "spot_position_x", "x_position", "centroid_x", "center_x", "spot_center_x"),
    "y": ("position_y", "pos_y", "spot_position_y", "y_position", "centroid_y", "center_y", "spot_center_y"),
    "z": ("position_z", "pos_z", "spot_position_z", "z_position", "centroid_z", "center_z", "spot_center_z"),
    "radius": ("r", "spot_radius"),
    "id": ("spot_id", "node_id", "nodeid", "spotid"),
    "parent": ("parent_id", "parentid", "parent_spot_id", "parent_node_id"),
    "track": ("track_id", "trackid", "spot_track_id", "tracklet_id"),
    PARENT_TRACK: ("parent_track_id", "parent_trackid"),
    "quality": ("detection_quality", "spot_quality"),
}
_REQUIRED = {"t": "the timepoint", "x": "the position", "y": "the position"}
_UNIT = re.compile(r"[(\[]([^()\[\]]*)[)\]]\s*$")
_AXIS = re.compile(r"axis_(\d+)")


class Origin(StrEnum):
    """Whose names a table has."""

    OURS = "elephant"
    TRACKMATE = "TrackMate"
    MASTODON = "Mastodon"
    NAPARI = "napari"
    IMARIS = "Imaris"
    BTRACK = "btrack"
    OTHER = "another program"


@dataclass(frozen=True, slots=True)
class Columns:
    """Where in a row what is.

    Attributes
    ----------
    places
        By what it means, as in :class:`.SpotRecord`'s table; ``parent_track`` is the parent's track.
    names
        The header, as it is written.
    origin
        Whose names these are.
    units
        Of the positions, as far as the header tells.
    """

    places: Mapping[str, int]
    names: Sequence[str]
    origin: Origin
    units: set[str] = field(default_factory=set)

    def has_own(self, meaning: str) -> bool:
        """Return whether a column has our own name."""
        return meaning in self.places and normalised(self.names[self.places[meaning]]) == meaning

    def first_frame(self) -> int | None:
        """Return the number of the first timepoint, as the program counts; None if it is not known."""
        if self.origin is Origin.IMARIS:
            return 1
        is_known = self.origin not in (Origin.OTHER, Origin.OURS) or self.has_own("t")
        return 0 if is_known else None

    def ignored(self) -> list[str]:
        """Return the names of columns that mean nothing here."""
        used = set(self.places.values())
        return [name for i, name in enumerate(self.names) if name and i not in used]

    def unit(self, file: str) -> str | None:
        """Return the unit of positions that the file states, or ``pixel`` or ``physical``; None if it is not known.

        Raises
        ------
        InvalidInputError
            X, Y and Z have different units.
        """
        found = {unit for unit in self.units if unit}
        if len(found) > 1:
            raise InvalidInputError(
                f"{file}: expected positions in one unit, got {', '.join(sorted(found))}: convert them to the voxel "
                "size's"
            )
        if found:
            return found.pop()
        if self.origin is Origin.NAPARI:
            return "pixel"
        return None if self.origin in (Origin.OTHER, Origin.BTRACK) else "physical"


def unit_in(text: str) -> str | None:
    """Return the unit in brackets at the end of a text, in lower case; None if there is none."""
    found = _UNIT.search(text)
    return found[1].strip().lower() if found else None


def normalised(name: str) -> str:
    """Return a column's name in lower case, without its unit, with underscores between words."""
    return re.sub(r"[\s.\-]+", "_", _UNIT.sub("", name).strip().lower())


def columns_of(header: Sequence[str], n_dims: int | None = None) -> Columns | None:
    """Return what the columns under a header mean; None if it lacks the timepoint, x or y.

    Parameters
    ----------
    header
        The names, as they are written.
    n_dims
        3 or 2, if it is known.

    Raises
    ------
    InvalidInputError
        A column is there twice, or the names are ambiguous.
    """
    names = [normalised(name) for name in header]
    meanings = _meanings(names, n_dims)
    places: dict[str, int] = {}
    for meaning, accepted in meanings.items():
        name = next((name for name in accepted if name in names), None)
        if name is None:
            continue
        if names.count(name) > 1:
            raise InvalidInputError(f"expected each column once, got {names.count(name)} columns {name}: rename one")
        places[meaning] = names.index(name)
    if not places.keys() >= _REQUIRED.keys():
        return None
    origin = _origin_of(names, {names[place] for place in places.values()})
    units = {unit_in(header[places[axis]]) or "" for axis in "xyz" if axis in places}
    _check_radius([unit_in(header[places["radius"]])] if "radius" in places else [], units)
    return Columns(places, [name.strip() for name in header], origin, units)


def _check_radius(of_radius: Sequence[str | None], of_positions: Collection[str]) -> None:
    for unit in filter(None, of_radius):
        others = {each for each in of_positions if each and unit_named(each) != unit_named(unit)}
        if others:
            raise InvalidInputError(
                f"expected the radius in the unit of the positions, got {unit} and {min(others)}: convert it"
            )


def _meanings(names: Sequence[str], n_dims: int | None) -> dict[str, tuple[str, ...]]:
    """Return the names under which each meaning is looked for."""
    found = {name: (name, *ALIASES.get(name, ())) for name in (*sorted(KNOWN), PARENT_TRACK)}
    axes = sorted(int(axis[1]) for name in names if (axis := _AXIS.fullmatch(name)))
    if axes:
        found |= _axes(len(axes), n_dims)
    if {"id", "parent", "root"} <= set(names):  # btrack numbers tracks, not nuclei
        found |= {"id": (), "parent": (), "track": ("id",), PARENT_TRACK: ("parent",)}
    return found


def _axes(n_axes: int, n_dims: int | None) -> dict[str, tuple[str, ...]]:
    """Return the meanings of napari's axes, which are numbered in the order in which the layer has them."""
    if n_axes == (n_dims or n_axes - 1) + 1 and n_axes in (3, 4):
        return {axis: (axis, f"axis_{i}") for i, axis in enumerate("tzyx" if n_axes == 4 else "tyx")}
    axes = "axis-0 to axis-3, for t, z, y and x" if n_dims != 2 else "axis-0 to axis-2, for t, y and x"
    raise InvalidInputError(f"expected columns {axes}, got {n_axes} axes: add the axis of time to the layer in napari")


def _origin_of(names: Sequence[str], used: set[str]) -> Origin:
    there = set(names)
    if "position_x" in used and {"frame", "position_t"} & there and not {"trackid", "time"} <= there:
        return Origin.TRACKMATE
    if "spot_position_x" in used:
        return Origin.MASTODON
    if "axis_0" in used:
        return Origin.NAPARI
    if {"position_x", "time", "trackid"} <= there:
        return Origin.IMARIS
    if {"id", "parent", "root"} <= there:
        return Origin.BTRACK
    has_our_size = {"x", "y"} <= used and used & {"radius", "cxx"}
    return Origin.OURS if used <= KNOWN or has_our_size else Origin.OTHER


def no_columns(names: Sequence[str], file: str) -> InvalidInputError:
    """Return the error for a header that lacks the timepoint, x or y."""
    places = [normalised(name) for name in names]
    lacking = [name for name in _REQUIRED if not {name, *ALIASES[name]} & set(places)]
    if lacking == ["t"] and "position_t" in places:
        return InvalidInputError(
            f"{file} has POSITION_T, a time, but no frame: expected a column FRAME, or t, with the number of the "
            "timepoint: export the frame, too"
        )
    if len(names) == 1 and names[0].strip():
        return InvalidInputError(
            f"{file} needs a header such as {HEADER}, but its first line is {names[0].strip()[:80]}: separate the "
            "cells by commas, semicolons or tabs"
        )
    words = "; ".join(f"{_REQUIRED[name]} ({some_names(name)})" for name in lacking)
    return InvalidInputError(
        f"{file} needs a header with a column for {words}, such as {HEADER}, but its first line is "
        f"{shortened_names(names) or 'empty'}"
    )


def some_names(meaning: str) -> str:
    """Return some names of a meaning: ``radius, RADIUS, r, ...``."""
    first = next(iter(ALIASES.get(meaning, ())), "")
    return ", ".join(filter(None, (meaning, first.upper(), "...")))


def shortened_names(names: Sequence[str]) -> str:
    """Return names, the first few where there are many."""
    shown = [name.strip()[:40] for name in names[:_NAMES_SHOWN]]
    more = len(names) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")
