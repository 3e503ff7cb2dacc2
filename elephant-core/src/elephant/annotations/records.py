"""Spots as files have them, X, Y, Z, and what they mean to the rooms after this one, Z, Y, X."""

import logging
import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from pydantic import ConfigDict, Field, TypeAdapter
from pydantic.dataclasses import dataclass

from elephant.errors import InvalidInputError
from elephant.export.base import TrackedNucleus
from elephant.tracking import TrackedSpot, lineage_of
from elephant.types import DetectedSpot, FloatArray, Link, Spot, Tag
from elephant.words import counted

logger = logging.getLogger(__name__)

Vector = tuple[float, float, float]
Covariance = tuple[float, float, float, float, float, float, float, float, float]

COVARIANCE = ("cxx", "cxy", "cxz", "cyy", "cyz", "czz")
# Where each of the six stands in the 3 x 3 matrix, row-major.
_PLACES = (0, 1, 2, 1, 3, 4, 2, 4, 5)
VECTORS = {
    "pos": ("x", "y", "z"),
    "displacement": ("dx", "dy", "dz"),
    "earlier": ("earlier_x", "earlier_y", "earlier_z"),
}
_PLAIN = ("t", "id", "tag", "quality", "sqdisp", "parent", "probability", "track", "value")

HEADER = "t,x,y,z,radius,tag"
ORDER = ("t", "id", *VECTORS["pos"], *COVARIANCE, "tag", "quality", *VECTORS["displacement"], *VECTORS["earlier"],
         "sqdisp", "parent", "probability", "track", "value")  # fmt: skip
KNOWN = frozenset([*ORDER, "radius"])


@dataclass(frozen=True, slots=True, config=ConfigDict(allow_inf_nan=False))
class SpotRecord:
    """A spot with whatever a file knows of it."""

    t: int = Field(ge=0, description="timepoint, counted from 0")
    pos: Vector = Field(description="centre, physical, X, Y, Z")
    covariance: Covariance = Field(description="3 x 3, row-major over X, Y, Z, physical; the surface is at one sigma")
    id: int | None = Field(default=None, description="its id, to which `parent` refers")
    tag: Tag | None = Field(default=None, description="a person's verdict on it")
    quality: float | None = Field(default=None, description="probability that it is a nucleus, 0 to 1")
    displacement: Vector | None = Field(default=None, description="of a link: where it was before, minus `pos`")
    earlier: Vector | None = Field(default=None, description="its position at the previous timepoint, X, Y, Z")
    sqdisp: float | None = Field(default=None, description="squared distance to that position")
    parent: int | None = Field(default=None, description="`id` of the spot at an earlier timepoint that it came from")
    probability: float | None = Field(default=None, description="probability that `parent`, or none, is right, 0 to 1")
    track: int | None = Field(default=None, description="number of its track, from 1; a division begins two new ones")
    value: int | None = Field(default=None, description="the label for it in a mask, instead of `track`")


_CHECKED = TypeAdapter(SpotRecord)
_JSON_ORDER = ("t", "id", "pos", "covariance", "tag", "quality", "displacement", "earlier", "sqdisp", "parent",
               "probability", "track", "value")  # fmt: skip


def ball(radius: float) -> Covariance:
    """Return the covariance of a ball."""
    square = radius * radius
    return (square, 0.0, 0.0, 0.0, square, 0.0, 0.0, 0.0, square)


def record_from(fields: Any, radius: float | None = None) -> SpotRecord:
    """Return the record of a spot in JSON: ``t``, ``pos``, and ``covariance`` or ``radius``; unknown keys are ignored.

    Parameters
    ----------
    fields
        What the file holds.
    radius
        For a spot that gives neither.

    Raises
    ------
    pydantic.ValidationError, ValueError
        Something is missing or wrong.
    """
    if isinstance(fields, dict) and fields.get("covariance") is None:
        given = fields.get("radius")
        if given is not None or radius is not None:
            fields = fields | {"covariance": ball(_radius(given if given is not None else radius))}
    return _CHECKED.validate_python(fields)


def _radius(value: Any) -> float:
    try:
        radius = float(value)
    except (TypeError, ValueError):
        radius = 0.0
    if not 0 < radius < math.inf:
        raise ValueError(f"radius: expected a number above 0, got {value!r}")
    return radius


def fields_of(record: SpotRecord) -> dict[str, Any]:
    """Return what is known of a spot, as JSON has it."""
    found = ((name, getattr(record, name)) for name in _JSON_ORDER)
    return {name: value for name, value in found if value is not None}


def spot_of(record: SpotRecord, tag: Tag = Tag.UNLABELED) -> Spot:
    """Return a record in the order Z, Y, X; `tag` is that of a spot that has none."""
    pos, covariance = _turned(record)
    return Spot(record.t, pos, covariance, record.tag or tag, -1 if record.id is None else record.id)


def nucleus_of(record: SpotRecord) -> TrackedNucleus:
    """Return a record as exports and scores know it, in the order Z, Y, X."""
    earlier = None if record.earlier is None else np.array(record.earlier[::-1])
    numbers = (record.id, record.parent, record.track, record.value)
    return TrackedNucleus(spot_of(record), *numbers, record.quality, earlier, record.tag is not None)


def nuclei_of(records: Sequence[SpotRecord]) -> list[TrackedNucleus]:
    """Return the nuclei among records, as exports and scores know them.

    A record with a ``displacement`` is a link as the server is sent it, whose ``t`` is not the nucleus': it is left
    out, with a warning.
    """
    nuclei = [nucleus_of(record) for record in records if record.displacement is None]
    if len(nuclei) < len(records):
        logger.warning(
            "%s with a displacement left out, which the server is sent to learn from: they are no nuclei",
            counted(len(records) - len(nuclei), "link"),
        )
    return nuclei


def record_of(t: int, i: int, spot: DetectedSpot) -> SpotRecord:
    """Return the record of a nucleus that was found at a timepoint, with the id `i`."""
    vectors = {"pos": spot.pos[::-1].tolist(), "covariance": spot.covariance[::-1, ::-1].ravel().tolist()}
    return _CHECKED.validate_python({"t": t, "id": i, **vectors, "quality": spot.quality})


def all_of(groups: Mapping[int, Sequence[SpotRecord]]) -> list[SpotRecord]:
    """Return the records of all timepoints, in the order of these."""
    return [record for t in sorted(groups) for record in groups[t]]


def links_of(records: Sequence[SpotRecord]) -> list[Link]:
    """Return the links that records tell of.

    A record with a ``displacement`` is a link as the server is sent it, and its ``t`` is the earlier timepoint. One
    with a ``parent`` is a spot at its own timepoint that came from another spot of the file, and so is one with a
    ``track`` that has an earlier spot in the file. Links that skip timepoints are left out, with a warning.

    Raises
    ------
    InvalidInputError
        A parent is not in the file or not earlier, or it is ambiguous which nucleus of a track it is.
    """
    by_id = {record.id: record for record in records if record.id is not None}
    repeated = {i for i, n in Counter(record.id for record in records).items() if n > 1}
    by_track = _parents_by_track(records)
    links, n_gaps = [], 0
    for i, record in enumerate(records):
        if record.displacement is not None:
            pos, covariance = _turned(record)
            links.append(Link(record.t, pos, covariance, np.array(record.displacement[::-1])))
        elif i in by_track or record.parent is not None:
            parent = by_track[i] if i in by_track else _parent(record, by_id, repeated)
            if parent.t < record.t - 1:
                n_gaps += 1
                continue
            pos, covariance = _turned(record)
            links.append(Link(parent.t, pos, covariance, np.array(parent.pos[::-1]) - pos))
    if n_gaps:
        logger.warning("%s left out, since they skip timepoints", counted(n_gaps, "link"))
    return links


def _parents_by_track(records: Sequence[SpotRecord]) -> dict[int, SpotRecord]:
    """Return the parents of records that name none, by index, as they follow from the tracks."""
    if not any(record.track is not None and record.parent is None for record in records):
        return {}
    tracked = [TrackedSpot(r.t, r.id, r.parent, _track(r)) for r in records]
    parents = lineage_of(tracked, {r.parent for r in records if r.parent is not None}).parents
    found = ((i, parent) for i, parent in enumerate(parents) if parent >= 0 and records[i].parent is None)
    return {i: records[parent] for i, parent in found}


def _track(record: SpotRecord) -> int | None:
    """Return the number of a record's track; negative ones stand for none."""
    return record.track if record.track is not None and record.track >= 0 else None


def _parent(record: SpotRecord, by_id: Mapping[int, SpotRecord], repeated: Collection[int | None]) -> SpotRecord:
    parent = None if record.parent is None else by_id.get(record.parent)
    if parent is None or parent.t >= record.t or parent.id in repeated:
        found = "is not in the file" if parent is None else f"is at timepoint {parent.t}"
        found = found if parent is None or parent.id not in repeated else "several spots have as id"
        raise InvalidInputError(
            f"the spot {record.id} at timepoint {record.t} has the parent {record.parent}, which {found}: expected a "
            f"spot at timepoint {record.t - 1}; ids must be unique in a file"
        )
    return parent


def _turned(record: SpotRecord) -> tuple[FloatArray, FloatArray]:
    return np.array(record.pos[::-1]), np.array(record.covariance[::-1]).reshape(3, 3)


def row_of(record: SpotRecord) -> dict[str, Any]:
    """Return the cells of a record by column; None for missing values."""
    row: dict[str, Any] = {name: getattr(record, name) for name in _PLAIN if name != "tag"}
    row["tag"] = None if record.tag is None else record.tag.value
    for name, columns in VECTORS.items():
        row |= dict(zip(columns, getattr(record, name) or (None, None, None), strict=True))
    return row | {name: record.covariance[_PLACES.index(i)] for i, name in enumerate(COVARIANCE)}
