"""Spots from files: JSON, and tables of spreadsheets and other programs."""

import csv
import json
import logging
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from elephant.cli.spot_records import HEADER, KNOWN, SpotRecord, column_of, fields_of, fitted
from elephant.errors import InvalidInputError, NotFoundError

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
_LONGEST_SHOWN = 80
_TABLES = (".csv", ".tsv", ".txt")
# By how files of other kinds begin.
_OTHERS = {
    b"PK\x03\x04": "an archive, such as a workbook of Excel or a project of Mastodon; save its spots as a table",
    b"\x89HDF": "an HDF5 file, such as a movie",
    b"<?xml": "XML, such as TrackMate's; export its spots as a table",
    b"<": "XML, such as TrackMate's; export its spots as a table",
}


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


def read_spots(path: Path) -> list[SpotRecord]:
    """Read spots from a .json file or a table, or from standard input where the path is ``-``.

    JSON is what the server is sent and answers, ``{"spots": [{"t", "pos", "covariance", "tag"}]}``, or the list alone.
    A table has a header; docs/command-line.md describes the columns.

    Raises
    ------
    NotFoundError
        The file does not exist.
    InvalidInputError
        It is of another kind, or a spot is wrong; the message says which.
    """
    name = "standard input" if str(path) == "-" else path.name
    text = _text_of(path, name)
    is_table = path.suffix.lower() in _TABLES or (
        path.suffix.lower() != ".json" and text.lstrip()[:1] not in ("{", "[")
    )
    if not text.strip():
        raise InvalidInputError(
            f"{name}: the file is empty: expected spots, as JSON or as a table with a header such as {HEADER}"
        )
    try:
        entries = rows_of(text, name) if is_table else _from_json(text, name)
        return [_record(where, value, name, is_table) for where, value in entries]
    except csv.Error as error:  # a quote that is never closed, for instance
        raise InvalidInputError(
            f"{name} is not a valid CSV file ({error}): expected a header such as {HEADER}, and plain cells"
        ) from error


def _text_of(path: Path, name: str) -> str:
    if path.is_dir():
        raise InvalidInputError(f"{path} is a folder: expected a file of spots, .json or .csv")
    try:
        content = sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes()
    except FileNotFoundError:
        raise NotFoundError(f"there is no file of spots at {path}: check the path") from None
    for beginning, words in _OTHERS.items():
        if content.lstrip()[: len(beginning)] == beginning:
            raise InvalidInputError(f"{name} is {words}: expected a table (.csv) or JSON")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidInputError(
            f"{name} is not UTF-8 text ({error}): expected JSON or CSV; save it again as CSV in UTF-8"
        ) from error


def _from_json(text: str, name: str) -> Iterator[Named]:
    expected = 'expected {"spots": [{"t", "pos", "covariance"}]}; a CSV file must be named .csv'
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidInputError(f"{name} is not valid JSON ({error}): {expected}") from error
    spots = content.get("spots") if isinstance(content, dict) else content
    if not isinstance(spots, list):
        raise InvalidInputError(f"{name} has no list of spots: {expected}")
    yield from ((f"spots[{i}]", spot) for i, spot in enumerate(spots))


def _record(where: str, value: Any, name: str, is_table: bool) -> SpotRecord:
    try:
        return SpotRecord.model_validate(value)
    except (ValidationError, TypeError, ValueError) as error:
        raise InvalidInputError(f"{name}, {where}: {_in_words(error, is_table)}") from error


def _in_words(error: Exception, is_table: bool) -> str:
    if not isinstance(error, ValidationError):
        return str(error)
    problem = error.errors(include_url=False)[0]
    if problem["type"] == "value_error":
        return problem["msg"].removeprefix("Value error, ")
    if is_table:
        return _cell_in_words(problem)
    field = ".".join(map(str, problem["loc"]))
    found = "" if problem["type"] == "missing" else f", got {_shortened(problem['input'])}"
    return f"{field}: {problem['msg'][:1].lower()}{problem['msg'][1:]}{found}"


def _cell_in_words(problem: ErrorDetails) -> str:
    """Return the error of a cell, by the name of its column."""
    is_missing = problem["type"] == "missing"
    column = column_of(problem["loc"], problem["input"] if is_missing else {})
    found = "an empty cell" if is_missing or problem["input"] is None else _shortened(problem["input"])
    kind, _, rest = problem["type"].partition("_")
    if is_missing or rest in ("parsing", "type"):
        expected = "expected a whole number" if kind == "int" or column == "t" else "expected a number"
    else:
        expected = f"{problem['msg'][:1].lower()}{problem['msg'][1:]}"
    return f"{column}: {expected}, got {found}"


def _shortened(value: Any) -> str:
    """Return a value as JSON, shortened if long; a long list is not written out first."""
    text = json.dumps(value[:_LONGEST_SHOWN] if isinstance(value, list | str) else value, default=str)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}..."


def read_all_spots(paths: Sequence[Path], n_dims: int) -> list[SpotRecord]:
    """Read the spots of all files, in the order given.

    Each spot counts once, also where several files hold it. Ids that an earlier file has too are given anew, with
    the parents that refer to them, and so are numbers of tracks that cannot mean the same track. A parent that is not
    in its own file may be in an earlier one. In 3D, a warning says where no spot has a ``z``.

    Raises
    ------
    NotFoundError, InvalidInputError
        As for :func:`elephant.cli.files.read_spots`.
    """
    joined: list[SpotRecord] = []
    for path in paths:
        part = read_spots(path)
        if n_dims == 3 and len(part) > 1 and not any(record.pos[2] for record in part):
            logger.warning("%s: z is 0 for all spots, but the dataset is 3D: is the column z missing?", path.name)
        joined += fitted(part, joined, path.name) if joined else part
    return joined
