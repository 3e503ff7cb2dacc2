"""Tables as spreadsheets and other programs write them: which separator, which decimals, and what the columns mean."""

import csv
import logging
import re
from collections.abc import Iterator, Sequence
from typing import Any

from elephant.cli.files.columns import HEADER, KNOWN, fields_of
from elephant.errors import InvalidInputError

logger = logging.getLogger(__name__)

Named = tuple[str, Any]  # where in the file, and what is there

_SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs"}
_DECIMAL_COMMA = re.compile(r"[+-]?\d*,\d+(?:[eE][+-]?\d+)?")
_DECIMAL_POINT = re.compile(r"[+-]?\d*\.\d+(?:[eE][+-]?\d+)?")
# What TrackMate, napari, ultrack, motile and others call the columns.
_ALIASES = {
    "frame": "t", "time": "t", "timepoint": "t", "position_t": "t", "axis-0": "t",
    "position_x": "x", "pos_x": "x", "axis-3": "x", "position_y": "y", "pos_y": "y", "axis-2": "y",
    "position_z": "z", "pos_z": "z", "axis-1": "z",
    "r": "radius", "spot_id": "id", "node_id": "id",
    "parent_id": "parent", "parentid": "parent", "track_id": "track", "trackid": "track",
}  # fmt: skip


def rows_of(text: str, name: str) -> Iterator[Named]:
    """Yield the fields of a record for each row of a table with a header.

    Cells are separated by commas, by semicolons or by tabs. In the last two cases numbers may have a decimal comma.

    Raises
    ------
    InvalidInputError
        The header lacks a required column, a row has more cells than the header, or numbers are written in two ways.
    """
    content = text.splitlines()
    separator = _separator(content[0] if content else "")
    lines = csv.reader(content, delimiter=separator)
    header = [column.strip().lower() for column in next(lines, [])]
    _check_header(header, name)
    has_commas = has_points = False
    for cells in lines:
        where = f"line {lines.line_num}"
        if any(cell.strip() for cell in cells[len(header) :]):
            raise InvalidInputError(
                f"{name}, {where}: expected at most {len(header)} cells, as in the header, got {len(cells)}: "
                "if commas separate the cells, use decimal points"
            )
        if not any(cell.strip() for cell in cells):
            continue
        row = dict(zip(header, (cell.strip() for cell in cells), strict=False))
        if not re.search(r"\d", row.get("t", "") + row.get("x", "")):
            raise InvalidInputError(
                f"{name}, {where}: expected numbers, got {separator.join(cells)}: delete text lines below the header"
            )
        if separator != ",":
            has_points = has_points or any(map(_DECIMAL_POINT.fullmatch, row.values()))
            pointed = {column: _with_point(cell) for column, cell in row.items()}
            has_commas, row = has_commas or pointed != row, pointed
        yield where, fields_of(row)
    if has_commas and has_points:
        raise InvalidInputError(
            f"{name} has numbers with a comma and others with a point: expected decimal points or decimal commas, "
            f"without thousands separators"
        )
    if has_commas:
        logger.warning("%s: commas in numbers read as decimal points", name)


def _with_point(cell: str) -> str:
    return cell.replace(",", ".") if _DECIMAL_COMMA.fullmatch(cell) else cell


def _separator(header: str) -> str:
    """Return what separates most cells of the header."""
    return max(_SEPARATORS, key=header.count)


def _check_header(header: Sequence[str], name: str) -> None:
    unknown = [column for column in header if column and column not in KNOWN]
    renamed = {column: _ALIASES[column] for column in unknown if column in _ALIASES and _ALIASES[column] not in header}
    advice = f"rename {', '.join(f'{old} to {new}' for old, new in renamed.items())}" if renamed else ""
    if {"frame", "position_x"} <= set(header):
        advice += ", and delete the text lines below the header"  # TrackMate's: names, short names, units
    missing = [column for column in ("t", "x", "y") if column not in header]
    if missing or len(set(header)) != len(header):
        raise InvalidInputError(
            f"{name} needs a header with at least t, x and y, each once, such as {HEADER}, but its first line is "
            f"{','.join(header) or 'empty'}" + (f": {advice}" if advice else "")
        )
    if "radius" not in header and "cxx" not in header:
        raise InvalidInputError(
            f"{name} needs a column radius, of the nuclei in the unit of the positions, or cxx to czz"
            + (f", but has {', '.join(unknown)} instead" if unknown else "")
            + f": give it a header such as {HEADER}"
            + (f", and {advice}" if advice else "")
        )
    if unknown:
        what = f"column {unknown[0]} is" if len(unknown) == 1 else f"columns {', '.join(unknown)} are"
        logger.warning("%s: %s ignored%s", name, what, f" ({advice}?)" if advice else "")
