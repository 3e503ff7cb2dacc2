"""``elephant add``: a dataset that reads its images from a movie in place."""

from pathlib import Path
from typing import Any

from elephant.cli.convert import make, params_of_movie
from elephant.cli.options import Command

_HELP = """Make a dataset that reads its images from a movie in place.

This takes about a second, whatever the movie's size: nothing is copied. The movie has to stay where it is. If it was
moved, run the command again with its new place: the same movie keeps the labels of the dataset. MOVIE and DATASET are
those of elephant convert, which makes a copy instead.

\b
Values of 8 and 16 bits stay as they are. Others are scaled to 16 bits, for the range of --value-range, or for one that
is guessed from parts of the movie, with a warning.

\b
Examples:
  elephant add movie.ome.zarr embryo
  elephant add /data/movie.h5 embryo --channel GFP --level 1
  elephant add floats.ome.zarr embryo --value-range 0 1
"""


def add(movie: Path, dataset: str, workspace: Path | None, **rest: Any) -> int:
    """Make a dataset, and print what it contains."""
    from elephant.dataset.opening import add_movie

    return make(add_movie, movie, dataset, workspace, rest)


command = Command("add", callback=add, help=_HELP, params=params_of_movie())
