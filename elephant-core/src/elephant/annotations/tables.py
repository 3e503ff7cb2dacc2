"""Tables: our CSV, and those of spreadsheets and other programs."""

import csv
import logging
from collections.abc import Iterator, Sequence
from itertools import chain, islice
from pathlib import Path

import numpy as np

from elephant.annotations.base import MOST_SPOTS, AnnotationReader, MovieFacts
from elephant.annotations.cells import Block, Commas, Values, WrongCell, check_writing
from elephant.annotations.columns import (
    Columns,
    columns_of,
    no_columns,
    shortened_names,
    some_names,
    unit_in,
)
from elephant.annotations.json_spots import empty
from elephant.annotations.records import HEADER, SpotRecord
from elephant.annotations.rows import records_of
from elephant.annotations.text import first_letter, is_text, lines_of
from elephant.config import AnnotationParams
from elephant.errors import InvalidInputError
from elephant.progress import CancelToken

_SUFFIXES = (".csv", ".tsv", ".txt")
_SEPARATORS = (",", ";", "\t")
_BLOCK = 20_000
_MOST_TITLES = 12  # lines above the header
_MOST_TEXTS = 3  # lines of names and units below it

Row = tuple[int, list[str]]  # the number of its line, and its cells

logger = logging.getLogger(__name__)


class TableReader(AnnotationReader):
    """Reads a table with a header, whose cells are separated by commas, by semicolons or by tabs.

    The columns are ours, or those that TrackMate, Mastodon, napari, ultrack, btrack, Imaris and others write. If
    semicolons or tabs separate the cells, numbers may have a decimal comma.
    """

    suffixes = _SUFFIXES

    @classmethod
    def claims(cls, path: Path, head: bytes) -> bool:
        """Tell whether a file is a table: by its name, or because it is text and neither JSON nor XML."""
        if path.is_dir() or not is_text(head) or first_letter(head) == "<":
            return False
        return super().claims(path, head) or (path.suffix.lower() != ".json" and first_letter(head) not in ("{", "["))

    def read(
        self, path: Path, params: AnnotationParams, movie: MovieFacts, cancel: CancelToken
    ) -> Sequence[SpotRecord]:
        """Read all spots."""
        return _Table(path, params, movie, cancel).read()


class _Table:
    """A table that is being read."""

    def __init__(self, path: Path, params: AnnotationParams, movie: MovieFacts, cancel: CancelToken) -> None:
        self._path, self._name = path, path.name
        self._params, self._movie, self._cancel = params, movie, cancel
        self._separator = ","

    def read(self) -> list[SpotRecord]:
        try:
            rows = self._rows()
            columns, rows = self._header(rows)
            self._check(columns)
            values = self._values(columns, self._below(columns, rows))
        except csv.Error as error:  # a quote that is never closed, for instance
            raise InvalidInputError(
                f"{self._name} is not a valid CSV file ({error}): expected a header such as {HEADER}, and plain cells"
            ) from error
        return records_of(self._name, columns, values, self._params, self._movie)

    def _rows(self) -> Iterator[Row]:
        """Yield the rows that hold anything, from the first that can be the header on."""
        lines = lines_of(self._path, self._name)
        skipped, first = 0, ""
        for line in lines:
            first = line
            if line.lower().startswith("sep=") and len(line.strip()) <= len("sep=,"):  # a line of Excel
                self._separator = line.rstrip("\r\n")[4:] or ","
            elif line.strip() and not line.startswith("#"):
                break
            skipped, first = skipped + 1, ""
        if not first:
            raise empty(self._name)
        head = [first, *islice(lines, _MOST_TITLES)]
        if not skipped or self._separator == ",":
            # What separates most cells of a line near the beginning: titles above the header have none.
            self._separator = max(_SEPARATORS, key=lambda each: max(line.count(each) for line in _until_data(head)))
        reader = csv.reader(chain(head, lines), delimiter=self._separator)
        for cells in reader:
            if not cells or cells[0].startswith("#"):
                continue
            if cells[0].strip() or any(map(str.strip, cells)):
                yield reader.line_num + skipped, cells

    def _header(self, rows: Iterator[Row]) -> tuple[Columns, Iterator[Row]]:
        """Return the columns, and the rows below the header."""
        seen: list[Row] = []
        for row in islice(rows, _MOST_TITLES):
            seen.append(row)
            above = seen[-2][1] if len(seen) > 1 else []
            for header in (row[1], _joined(above, row[1])):
                try:
                    columns = columns_of(header, self._movie.n_dims)
                except InvalidInputError as error:
                    raise InvalidInputError(f"{self._name}, line {row[0]}: {error}") from error
                if columns is not None:
                    return columns, rows
        raise no_columns(seen[0][1] if seen else [], self._name)

    def _check(self, columns: Columns) -> None:
        """Refuse a table without radii; say which columns mean nothing."""
        if not columns.places.keys() & {"radius", "cxx"} and self._params.radius is None:
            raise InvalidInputError(
                f"{self._name}: expected a column for the radius ({some_names('radius')}) or cxx to czz, got "
                f"{shortened_names(columns.names)}: add one, in the unit of the positions, or give `radius`"
            )
        places = columns.places
        if "parent" in places and "id" not in places and not columns.has_own("parent"):
            raise InvalidInputError(
                f"{self._name}: expected a column for the id ({some_names('id')}), to which "
                f"{columns.names[places['parent']]} refers, got none: add it, or rename that column to parent_track_id "
                "if it refers to tracks"
            )
        if "z" not in places and self._movie.n_dims is None:
            logger.warning("%s: no column for z: the nuclei are read as 2D", self._name)
        ignored = columns.ignored()
        if ignored:
            what = f"column {ignored[0]} is" if len(ignored) == 1 else f"columns {shortened_names(ignored)} are"
            logger.warning("%s: %s ignored", self._name, what)

    def _below(self, columns: Columns, rows: Iterator[Row]) -> Iterator[Row]:
        """Yield the rows of nuclei; take the units from lines of text between them and the header."""
        for n_texts, (line, cells) in enumerate(rows):
            needed = [_cell(cells, columns.places[name]) for name in ("t", "x", "y")]
            if _has_digit("".join(needed)) or not needed[1].strip():
                yield line, cells
                break
            if n_texts == _MOST_TEXTS:
                raise self._no_numbers(line, cells)
            columns.units.update(filter(None, (unit_in(cell) for cell in needed[1:])))
        yield from rows

    def _no_numbers(self, line: int, cells: Sequence[str]) -> InvalidInputError:
        shown = self._separator.join(cells)[:80]
        return InvalidInputError(
            f"{self._name}, line {line}: expected numbers, got {shown}: delete text lines below the header"
        )

    def _values(self, columns: Columns, rows: Iterator[Row]) -> dict[str, Values]:
        """Return the columns as arrays, (N,)."""
        commas = Commas(allowed=self._separator != ",")
        blocks: list[dict[str, Values]] = []
        n_rows = 0
        while members := list(islice(rows, _BLOCK)):
            self._cancel.check()
            n_rows += len(members)
            if n_rows > MOST_SPOTS:
                raise InvalidInputError(f"{self._name} has more than {MOST_SPOTS:,} rows: cut it into several files")
            self._check_lengths(columns, members)
            block = Block([cells for _, cells in members], columns.places, commas, self._params.radius is not None)
            try:
                blocks.append(block.values())
            except WrongCell as wrong:
                raise self._wrong(columns, members[wrong.row], wrong.words) from None
            check_writing(commas, self._name)
        if commas.commas:
            logger.warning("%s: commas in numbers read as decimal points", self._name)
        return {name: _concatenated([block[name] for block in blocks]) for name in columns.places}

    def _wrong(self, columns: Columns, row: Row, words: str) -> InvalidInputError:
        line, cells = row
        if not _has_digit("".join(_cell(cells, columns.places[name]) for name in ("t", "x"))):
            return self._no_numbers(line, cells)
        name, _, rest = words.partition(": ")
        own = columns.names[columns.places[name]] if name in columns.places else name
        return InvalidInputError(f"{self._name}, line {line}: {own}: {rest}")

    def _check_lengths(self, columns: Columns, rows: Sequence[Row]) -> None:
        n = len(columns.names)
        for line, cells in rows:
            if len(cells) > n and any(cell.strip() for cell in cells[n:]):
                raise InvalidInputError(
                    f"{self._name}, line {line}: expected at most {n} cells, as in the header, got {len(cells)}: "
                    "if commas separate the cells, use decimal points"
                )


def _until_data(head: Sequence[str]) -> Sequence[str]:
    """Return the lines before the first with more digits than letters: titles and the header."""
    for i, line in enumerate(head):
        if i and sum(map(str.isdigit, line)) > sum(map(str.isalpha, line)):
            return head[:i]
    return head


def _joined(above: Sequence[str], below: Sequence[str]) -> list[str]:
    """Return the names of a header of two lines: the name, and below it which of its parts."""
    if len(above) != len(below):
        return []
    return [f"{upper} {lower}" if lower.strip() else upper for upper, lower in zip(above, below, strict=True)]


def _cell(cells: Sequence[str], place: int) -> str:
    return cells[place] if place < len(cells) else ""


def _has_digit(text: str) -> bool:
    return any(map(str.isdigit, text))


def _concatenated(parts: Sequence[Values]) -> Values:
    return np.concatenate(parts) if parts else np.empty(0)
