"""``elephant export``."""

from pathlib import Path
from typing import Any

import click

from elephant.cli import options
from elephant.cli.framework import Command, Option

_HELP = """Write masks of the Cell Tracking Challenge.

DATASET is a folder, or a name below the workspace. If OUTPUT ends with .zip, it is an archive, otherwise a folder, of
mask000.tif, mask001.tif and so on, and res_track.txt. The voxels of a nucleus hold the label of its track, 1 to 65535:
its `value` in the file, or else its `track`, as far as evaluation software accepts that; changes are
reported. Tracks follow from `parent`, from `track`, or from both; a gap or a division begins new ones.
An interrupted export leaves nothing half written.

\b
Examples:
  elephant export movie --spots tracked.json -o masks.zip
  elephant export movie --spots tracked.csv -o 01_RES -t 0-49
"""


def export(dataset: str, spots: tuple[Path, ...], output: Path, **rest: Any) -> int:
    """Run the command."""
    from elephant.cli.work.exporting import export_masks

    return export_masks(dataset, spots, output, rest)


command = Command(
    "export",
    callback=export,
    help=_HELP,
    params=[
        options.dataset_argument(),
        options.spots("The nuclei: .json, .csv, or - for standard input."),
        options.voxel_size(),
        Option(
            ["-o", "--output"],
            type=click.Path(path_type=Path),
            required=True,
            metavar="OUTPUT",
            help="An archive (.zip) or a folder.",
        ),
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
