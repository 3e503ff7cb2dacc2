"""Spots into a file, whole or not at all."""

import csv
import io
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from elephant.annotations.reading import read_annotations
from elephant.annotations.records import ORDER, SpotRecord, fields_of, row_of
from elephant.errors import ElephantError, InvalidInputError, NotFoundError
from elephant.io.atomic import explained_storage, replacing

STANDARD_OUTPUT = Path("-")

_KINDS = (".json", ".csv")
_BEGINNING = '{\n "spots": ['
_ALWAYS = ORDER[: ORDER.index("tag")]


class SpotOutput:
    """Where a command writes its spots: into a file, to standard output, or both.

    Parameters
    ----------
    values
        The options of the command: `output`, `overwrite`, `as_json`.
    inputs
        Which files the spots are made from.

    Raises
    ------
    click.UsageError, NotFoundError, InvalidInputError
        As for :func:`check_output`.
    """

    def __init__(self, values: Mapping[str, Any], inputs: Sequence[Path] = ()) -> None:
        self._paths = [values["output"]] if values["output"] is not None else []
        for path in self._paths:
            check_output(path, inputs, overwrite=values["overwrite"])
        if values["as_json"] and STANDARD_OUTPUT not in self._paths:
            self._paths.append(STANDARD_OUTPUT)
        self._replaces = any(path.exists() for path in self._paths)

    def write(self, records: Sequence[SpotRecord], is_completed: bool = True) -> None:
        """Write the spots everywhere they go."""
        for path in self._paths:
            write_spots(path, records, is_completed)

    def report(self, words: str) -> None:
        """Say what was written, unless standard output holds the spots."""
        if STANDARD_OUTPUT not in self._paths:
            end = "; the previous file is replaced" if self._replaces else ""
            click.echo(f"{self._paths[0]}: {words}{end}")


def check_output(path: Path, inputs: Sequence[Path] = (), *, overwrite: bool = False) -> None:
    """Refuse a file that could not be written, or that is not to be replaced, before the work begins.

    What :func:`write_spots` wrote is replaced, so that a script can run again; an input and what other programs or
    people wrote is replaced only on request.

    Parameters
    ----------
    inputs
        Which files the spots are made from.
    overwrite
        Whether any file may be replaced.

    Raises
    ------
    click.UsageError
        Its name ends with neither .json nor .csv.
    NotFoundError
        Its folder is not there.
    InvalidInputError
        There is a file that is not to be replaced.
    """
    if path.suffix.lower() not in _KINDS and str(path) != "-":
        raise click.UsageError(f"--output: expected a name that ends with .json or .csv, or -, got {path.name!r}")
    if not path.parent.is_dir():
        raise NotFoundError(f"there is no folder {path.parent} for {path.name}: create it first")
    if overwrite or str(path) == "-" or not path.exists():
        return
    if any(other.exists() and path.samefile(other) for other in inputs):
        raise InvalidInputError(f"{path} is an input, which would be replaced: give --overwrite, or another name")
    if path.stat().st_size and not _is_written_here(path):
        raise InvalidInputError(
            f"there is a file at {path} that elephant did not write, or that was edited since: give --overwrite to "
            "replace it, or another name"
        )


def _is_written_here(path: Path) -> bool:
    """Return whether a file is, byte for byte, what :func:`write_spots` would write for its spots.

    What a person made of it in a spreadsheet or a script is not; nor are tags that neither a prediction nor a link
    gives.
    """
    is_table = path.suffix.lower() == ".csv"
    try:
        text = path.read_bytes().decode()
        has_other_columns = is_table and not set(text.split("\n", 1)[0].split(",")) <= set(ORDER)
        if has_other_columns or not text.startswith(",".join(_ALWAYS) if is_table else _BEGINNING):
            return False
        records = read_annotations(path)
    except (OSError, ValueError, ElephantError):
        return False
    if any(record.tag is not None and record.earlier is None and record.track is None for record in records):
        return False
    return text in ([as_csv(records)] if is_table else [as_json(records, is_whole) for is_whole in (True, False)])


def write_spots(path: Path, records: Sequence[SpotRecord], is_completed: bool = True) -> None:
    """Write spots as JSON, or as CSV where the file is named so; ``-`` is standard output, in JSON.

    Parameters
    ----------
    is_completed
        Whether these are all; JSON says so, as the server's answers do.
    """
    if str(path) == "-":
        sys.stdout.write(as_json(records, is_completed))
    else:
        text = as_csv(records) if path.suffix.lower() == ".csv" else as_json(records, is_completed)
        content = text.encode()
        with explained_storage(f"the file {path.name}", path.parent, len(content)), replacing(path) as file:
            file.write(content)


def as_json(records: Sequence[SpotRecord], is_completed: bool) -> str:
    """Return spots as JSON, one in a line."""
    spots = ",\n  ".join(json.dumps(fields_of(record)) for record in records)
    inner = f"\n  {spots}\n " if records else ""
    return f'{_BEGINNING}{inner}],\n "completed": {json.dumps(is_completed)}\n}}\n'


def as_csv(records: Sequence[SpotRecord]) -> str:
    """Return spots as CSV, with the columns that any of them has."""
    rows = [row_of(record) for record in records]
    columns = [name for name in ORDER if name in _ALWAYS or any(row[name] is not None for row in rows)]
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
