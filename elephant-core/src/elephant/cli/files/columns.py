"""Which columns a CSV file of spots has, and how they make a record."""

from collections.abc import Mapping, Sequence
from typing import Any

from elephant.cli.files.records import SpotRecord

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


ORDER = ("t", "id", *_VECTORS["pos"], *_COVARIANCE, "tag", "quality", *_VECTORS["displacement"], *_VECTORS["earlier"],
         "sqdisp", "parent", "track", "value")  # fmt: skip
