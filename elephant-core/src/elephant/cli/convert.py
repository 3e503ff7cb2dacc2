"""``elephant convert``: a dataset from a movie."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from elephant.cli import options
from elephant.cli.check import blank_row, content_of, interval_row, print_rows, size_of, source_row, voxel_row
from elephant.cli.options import Command, Option
from elephant.cli.parameters import build, options_of
from elephant.cli.running import DONE, console, print_json
from elephant.cli.workspace import DATASETS, place
from elephant.config import ConversionParams
from elephant.errors import InvalidInputError
from elephant.words import counted

if TYPE_CHECKING:
    from elephant.dataset import Dataset

_OTHER_MOVIES = (".xml", ".tif", ".tiff", ".companion.ome", ".npy")
_HELP = """Make a dataset from a movie.

MOVIE is an .h5 file of BigDataViewer, the master file of a split one, or its .xml, a folder, zip or address of
OME-Zarr, a TIFF, a folder or pattern of TIFF files with a timepoint each, an .npy, or a file of a format for which a
package adds a reader. The .xml beside an .h5 says which sources and
timepoints there are; the channels of OME-Zarr are its sources. DATASET is the folder to make, or a name below the
workspace. Labels and predictions start empty. An interrupted conversion leaves the previous dataset unchanged.

\b
Examples:
  elephant convert movie.h5 movie
  elephant convert movie.h5 /data/movie --uint16
  elephant convert movie.xml movie --setup 1
  elephant convert movie.ome.zarr movie --channel GFP --level 1
  elephant convert https://example.org/movie.ome.zarr movie --level 2
  elephant convert 'movie/t{t:03d}_c{c}.tif' movie --channel 1
  elephant convert stack.tif movie --axes TZYX
  elephant convert movie.h5 movie --t-start 10 --t-end 19
  elephant convert movie.ome.zarr movie --weights 0.7,0.3
  elephant convert movie.h5 movie --voxel-size 0.4 0.4 2 --unit micrometer
"""


def convert(movie: Path, dataset: str, workspace: Path | None, **rest: Any) -> int:
    """Make a dataset, and print what it contains."""
    from elephant.dataset.opening import convert_movie

    return make(convert_movie, movie, dataset, workspace, rest)


def make(how: Callable[..., "Dataset"], movie: Path, dataset: str, workspace: Path | None, rest: dict[str, Any]) -> int:
    """Make a dataset in one way or another, and print what it contains.

    Parameters
    ----------
    how
        Given the movie, the folder, the parameters and the console.
    rest
        The values of :func:`params_of_movie`, but for the workspace.
    """
    overwrite, as_json = rest.pop("overwrite"), rest.pop("as_json")
    uint16, as_path = rest.pop("uint16"), rest.pop("as_path")
    # A dataset whose movie was moved keeps what nobody gives: a default must not look as if it were given.
    source_of, default = click.get_current_context().get_parameter_source, click.core.ParameterSource.DEFAULT
    given = {name: value for name, value in rest.items() if source_of(name) is not default}
    params = build(ConversionParams, given | ({"dtype": "uint16"} if uint16 else {}), 3)
    folder = place(DATASETS, str(Path(dataset).absolute()) if as_path else dataset, workspace)
    other = None if overwrite else _other_than_movies(folder, movie)
    if other is not None:
        raise InvalidInputError(
            f"expected a new folder, a dataset, or a folder that contains only movies, got {folder}, which contains "
            f"{other}: give another name, or --overwrite to make the dataset there, beside its contents"
        )
    made = how(movie if movie.name else movie.absolute(), folder, params, console(), overwrite=overwrite)
    found = {"dataset": str(folder), **content_of(made)}
    if as_json:
        print_json(found)
    else:
        click.echo(f"{folder}: {counted(found['n_timepoints'], 'timepoint')} of {size_of(found)}, {found['dtype']}")
        print_rows(source_row(found) | voxel_row(found) | interval_row(found) | blank_row(found))
    return DONE


def _other_than_movies(folder: Path, movie: Path) -> str | None:
    """Return the name of something in a folder that is neither a movie nor part of a dataset; None if nothing is."""
    from elephant.dataset.layout import ARRAYS
    from elephant.dataset.readers.hdf5 import SUFFIXES

    if not folder.is_dir() or any((folder / name).exists() for name in ARRAYS):
        return None
    # Names with a dot are those of locks and of what was interrupted, or of the system.
    places = (path for path in folder.absolute().iterdir() if path != movie.absolute())
    others = (path.name for path in places if not path.name.startswith("."))
    return min((name for name in others if not name.lower().endswith((*SUFFIXES, *_OTHER_MOVIES))), default=None)


def params_of_movie() -> list[click.Parameter]:
    """Return the arguments and options of making a dataset from a movie."""
    return [
        click.Argument(["movie"], type=click.Path(path_type=Path), metavar="MOVIE"),
        options.dataset_argument(),
        Option(["--uint16"], is_flag=True, help="Always store 16 bits: the same as --dtype uint16."),
        options.voxel_size("that of the movie"),
        *options_of(ConversionParams, section="Options", leave_out=("voxel_size",)),
        Option(
            ["--overwrite"], is_flag=True, help="Replace an existing dataset, including its labels and predictions."
        ),
        Option(["--as-path"], is_flag=True, hidden=True, help="Take DATASET as a path, never as a name."),
        options.as_json("Print the result as JSON."),
        options.workspace(),
    ]


command = Command("convert", callback=convert, help=_HELP, params=params_of_movie())
