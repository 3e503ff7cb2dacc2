"""``elephant export``."""

from pathlib import Path
from typing import Any

import click

from elephant.cli import options
from elephant.cli.options import Command, Option

_HELP = """Write tracked nuclei for other programs.

DATASET is a folder, or a name below the workspace. The format ctc is that of the Cell Tracking Challenge; other
packages add more. For ctc, if OUTPUT ends with .zip, it is an archive, otherwise a folder, of mask000.tif, mask001.tif
and so on, and res_track.txt. The voxels of a nucleus hold the label of its track, 1 to 65535: its `value` in the file,
or else its `track`, as far as evaluation software accepts that; changes are reported. Tracks follow from `parent`, from
`track`, or from both; a gap or a division begins new ones. An interrupted export leaves nothing half written.

\b
Examples:
  elephant export movie --spots tracked.json -o masks.zip
  elephant export movie --spots tracked.csv -o 01_RES -t 0-49
  elephant export movie --spots tracked.csv --format csv-tracks -o tracks.csv
"""


class _Format(Option):
    """Lists the installed exporters only for the help."""

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        """Return the option's line of the help."""
        from elephant.plugins import installed

        names = sorted({"ctc", *(plugin.name for plugin, _ in installed("exporter"))})
        self.help = f"{_FORMAT} Installed: {', '.join(names)}."
        return super().get_help_record(ctx)


_FORMAT = "What to write: ctc, or the name of a format that another package adds."


def export(dataset: str, spots: tuple[Path, ...], output: Path, **rest: Any) -> int:
    """Run the command."""
    from elephant.cli.work.exporting import export_tracks

    return export_tracks(dataset, spots, output, rest)


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
