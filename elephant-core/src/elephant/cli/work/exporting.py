"""Writing tracked nuclei in the form of other programs, whole or not at all."""

import logging
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from elephant.cli.files_read import read_all_spots
from elephant.cli.inputs import chosen_voxel_size, open_dataset, parse_timepoints
from elephant.cli.running import DONE, current, print_json
from elephant.cli.spot_records import SpotRecord, spot_of
from elephant.cli.work.export_output import check_output, is_file, put
from elephant.console import Bars, interruptible
from elephant.dataset import Dataset
from elephant.export.base import ExportParams, TrackedMovie, TrackedNucleus
from elephant.export.registry import form_named
from elephant.words import counted

logger = logging.getLogger(__name__)


def export_tracks(name: str, files: Sequence[Path], output: Path, values: Mapping[str, Any]) -> int:
    """Write the nuclei of files of spots."""
    form = form_named(values["format"])
    check_output(output, form, values["overwrite"])
    dataset = open_dataset(name, values["workspace"])
    records = read_all_spots(files)
    params = _params(values, dataset)
    _say_what_is_beyond(records, dataset)
    movie = TrackedMovie(dataset, [_nucleus(record) for record in records], params)
    with tempfile.TemporaryDirectory(dir=output.absolute().parent, prefix=f".{output.name}.") as beside:
        place = Path(beside) / "new" / f"export{output.suffix.lower() if is_file(output, form) else ''}"
        place.parent.mkdir()
        with interruptible(lambda: f"{output} is unchanged") as cancel, Bars(quiet=current().quiet) as bars:
            report = form.export(movie, place, bars, cancel)
            put(place, output, form, values["overwrite"])
    if values["as_json"]:
        print_json({"output": str(output), **report.counts})
    else:
        click.echo(f"{output}: {report.words}")
    return DONE


def _nucleus(record: SpotRecord) -> TrackedNucleus:
    return TrackedNucleus(spot_of(record), record.id, record.parent, record.track, record.value)


def _params(values: Mapping[str, Any], dataset: Dataset) -> ExportParams:
    timepoints = parse_timepoints(values["timepoints"], dataset.n_timepoints)
    if timepoints != list(range(timepoints[0], timepoints[-1] + 1)):
        raise click.UsageError("--timepoints: expected one range without gaps, such as 0-9")
    voxel = chosen_voxel_size(values["voxel_size"], dataset)
    first, last = timepoints[0], timepoints[-1]
    return ExportParams(voxel_size=voxel, t_start=first, t_end=last, from_zero=values["from_zero"])


def _say_what_is_beyond(records: Sequence[SpotRecord], dataset: Dataset) -> None:
    n_beyond = sum(record.t >= dataset.n_timepoints for record in records)
    if n_beyond:
        logger.warning(
            "%s left out: the movie has timepoints 0 to %d, and the file goes up to %d",
            counted(n_beyond, "nucleus", "nuclei"),
            dataset.n_timepoints - 1,
            max(record.t for record in records),
        )
