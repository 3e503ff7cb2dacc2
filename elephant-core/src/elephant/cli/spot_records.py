"""Spots as files have them, X, Y, Z: fields in JSON, columns in a table, and those of several files as one."""

import logging
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from elephant.errors import InvalidInputError
from elephant.types import DetectedSpot, FloatArray, Link, Spot, Tag
from elephant.words import counted

logger = logging.getLogger(__name__)

Vector = tuple[float, float, float]
Covariance = tuple[float, float, float, float, float, float, float, float, float]

_COVARIANCE = ("cxx", "cxy", "cxz", "cyy", "cyz", "czz")
# Where each of the six stands in the 3 x 3 matrix, row-major.
_PLACES = (0, 1, 2, 1, 3, 4, 2, 4, 5)
_VECTORS = {
    "pos": ("x", "y", "z"),
    "displacement": ("dx", "dy", "dz"),
    "earlier": ("earlier_x", "earlier_y", "earlier_z"),
}
_PLAIN = ("t", "id", "tag", "quality", "sqdisp", "parent", "track", "value", "radius")

KNOWN = frozenset([*_PLAIN, *_COVARIANCE, *(name for names in _VECTORS.values() for name in names)])
HEADER = "t,x,y,z,radius,tag"
ORDER = ("t", "id", *_VECTORS["pos"], *_COVARIANCE, "tag", "quality", *_VECTORS["displacement"], *_VECTORS["earlier"],
         "sqdisp", "parent", "track", "value")  # fmt: skip
_NUMBERS = ("track", "value")


class SpotRecord(BaseModel):
    """A spot with whatever is known of it."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)

    t: Annotated[int, Field(ge=0)] = Field(description="timepoint, counted from 0")
    id: int | None = Field(None, description="its id, to which `parent` refers")
    pos: Vector = Field(description="centre, physical, X, Y, Z")
    covariance: Covariance = Field(description="3 x 3, row-major over X, Y, Z, physical; the surface is at one sigma")
    tag: Tag | None = Field(None, description="a person's verdict on it")
    quality: float | None = Field(None, description="mean centre probability, 0 to 1")
    displacement: Vector | None = Field(None, description="of a link: the earlier position minus `pos`, X, Y, Z")
    earlier: Vector | None = Field(None, description="its position at the previous timepoint, X, Y, Z")
    sqdisp: float | None = Field(None, description="squared distance to that position")
    parent: int | None = Field(None, description="`id` of the spot at the previous timepoint that it came from")
    track: int | None = Field(None, description="number of its track, from 1; a division begins two new ones")
    value: int | None = Field(None, description="value of its voxels in a mask; by default `track`")

    @model_validator(mode="before")
    @classmethod
    def _sphere(cls, values: Any) -> Any:
        """Take a ``radius`` in place of a covariance."""
        if not isinstance(values, dict) or values.get("radius") is None or values.get("covariance") is not None:
            return values
        try:
            radius = float(values["radius"])
        except (TypeError, ValueError):
            radius = 0.0
        if not 0 < radius < math.inf:
            raise ValueError(f"radius: expected a number above 0, got {values['radius']!r}")
        return values | {"covariance": np.diag([radius**2] * 3).ravel().tolist()}


def spot_of(record: SpotRecord, tag: Tag = Tag.UNLABELED) -> Spot:
    """Return a record in the order Z, Y, X; `tag` is that of a spot that has none."""
    pos, covariance = _turned(record)
    return Spot(record.t, pos, covariance, record.tag or tag, -1 if record.id is None else record.id)


def record_of(t: int, i: int, spot: DetectedSpot) -> SpotRecord:
    """Return the record of a nucleus that was found at a timepoint, with the id `i`."""
    return SpotRecord(
        t=t,
        id=i,
        pos=spot.pos[::-1].tolist(),
        covariance=spot.covariance[::-1, ::-1].ravel().tolist(),
        quality=spot.quality,
    )


def all_of(groups: Mapping[int, Sequence[SpotRecord]]) -> list[SpotRecord]:
    """Return the records of all timepoints, in the order of these."""
    return [record for t in sorted(groups) for record in groups[t]]


def links_of(records: Sequence[SpotRecord]) -> list[Link]:
    """Return the links that records tell of.

    A record with a ``displacement`` is a link as the server is sent it, and its ``t`` is the earlier timepoint. One
    with a ``parent`` is a spot at its own timepoint that came from another spot of the file. Others contain no links.

    Raises
    ------
    InvalidInputError
        A parent is not in the file, or not at the timepoint before.
    """
    by_id = {record.id: record for record in records if record.id is not None}
    links = []
    for record in records:
        pos, covariance = _turned(record)
        if record.displacement is not None:
            links.append(Link(record.t, pos, covariance, np.array(record.displacement[::-1])))
        elif record.parent is not None:
            parent = _parent(record, by_id.get(record.parent))
            links.append(Link(parent.t, pos, covariance, np.array(parent.pos[::-1]) - pos))
    return links


def _parent(record: SpotRecord, parent: SpotRecord | None) -> SpotRecord:
    if parent is None or parent.t != record.t - 1:
        found = "is not in the file" if parent is None else f"is at timepoint {parent.t}"
        raise InvalidInputError(
            f"the spot {record.id} at timepoint {record.t} has the parent {record.parent}, which {found}: expected a "
            f"spot at timepoint {record.t - 1}; ids must be unique in a file"
        )
    return parent


def _turned(record: SpotRecord) -> tuple[FloatArray, FloatArray]:
    return np.array(record.pos[::-1]), np.array(record.covariance[::-1]).reshape(3, 3)


def fields_of(row: Mapping[str, str]) -> dict[str, Any]:
    """Return the fields of a record from the cells of a row, by column; empty cells say nothing.

    A missing ``z`` is 0, for 2D. The covariance is the six columns ``cxx`` to ``czz``, or ``radius``.
    """
    cells = {name: text for name, text in row.items() if text != ""}
    fields: dict[str, Any] = {name: cells[name] for name in _PLAIN if name in cells}
    for name, (x, y, z) in _VECTORS.items():
        if x in cells or y in cells:
            fields[name] = [cells.get(x), cells.get(y), cells.get(z, 0)]
    if "radius" in row:
        fields["radius"] = cells.get("radius")
    if any(name in cells for name in _COVARIANCE):
        six = [cells.get(name, 1 if name == "czz" else 0 if name.endswith("z") else None) for name in _COVARIANCE]
        fields["covariance"] = [six[place] for place in _PLACES]
    return fields


def column_of(field: Sequence[int | str], fields: Mapping[str, Any]) -> str:
    """Return the column of a part of a record, such as ``("pos", 0)``, by the fields of its row."""
    name, i = str(field[0]), int(field[1]) if len(field) > 1 else 0
    if name == "covariance":
        return "radius" if "radius" in fields and len(field) == 1 else _COVARIANCE[_PLACES[i]]
    return _VECTORS[name][i] if name in _VECTORS else name


def row_of(record: SpotRecord) -> dict[str, Any]:
    """Return the cells of a record by column; None for missing values."""
    row: dict[str, Any] = {name: getattr(record, name) for name in _PLAIN if name not in ("radius", "tag")}
    row["tag"] = None if record.tag is None else record.tag.value
    for name, columns in _VECTORS.items():
        row |= dict(zip(columns, getattr(record, name) or (None, None, None), strict=True))
    return row | {name: record.covariance[_PLACES.index(i)] for i, name in enumerate(_COVARIANCE)}


def fitted(part: Sequence[SpotRecord], before: Sequence[SpotRecord], name: str) -> list[SpotRecord]:
    """Return the spots of a file as they fit to those of the files before.

    Parameters
    ----------
    name
        Of the file, for warnings about what was left out or numbered anew.
    """
    known = {_key(record): record for record in before}
    twins = {record.id: known[_key(record)].id for record in part if _key(record) in known}
    new = [record for record in part if _key(record) not in known]
    if len(new) < len(part):
        logger.warning(
            "%s: %s ignored, since earlier files contain them (same timepoint, position and covariance)",
            name,
            counted(len(part) - len(new), "spot"),
        )
    own = {record.id for record in new if record.id is not None}
    used = {record.id for record in before if record.id is not None}
    collide = own & used
    shift = _shift(own, used) if collide else 0
    if collide:
        logger.warning(
            "%s: %s also in earlier files: replaced by %d to %d, together with the parents that refer to them",
            name,
            f"{counted(len(collide), 'id')} {'is' if len(collide) == 1 else 'are'}",
            min(own) + shift,
            max(own) + shift,
        )

    def renamed(old: int | None) -> int | None:
        return old + shift if old is not None and old in own else twins.get(old, old)

    numbers = {field: _numbers(field, new, before, name, apart=bool(collide)) for field in _NUMBERS}
    return [
        record.model_copy(
            update={"id": renamed(record.id), "parent": renamed(record.parent)}
            | {field: change(getattr(record, field)) for field, change in numbers.items()}
        )
        for record in new
    ]


def _numbers(
    field: str, new: Iterable[SpotRecord], before: Iterable[SpotRecord], name: str, *, apart: bool
) -> Callable[[int | None], int | None]:
    """Return the new numbers of the tracks, or values, of a file.

    Parameters
    ----------
    apart
        Whether the files were numbered without knowledge of one another, as their ids say.
    """
    here, there = _at(field, new), _at(field, before)
    own, used = {number for _, number in here}, {number for _, number in there}
    shared = own & used
    if not shared:
        return lambda number: number
    if not apart and not here & there:
        logger.warning("%s: %s also in earlier files: treated as the same tracks", name, counted(len(shared), field))
        return lambda number: number
    shift = _shift(own, used)
    logger.warning(
        "%s: %s used for other nuclei in earlier files: replaced by %d to %d",
        name,
        f"{counted(len(shared), field)} {'is' if len(shared) == 1 else 'are'}",
        min(own) + shift,
        max(own) + shift,
    )
    return lambda number: None if number is None else number + shift if number in own else number


def _at(field: str, records: Iterable[SpotRecord]) -> set[tuple[int, int]]:
    """Return timepoints and numbers; negative ones stand for none."""
    found = ((record.t, getattr(record, field)) for record in records)
    return {(t, number) for t, number in found if number is not None and number >= 0}


def _shift(own: Iterable[int], used: Iterable[int]) -> int:
    return max(used) + 1 - min(own)


def _key(record: SpotRecord) -> tuple[Any, ...]:
    # A link that the server is sent is another thing than its spot.
    return record.t, record.pos, record.covariance, record.displacement
