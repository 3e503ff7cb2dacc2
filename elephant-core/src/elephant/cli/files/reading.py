"""Spots from a file."""

import csv
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from elephant.cli.files.columns import HEADER, KNOWN, fields_of
from elephant.cli.files.records import SpotRecord
from elephant.errors import InvalidInputError, NotFoundError

Named = tuple[str, Any]  # where in the file, and what is there


def read_spots(path: Path) -> list[SpotRecord]:
    """Read spots from a .json or .csv file, or as JSON from standard input where the path is ``-``.

    JSON is what the server is sent and answers, ``{"spots": [{"t", "pos", "covariance", "tag"}]}``, or the list alone.
    CSV has a header; docs/command-line.md describes the columns.

    Raises
    ------
    NotFoundError
        There is no such file.
    InvalidInputError
        It is of another kind, or a spot is wrong; the message says which.
    """
    name = "standard input" if str(path) == "-" else path.name
    try:
        text = sys.stdin.read() if str(path) == "-" else path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise NotFoundError(f"there is no file of spots at {path}: check the path") from None
    except UnicodeDecodeError as error:
        raise InvalidInputError(f"{name} is no text in UTF-8 ({error}): expected JSON or CSV") from error
    entries = _from_csv(text, name) if path.suffix.lower() == ".csv" else _from_json(text, name)
    try:
        return [_record(where, value, name) for where, value in entries]
    except csv.Error as error:  # a quote that is never closed, for instance
        raise InvalidInputError(
            f"{name} is no CSV ({error}): expected a header such as {HEADER}, and plain cells"
        ) from error


def _from_json(text: str, name: str) -> Iterator[Named]:
    expected = 'expected {"spots": [{"t", "pos", "covariance"}]}; a CSV file must be named .csv'
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidInputError(f"{name} is no JSON ({error}): {expected}") from error
    spots = content.get("spots") if isinstance(content, dict) else content
    if not isinstance(spots, list):
        raise InvalidInputError(f"{name} has no list of spots: {expected}")
    yield from ((f"spots[{i}]", spot) for i, spot in enumerate(spots))


def _from_csv(text: str, name: str) -> Iterator[Named]:
    lines = csv.reader(text.splitlines())
    header = [column.strip().lower() for column in next(lines, [])]
    if not {"t", "x", "y"} <= set(header) or len(set(header)) != len(header):
        raise InvalidInputError(
            f"{name} needs a header with at least t, x and y, each once, such as {HEADER}, but its first line is "
            f"{','.join(header) or 'empty'}"
        )
    unknown = [column for column in header if column not in KNOWN]
    if "radius" not in header and "cxx" not in header:
        raise InvalidInputError(
            f"{name} needs the column radius, or cxx to czz"
            + (f", but has {', '.join(unknown)} instead" if unknown else "")
            + f": give it a header such as {HEADER}"
        )
    for cells in lines:
        if any(cell.strip() for cell in cells[len(header) :]):
            raise InvalidInputError(
                f"{name}, line {lines.line_num}: expected at most {len(header)} cells, as in the header, but "
                f"{len(cells)} came: numbers have a point, not a comma"
            )
        if any(cell.strip() for cell in cells):
            row = dict(zip(header, (cell.strip() for cell in cells), strict=False))
            yield f"line {lines.line_num}", fields_of(row)


def _record(where: str, value: Any, name: str) -> SpotRecord:
    try:
        return SpotRecord.model_validate(value)
    except (ValidationError, TypeError, ValueError) as error:
        raise InvalidInputError(f"{name}, {where}: {_in_words(error)}") from error


def _in_words(error: Exception) -> str:
    if not isinstance(error, ValidationError):
        return str(error)
    problem = error.errors(include_url=False)[0]
    if problem["type"] == "value_error":
        return problem["msg"].removeprefix("Value error, ")
    field = ".".join(map(str, problem["loc"]))
    came = "" if problem["type"] == "missing" else f", but {json.dumps(problem['input'], default=str)} came"
    return f"{field}: {problem['msg'][:1].lower()}{problem['msg'][1:]}{came}"
