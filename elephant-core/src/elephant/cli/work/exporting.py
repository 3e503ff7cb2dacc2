"""Writing masks, as an archive or a folder, whole or not at all."""

import logging
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from elephant.cli.files import SpotRecord, read_all_spots
from elephant.cli.options import parse_timepoints
from elephant.cli.output import counted, print_json
from elephant.cli.running import DONE
from elephant.cli.session import current
from elephant.cli.work.mask_output import check_output, put_masks
from elephant.cli.work.mask_table import MaskTable
from elephant.cli.work.opening import chosen_voxel_size, open_dataset
from elephant.config import CtcParams
from elephant.console import Bars, interruptible
from elephant.dataset import Dataset
from elephant.tracking import TrackLabels
from elephant.workflows.tracks import TRACKS, Shown, export_tracks

logger = logging.getLogger(__name__)


def export_masks(name: str, files: Sequence[Path], output: Path, values: Mapping[str, Any]) -> int:
    """Write the masks of the spots and the list of their tracks."""
    check_output(output, values["overwrite"])
    dataset = open_dataset(name, values["workspace"])
    records = read_all_spots(files)
    params = _params(values, dataset)
    table = MaskTable.of(records, params.timepoints)
    labels = table.labels()
    _warn(_left_out(records, params, dataset, values))
    _warn(table.guesses())
    with tempfile.TemporaryDirectory(dir=output.absolute().parent, prefix=f".{output.name}.") as beside:
        archive = Path(beside) / "masks.zip"
        with interruptible(lambda: f"{output} is unchanged") as cancel, Bars(quiet=current().quiet) as bars:
            with archive.open("w+b") as into:
                first = 0 if values["from_zero"] else None
                shown = export_tracks(dataset, table.spots(), labels, params, into, bars, cancel, first_number=first)
            put_masks(archive, output, values["overwrite"])
    _warn(table.losses(shown))
    _warn(table.changes(labels.changes))
    _report(output, params, table, labels, shown, values["as_json"])
    return DONE


def _warn(sentences: Iterable[str]) -> None:
    for sentence in sentences:
        logger.warning("%s", sentence)


def _params(values: Mapping[str, Any], dataset: Dataset) -> CtcParams:
    timepoints = parse_timepoints(values["timepoints"], dataset.n_timepoints)
    if timepoints != list(range(timepoints[0], timepoints[-1] + 1)):
        raise click.UsageError("--timepoints: expected one range without gaps, such as 0-9")
    voxel = chosen_voxel_size(values["voxel_size"], dataset)
    return CtcParams(voxel_size=voxel, t_start=timepoints[0], t_end=timepoints[-1])


def _left_out(
    records: Sequence[SpotRecord], params: CtcParams, dataset: Dataset, values: Mapping[str, Any]
) -> Iterator[str]:
    n_beyond = sum(record.t >= dataset.n_timepoints for record in records)
    if n_beyond:
        yield (
            f"{counted(n_beyond, 'nucleus', 'nuclei')} left out: the movie has timepoints 0 to "
            f"{dataset.n_timepoints - 1}, and the file goes up to {max(record.t for record in records)}"
        )
    if params.t_start and not values["from_zero"]:
        yield (
            f"masks and {TRACKS} number timepoints as in the movie, from {params.t_start}; programs that count masks "
            f"from 0 need --from-zero"
        )


def _report(
    output: Path, params: CtcParams, table: MaskTable, labels: TrackLabels, shown: Shown, as_json: bool
) -> None:
    if as_json:
        found = {
            "output": str(output),
            "masks": len(params.timepoints),
            "cells": shown.n_nuclei,
            "tracks": len(shown.tracks),
            "changed": len(labels.changes),
            "covered": len(shown.covered),
            "outside": len(shown.outside),
            "left_out": table.n_left_out,
        }
        print_json(found)
        return
    nuclei, tracks = counted(shown.n_nuclei, "nucleus", "nuclei"), counted(len(shown.tracks), "track")
    others = f"; {table.n_left_out} at other timepoints left out" if table.n_left_out else ""
    click.echo(f"{output}: {counted(len(params.timepoints), 'mask')} with {nuclei} in {tracks}{others}")
