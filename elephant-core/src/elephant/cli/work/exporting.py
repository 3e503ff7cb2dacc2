"""Writing masks, as an archive or a folder, whole or not at all."""

import shutil
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import click

from elephant.cli.files import SpotRecord, read_spots, spot_of
from elephant.cli.interruption import interruptible
from elephant.cli.options import as_voxel_size, parse_timepoints
from elephant.cli.output import counted, print_json
from elephant.cli.places import DATASETS, find
from elephant.cli.progress import Bars
from elephant.cli.running import DONE
from elephant.cli.session import current
from elephant.config.export import CtcParams
from elephant.dataset import Dataset
from elephant.errors import InvalidInputError, NotFoundError
from elephant.export import Cell
from elephant.tracking import tracks_of
from elephant.workflows.export import export_ctc

TRACKS = "res_track.txt"


def export_masks(name: str, file: Path, output: Path, values: Mapping[str, Any]) -> int:
    """Write the masks of the spots."""
    _check_output(output, values["overwrite"])
    dataset = Dataset(find(DATASETS, name, values["workspace"]))
    records = read_spots(file)
    timepoints = parse_timepoints(values["timepoints"], dataset.n_timepoints)
    if timepoints != list(range(timepoints[0], timepoints[-1] + 1)):
        raise click.UsageError("--timepoints: expected one range without gaps, such as 0-9")
    voxel = as_voxel_size(values["voxel_size"], dataset.n_dims)
    params = CtcParams(voxel_size=voxel, t_start=timepoints[0], t_end=timepoints[-1])
    cells, tracks = _cells(records), _track_list(records, params)
    with tempfile.TemporaryDirectory(dir=output.absolute().parent, prefix=f".{output.name}.") as beside:
        archive = Path(beside) / "masks.zip"
        with interruptible(lambda: f"{output} is as it was") as cancel, Bars(current()) as bars:
            with archive.open("w+b") as into:
                export_ctc(dataset, cells, params, into, bars, cancel)
            if tracks:
                with ZipFile(archive, "a") as more:
                    more.writestr(TRACKS, tracks)
            _put(archive, output)
    n_cells = sum(cell.spot.t in params.timepoints for cell in cells)
    if values["as_json"]:
        print_json({"output": str(output), "masks": len(timepoints), "cells": n_cells})
    else:
        click.echo(f"{output}: {counted(len(timepoints), 'mask')} with {counted(n_cells, 'nucleus', 'nuclei')}")
    return DONE


def _check_output(output: Path, overwrite: bool) -> None:
    if not output.absolute().parent.is_dir():
        raise NotFoundError(f"there is no folder {output.parent} for {output.name}: make it first")
    if output.exists() and not overwrite:
        raise InvalidInputError(f"there is something at {output} already: give --overwrite, or another name")
    if output.exists() and output.is_dir() == _is_archive(output):
        raise InvalidInputError(f"{output} is a {'folder' if output.is_dir() else 'file'}: choose another name")


def _is_archive(output: Path) -> bool:
    return output.suffix.lower() == ".zip"


def _cells(records: Sequence[SpotRecord]) -> list[Cell]:
    counts: Counter[int] = Counter()
    cells = []
    for record in records:
        value = record.value if record.value is not None else record.track
        if value is None:
            counts[record.t] += 1
            value = counts[record.t]
        cells.append(Cell(spot_of(record), value))
    return cells


def _track_list(records: Sequence[SpotRecord], params: CtcParams) -> str:
    """Return the list of tracks, where they are known and are what the masks hold; else nothing.

    Raises
    ------
    InvalidInputError
        A spot is not later than its parent.
    """
    inside = [r for r in records if r.t in params.timepoints]
    if not inside or any(r.id is None or r.track is None or r.value not in (None, r.track) for r in inside):
        return ""
    by_id = {r.id: r for r in inside}
    parents = {r.id: r.parent for r in inside if r.parent in by_id}
    for name, parent in parents.items():
        if by_id[parent].t >= by_id[name].t:
            raise InvalidInputError(
                f"the spot {name} at timepoint {by_id[name].t} has the parent {parent}, which is at timepoint "
                f"{by_id[parent].t}: expected an earlier one; ids must be unique in a file"
            )
    numbers, tracks = tracks_of({r.id: r.t for r in inside}, parents)
    named = {numbers[r.id]: r.track for r in inside} | {0: 0}
    return "".join(f"{named[k.number]} {k.first} {k.last} {named[k.parent]}\n" for k in tracks)


def _put(archive: Path, output: Path) -> None:
    """Move what was written into its place."""
    if _is_archive(output):
        archive.chmod(0o644)
        archive.replace(output)
        return
    folder = archive.parent / "masks"
    with ZipFile(archive) as whole:
        whole.extractall(folder)
    if output.exists():
        output.rename(archive.parent / "old")
    shutil.move(folder, output)
