"""``elephant convert``."""

from pathlib import Path
from typing import Any

import click

from elephant.cli import options
from elephant.cli.options import Command, Option
from elephant.cli.parameters import build, options_of
from elephant.config import ConversionParams

_HELP = """Make a dataset from a movie.

MOVIE is an .h5 file of BigDataViewer, the master file of a split one, or its .xml, or a file of a format for which a
package adds a reader. The .xml beside an .h5 says which sources and timepoints there are. DATASET is the folder to
make, or a name below the workspace.
Labels and predictions start empty. An interrupted conversion leaves the previous dataset unchanged.

\b
Examples:
  elephant convert movie.h5 movie
  elephant convert movie.h5 /data/movie --uint16
  elephant convert movie.xml movie --setup 1
  elephant convert movie.h5 movie --voxel-size 0.4 0.4 2 --unit micrometer
"""


def convert(movie: Path, dataset: str, workspace: Path | None, uint16: bool, as_path: bool, **rest: Any) -> int:
    """Run the command."""
    from elephant.cli.work.datasets import convert_movie

    overwrite, as_json = rest.pop("overwrite"), rest.pop("as_json")
    vector = rest["voxel_size"]
    size = None if vector is None else options.as_voxel_size(vector, 3)
    values = rest | {"dtype": "uint16" if uint16 else rest["dtype"], "voxel_size": size}
    params = build(ConversionParams, values, 3)
    name = str(Path(dataset).absolute()) if as_path else dataset
    return convert_movie(movie, name, workspace, params, overwrite, as_json)


command = Command(
    "convert",
    callback=convert,
    help=_HELP,
    params=[
        click.Argument(["movie"], type=click.Path(path_type=Path), metavar="MOVIE"),
        options.dataset_argument(),
        Option(["--uint16"], is_flag=True, help="Always store 16 bits: the same as --dtype uint16."),
        options.voxel_size("that of the movie's .xml"),
        *options_of(ConversionParams, section="Options", leave_out=("voxel_size",)),
        Option(
            ["--overwrite"], is_flag=True, help="Replace an existing dataset, including its labels and predictions."
        ),
        Option(["--as-path"], is_flag=True, hidden=True, help="Take DATASET as a path, never as a name."),
        options.as_json("Print the result as JSON."),
        options.workspace(),
    ],
)
