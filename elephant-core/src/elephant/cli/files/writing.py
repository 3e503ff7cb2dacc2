"""Spots into a file, whole or not at all."""

import csv
import io
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from elephant.cli.files.columns import ORDER, row_of
from elephant.cli.files.records import SpotRecord
from elephant.errors import NotFoundError
from elephant.files import explained_storage, replacing

_KINDS = (".json", ".csv")


def check_output(path: Path) -> None:
    """Refuse a file that could not be written, before the work begins.

    Raises
    ------
    click.UsageError
        Its name ends with neither .json nor .csv.
    NotFoundError
        Its folder is not there.
    """
    if path.suffix.lower() not in _KINDS and str(path) != "-":
        raise click.UsageError(f"--output: expected a name that ends with .json or .csv, or -, but {path.name!r} came")
    if not path.parent.is_dir():
        raise NotFoundError(f"there is no folder {path.parent} for {path.name}: make it first")


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
    spots = ",\n  ".join(json.dumps(record.model_dump(mode="json", exclude_none=True)) for record in records)
    inner = f"\n  {spots}\n " if records else ""
    return f'{{\n "spots": [{inner}],\n "completed": {json.dumps(is_completed)}\n}}\n'


def as_csv(records: Sequence[SpotRecord]) -> str:
    """Return spots as CSV, with the columns that any of them has."""
    rows = [row_of(record) for record in records]
    always = ORDER[: ORDER.index("tag")]
    columns = [name for name in ORDER if name in always or any(row[name] is not None for row in rows)]
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
