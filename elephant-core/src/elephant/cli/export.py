"""``elephant export``: tracked nuclei in the formats of other programs."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from elephant.cli import options
from elephant.cli.options import Command, Option
from elephant.cli.parameters import options_of
from elephant.cli.running import DONE, console, print_json
from elephant.config import AnnotationParams
from elephant.errors import InvalidInputError
from elephant.words import counted

if TYPE_CHECKING:
    from elephant.annotations.records import SpotRecord
    from elephant.dataset import Dataset
    from elephant.export.base import ExportParams

logger = logging.getLogger(__name__)

_HELP = """Write tracked nuclei for other programs.

DATASET is a folder, or a name below the workspace. The format ctc is that of the Cell Tracking Challenge; labels is one
image of the same labels, an OME-TIFF or OME-Zarr; geff is a graph that Mastodon and others import (a folder, or a .zip
of it); trackmate is a file (.xml) that TrackMate opens; napari is a table (.csv) for its tracks layer; json are spots
as other commands and the server read them; other packages add more. For ctc, if OUTPUT ends with .zip, it is an
archive, otherwise a folder, of mask000.tif, mask001.tif and so on, and res_track.txt. The voxels of a nucleus hold the
label of its track, 1 to 65535: its `value` in the file, or else its `track`, as far as evaluation software accepts
that; changes are reported. Tracks follow from `parent`, from `track`, or from both; a gap or a division begins new
ones. An interrupted export leaves nothing half written.

\b
Examples:
  elephant export movie --spots tracked.json -o masks.zip
  elephant export movie --spots tracked.csv -o 01_RES -t 0-49
  elephant export movie --spots tracked.json --format geff -o tracks.geff
  elephant export movie --spots tracked.json --format trackmate -o tracks.xml
  elephant export movie --spots tracked.json --format napari -o tracks.csv
  elephant export movie --spots tracked.csv --format csv-tracks -o tracks.csv
"""


class _Format(Option):
    """Lists the installed exporters only for the help."""

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        """Return the option's line of the help."""
        from elephant.plugins import installed_names

        self.help = f"{_FORMAT} Installed: {', '.join(installed_names('exporter', 'ctc'))}."
        return super().get_help_record(ctx)


_FORMAT = (
    "What to write: ctc, labels, geff, trackmate, napari, json, or the name of a format that another package adds."
)


def export(dataset: str, spots: tuple[Path, ...], output: Path, **values: Any) -> int:
    """Write the nuclei of files of spots, whole or not at all."""
    from elephant.annotations.records import nuclei_of
    from elephant.cli.inputs import open_dataset, read_spots
    from elephant.export.base import TrackedMovie
    from elephant.export.output import check_name, check_output, export_to, exporter_named

    exporter = exporter_named(values["format"])
    try:
        check_name(output, exporter)
    except InvalidInputError as error:
        raise click.UsageError(f"--output: {error}") from error
    check_output(output, exporter, overwrite=values["overwrite"])
    opened = open_dataset(dataset, values["workspace"])
    records = read_spots(spots, values, opened)
    params = _params(values, opened, needs_voxel_size=exporter.kind.needs_voxel_size)
    _say_what_is_beyond(records, opened)
    movie = TrackedMovie(opened, nuclei_of(records), params)
    report = export_to(output, exporter, movie, console(), overwrite=values["overwrite"])
    if values["as_json"]:
        print_json({"output": str(output), **report.counts})
    else:
        click.echo(f"{output}: {report.words}")
    return DONE


def _params(values: Mapping[str, Any], dataset: "Dataset", *, needs_voxel_size: bool) -> "ExportParams":
    from elephant.cli.inputs import chosen_voxel_size, known_voxel_size, parse_timepoints
    from elephant.export.base import ExportParams

    timepoints = parse_timepoints(values["timepoints"], dataset.n_timepoints)
    if timepoints != list(range(timepoints[0], timepoints[-1] + 1)):
        raise click.UsageError("--timepoints: expected one range without gaps, such as 0-9")
    is_wanted = needs_voxel_size or values["voxel_size"] is not None or known_voxel_size(dataset) is not None
    voxel = chosen_voxel_size(values["voxel_size"], dataset) if is_wanted else None
    first, last = timepoints[0], timepoints[-1]
    return ExportParams(voxel_size=voxel, t_start=first, t_end=last, from_zero=values["from_zero"])


def _say_what_is_beyond(records: "Sequence[SpotRecord]", dataset: "Dataset") -> None:
    n_beyond = sum(record.t >= dataset.n_timepoints for record in records)
    if n_beyond:
        logger.warning(
            "%s left out: the movie has timepoints 0 to %d, and the file goes up to %d",
            counted(n_beyond, "nucleus", "nuclei"),
            dataset.n_timepoints - 1,
            max(record.t for record in records),
        )


command = Command(
    "export",
    callback=export,
    help=_HELP,
    params=[
        options.dataset_argument(),
        options.spots("The nuclei."),
        *options_of(AnnotationParams, section=options.SPOTS_SECTION),
        options.voxel_size(),
        Option(
            ["-o", "--output"],
            type=click.Path(path_type=Path),
            required=True,
            metavar="OUTPUT",
            help="An archive (.zip) or a folder; of another format, what it writes.",
        ),
        _Format(["--format"], default="ctc", show_default=True, metavar="NAME", help=_FORMAT),
        Option(
            ["-t", "--timepoints"],
            metavar="FIRST-LAST",
            help="Timepoints to export, counted from 0, without gaps. By default all.",
        ),
        Option(
            ["--from-zero"],
            is_flag=True,
            help="Number masks and tracks from 0 even if -t begins later, for programs that count files.",
        ),
        Option(["--overwrite"], is_flag=True, help="Replace an earlier export, and nothing else."),
        options.as_json("Print the result as JSON."),
        options.workspace(),
    ],
)
