"""Cells of a table to numbers, a block of rows at a time, with the place of what is wrong."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elephant.annotations.records import COVARIANCE, VECTORS
from elephant.errors import InvalidInputError
from elephant.types import Tag

FARTHEST = 1e100  # squares of larger numbers overflow
NO_INT = np.iinfo(np.int64).min  # stands for an empty cell
INTS = frozenset({"t", "id", "parent", "track", "value", "parent_track"})
_MISSING = frozenset({"", "nan", "none", "null", "na", "n/a", "-"})
_DECIMAL_COMMA = re.compile(r"[+-]?\d*,\d+(?:[eE][+-]?\d+)?")
_DECIMAL_POINT = re.compile(r"[+-]?\d*\.\d+(?:[eE][+-]?\d+)?")
_TAGS = {tag.value: tag for tag in Tag}
_LONGEST_SHOWN = 80

Values = NDArray[Any]
Wrong = tuple[int, str]  # the row in its block, and the sentence


@dataclass(slots=True)
class Commas:
    """How numbers are written so far."""

    allowed: bool
    commas: bool = False
    points: bool = False


@dataclass(slots=True)
class Block:
    """Some rows, and what is wrong with them.

    Attributes
    ----------
    rows
        Cells, as they are written.
    places
        Where in a row what is.
    commas
        Whether numbers have decimal commas.
    has_radius
        Whether a radius is known for cells that give none.
    """

    rows: Sequence[Sequence[str]]
    places: Mapping[str, int]
    commas: Commas
    has_radius: bool

    def values(self) -> dict[str, Values]:
        """Return the columns as arrays, (rows,): NaN, `NO_INT` or None where nothing is given.

        Raises
        ------
        WrongCell
            A cell is wrong: the first, row by row.
        """
        found: dict[str, Values] = {}
        wrong: list[Wrong] = []
        for name in self.places:
            cells = self._cells(name)
            found[name], problem = _converted(name, cells, self.commas)
            wrong += [problem] if problem is not None else []
        wrong += [problem for problem in self._gaps(found) if problem is not None]
        if wrong:
            raise WrongCell(*min(wrong, key=lambda each: each[0]))
        return found

    def _cells(self, name: str) -> list[str]:
        place = self.places[name]
        try:
            return [row[place] for row in self.rows]
        except IndexError:  # a row is shorter than the header
            return [row[place] if place < len(row) else "" for row in self.rows]

    def _gaps(self, found: Mapping[str, Values]) -> list[Wrong | None]:
        """Return the first row for each column that lacks what it must have."""
        n = len(self.rows)
        problems = [self._first(np.isnan(found[name]), name) for name in ("x", "y")]
        problems.append(self._first(found["t"] == NO_INT, "t"))
        problems.append(self._first(found["t"] < 0, "t", "expected a timepoint of at least 0"))
        has_covariance = np.zeros(n, dtype=bool)
        six = {name: found[name] for name in COVARIANCE if name in found}
        for values in six.values():
            has_covariance |= ~np.isnan(values)
        for name in COVARIANCE:
            if not name.endswith("z"):
                is_empty = np.isnan(six[name]) if name in six else np.ones(n, dtype=bool)
                problems.append(self._first(is_empty & has_covariance, name))
        radius = found.get("radius", np.full(n, np.nan))
        if not self.has_radius:
            name = "radius" if "radius" in found else "cxx"
            problems.append(self._first(np.isnan(radius) & ~has_covariance, name))
        if "radius" in found:
            problems.append(self._first(~(radius > 0) & ~np.isnan(radius), "radius", "expected a number above 0"))
        for vector in ("displacement", "earlier"):
            x, y, _ = (found.get(name, np.full(n, np.nan)) for name in VECTORS[vector])
            problems += [self._first(np.isnan(one) & ~np.isnan(other), name) for one, other, name in
                         ((x, y, VECTORS[vector][0]), (y, x, VECTORS[vector][1]))]  # fmt: skip
        return problems

    def _first(self, is_wrong: NDArray[np.bool_], name: str, expected: str = "") -> Wrong | None:
        if not is_wrong.any():
            return None
        row = int(np.argmax(is_wrong))
        cell = self._cells(name)[row] if name in self.places else ""
        words = expected or ("expected a whole number" if name in INTS else "expected a number")
        return row, f"{name}: {words}, got {_shown(cell)}"


class WrongCell(Exception):  # noqa: N818 - it becomes an error with the line
    """A cell is wrong.

    Attributes
    ----------
    row
        The row in its block.
    words
        What is wrong.
    """

    def __init__(self, row: int, words: str) -> None:
        super().__init__(words)
        self.row = row
        self.words = words


def check_writing(commas: Commas, name: str) -> None:
    """Refuse a table in which some numbers have decimal commas and others decimal points."""
    if commas.commas and commas.points:
        raise InvalidInputError(
            f"{name} has numbers with a comma and others with a point: expected decimal points or decimal commas, "
            "without thousands separators"
        )


def _converted(name: str, cells: Sequence[str], commas: Commas) -> tuple[Values, Wrong | None]:
    if name == "tag":
        return _tags(cells)
    is_int = name in INTS
    kind: Callable[[str], float] = int if is_int else float
    try:
        if commas.allowed and not commas.points and not is_int:
            commas.points = any("." in cell and _DECIMAL_POINT.fullmatch(cell.strip()) for cell in cells)
        values = np.fromiter(map(kind, cells), np.int64 if is_int else np.float64, len(cells))
    except (ValueError, OverflowError):
        return _one_by_one(name, cells, commas)
    if not is_int and not (np.abs(values) < FARTHEST).all():
        return _one_by_one(name, cells, commas)
    return values, None


def _one_by_one(name: str, cells: Sequence[str], commas: Commas) -> tuple[Values, Wrong | None]:
    """Convert cells of which some are empty, have decimal commas, or are wrong."""
    is_int = name in INTS
    values = np.full(len(cells), NO_INT if is_int else np.nan, dtype=np.int64 if is_int else np.float64)
    for i, cell in enumerate(cells):
        text = cell.strip()
        if text.lower() in _MISSING and (not text or name not in ("x", "y", "z", "t")):
            continue
        if commas.allowed and _DECIMAL_COMMA.fullmatch(text):
            commas.commas, text = True, text.replace(",", ".")
        try:
            number = float(text)
        except ValueError:
            return values, (i, _not_a_number(name, cell))
        if not abs(number) < FARTHEST:
            return values, (i, f"{name}: input should be a finite number below {FARTHEST:g}, got {_shown(cell)}")
        if is_int and (number != int(number) or abs(number) >= 2**63):
            return values, (i, _not_a_number(name, cell))
        values[i] = _whole(text, number) if is_int else number
    return values, None


def _whole(text: str, number: float) -> int:
    try:
        return int(text)
    except ValueError:  # 3.0
        return int(number)


def _not_a_number(name: str, cell: str) -> str:
    return f"{name}: expected a {'whole ' if name in INTS else ''}number, got {_shown(cell)}"


def _tags(cells: Sequence[str]) -> tuple[Values, Wrong | None]:
    values = np.full(len(cells), None, dtype=object)
    for i, cell in enumerate(cells):
        text = cell.strip().lower()
        if not text:
            continue
        if text not in _TAGS:
            return values, (i, f"tag: input should be {', '.join(map(repr, _TAGS))}, got {_shown(cell)}")
        values[i] = _TAGS[text]
    return values, None


def _shown(cell: str) -> str:
    text = cell.strip()
    shown = text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}..."
    return json.dumps(shown) if text else "an empty cell"
