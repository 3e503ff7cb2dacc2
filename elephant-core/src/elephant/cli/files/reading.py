"""Spots from a file."""

import csv
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from elephant.cli.files.columns import HEADER, column_of
from elephant.cli.files.records import SpotRecord
from elephant.cli.files.tables import Named, rows_of
from elephant.errors import InvalidInputError, NotFoundError

_LONGEST_SHOWN = 80
_TABLES = (".csv", ".tsv", ".txt")
# By how files of other kinds begin.
_OTHERS = {
    b"PK\x03\x04": "an archive, such as a workbook of Excel or a project of Mastodon; save its spots as a table",
    b"\x89HDF": "an HDF5 file, such as a movie",
    b"<?xml": "XML, such as TrackMate's; export its spots as a table",
    b"<": "XML, such as TrackMate's; export its spots as a table",
}


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
