"""Options that several commands have."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from elephant.cli.framework import Option
from elephant.config import keep_axials_of
from elephant.errors import InvalidInputError
from elephant.types import Shape, VoxelSize

Vector = tuple[float, float, float]
Sizes = tuple[int, int, int]

MODEL_SECTION, IMAGE_SECTION, PLACES = "Model", "Image", "Locations"
DEVICES = "auto, cpu, cuda, cuda:1, mps"


def dataset_argument() -> click.Argument:
    """Return the argument DATASET."""
    return click.Argument(["dataset"], metavar="DATASET")


def workspace() -> Option:
    """Return the option for the folder below which names are."""
    return Option(
        ["--workspace"],
        type=click.Path(path_type=Path, file_okay=False),
        envvar="ELEPHANT_WORKSPACE",
        show_envvar=True,
        metavar="FOLDER",
        section=PLACES,
        help="Folder of the datasets (datasets/) and models (models/); by default ./workspace, if it exists. A path "
        "works in place of a name.",
    )


def voxel_size(default: str = "that of the dataset, if known") -> Option:
    """Return the option for the voxel size."""
    return Option(
        ["--voxel-size"],
        nargs=3,
        type=float,
        metavar="X Y Z",
        help="Physical size of a voxel, X Y Z, in the unit of the positions. In 2D Z is ignored. By default "
        f"{default}.",
    )


def model(words: str, *, required: bool = True) -> Option:
    """Return the option for the model file."""
    return Option(["--model"], required=required, metavar="NAME.pth", help=words)


def device() -> Option:
    """Return the option for what computes."""
    return Option(
        ["--device"],
        default="auto",
        show_default=True,
        metavar="NAME",
        section="Other",
        help=f"Device to compute on: {DEVICES}.",
    )


def keep_axials() -> Option:
    """Return the option for how the network treats Z."""
    return Option(
        ["--n-keep-axials"],
        type=int,
        metavar="N",
        section=IMAGE_SECTION,
        help="How many of the four poolings leave Z unchanged, as in the client (-1 to 31); by default chosen by the "
        "voxel size.",
    )


def timepoints() -> Option:
    """Return the option for timepoints."""
    return Option(
        ["-t", "--timepoints"],
        metavar="LIST",
        help="Timepoints, counted from 0: 3, 0-9, or 0,2,5-7. By default all.",
    )


def spots(words: str, *, required: bool = True) -> Option:
    """Return the option for files of spots, which may be given several times."""
    return files_of_spots("--spots", f"{words} May be given several times.", required=required)


def files_of_spots(name: str, words: str, *, required: bool, section: str = "Options") -> Option:
    """Return an option for files of spots."""
    return Option(
        [name],
        type=click.Path(path_type=Path, allow_dash=True),
        multiple=True,
        required=required,
        metavar="FILE",
        section=section,
        help=words,
    )


def output(words: str) -> Option:
    """Return the option for the file that is written."""
    return Option(["-o", "--output"], type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help=words)


def overwrite() -> Option:
    """Return the option for replacing files other than the output of an earlier run."""
    return Option(
        ["--overwrite"],
        is_flag=True,
        help="Replace FILE even if it is an input, or was not written by elephant. The output of an earlier run is "
        "always replaced.",
    )


def as_json(words: str) -> Option:
    """Return the option for output that a script reads."""
    return Option(["--json", "as_json"], is_flag=True, help=words)


def as_voxel_size(vector: Vector, n_dims: int) -> VoxelSize:
    """Return the voxel size given as X, Y, Z; in 2D Z does not count."""
    return VoxelSize(vector[2] if n_dims == 3 else 1.0, vector[1], vector[0])


def chosen_keep_axials(values: Mapping[str, Any], voxel: VoxelSize, shape: Shape) -> int:
    """Return `n_keep_axials` as it was given, else what suits the voxels that the network sees."""
    given = values.get("n_keep_axials")
    if given is not None:
        return int(given)
    size: Sizes | None = values.get("input_size")
    seen = shape if size is None else tuple(reversed(size[: len(shape)]))
    if min(seen) < 1:
        return 0  # refused by the parameters themselves
    return keep_axials_of(voxel, shape, seen)


def parse_timepoints(text: str | None, count: int) -> list[int]:
    """Return the timepoints of a list like ``0,2,5-7``, in order; all of them without a list.

    Raises
    ------
    InvalidInputError
        It is not such a list, or a timepoint is outside of the movie.
    """
    if text is None:
        return list(range(count))
    found: set[int] = set()
    for part in text.split(","):
        first, _, last = part.strip().partition("-")
        if not first.isdecimal() or not (last or first).isdecimal():
            raise click.UsageError(f"--timepoints: expected a list like 0,2,5-7, got {text!r}")
        if int(last or first) < int(first):
            raise click.UsageError(f"--timepoints: expected the smaller number first, got {part.strip()}")
        if int(last or first) >= count:
            raise InvalidInputError(
                f"the dataset has timepoints 0 to {count - 1}, but {part.strip()} was requested: choose others"
            )
        found.update(range(int(first), int(last or first) + 1))
    return sorted(found)
