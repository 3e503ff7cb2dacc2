"""``elephant check``: whether a dataset is complete, and what is in it."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from elephant.cli import options
from elephant.cli.options import Command
from elephant.cli.running import DONE, FAILED, current, print_json
from elephant.cli.workspace import DATASETS, find
from elephant.words import in_bytes, in_ranges

if TYPE_CHECKING:
    from elephant.dataset import Dataset, DatasetSource

_HELP = """Check that a dataset is complete, and show what is in it.

DATASET is a folder, or a name below the workspace. The exit status is 1 if it is not ready.

\b
Examples:
  elephant check movie
  elephant check /data/movie --json
"""


def check(dataset: str, workspace: Path | None, as_json: bool) -> int:
    """Print whether a dataset is ready, and what it contains."""
    from elephant.dataset import Dataset, check_dataset
    from elephant.dataset.check import READY

    folder = find(DATASETS, dataset, workspace)
    message = check_dataset(folder)
    is_ready = message == READY
    found: dict[str, Any] = {"dataset": str(folder), "ready": is_ready, "message": message}
    if is_ready:
        found |= content_of(Dataset(folder)) | {"bytes": _on_disk(folder)}
    if as_json:
        print_json(found)
    else:
        click.secho(f"{folder}: {current().in_options(message)}", fg="green" if is_ready else "red")
        _print_content(found)
    return DONE if is_ready else FAILED


def content_of(dataset: "Dataset") -> dict[str, Any]:
    """Return what is in a dataset, sizes X, Y, Z."""
    return {
        "n_timepoints": dataset.n_timepoints,
        "size": list(dataset.shape[::-1]),
        "n_dims": dataset.n_dims,
        "dtype": dataset.dtype.name,
        "made_from": None if dataset.source is None else dataset.source.title,
        "in_place": dataset.is_in_place,
        "labelled_timepoints": dataset.labelled_timepoints(),
        "flow_labelled_timepoints": dataset.flow_labelled_timepoints(),
        **_origin(dataset.source),
    }


def _origin(source: "DatasetSource | None") -> dict[str, Any]:
    """Return which source of its movie a dataset holds, and what the movie lacks; None if unknown."""
    names = (
        "movie",
        "setup",
        "setup_name",
        "n_setups",
        "weights",
        "level",
        "t_start",
        "t_end",
        "blank_timepoints",
        "interval",
        "unit",
    )
    voxel = None if source is None else source.voxel_size
    found = {name: None if source is None else getattr(source, name) for name in names}
    return found | {"voxel_size": None if voxel is None else list(voxel.zyx[::-1])}


def source_row(found: dict[str, Any]) -> dict[str, str]:
    """Return rows for the part of the movie that was taken, where that is not all of it."""
    rows = {"images": "read in place, from the movie"} if found["in_place"] else {}
    if found["weights"]:
        rows["sources"] = f"added up: {found['setup_name']}"
    elif (found["n_setups"] or 1) > 1:
        name = f" ({found['setup_name']})" if found["setup_name"] else ""
        rows["source"] = f"{found['setup']}{name}, one of {found['n_setups']}"
    if found["level"]:
        rows["level"] = f"{found['level']}, 0 being full resolution"
    if found["t_start"] is not None:
        rows["taken"] = f"timepoints {found['t_start']}-{found['t_end']} of the movie, counted from 0 here"
    return rows


def blank_row(found: dict[str, Any]) -> dict[str, str]:
    """Return a row for the timepoints that the movie has no image of."""
    blank = found["blank_timepoints"]
    return {"blank at": f"{in_ranges(list(blank))}: the movie has no image at these timepoints"} if blank else {}


def voxel_row(found: dict[str, Any]) -> dict[str, str]:
    """Return a row for the voxel size, or for how to tell it."""
    from elephant.dataset.source import voxel_size_in_words
    from elephant.types import VoxelSize

    edges = found["voxel_size"]
    if edges is None:
        return {"voxel size": "unknown: give --voxel-size"}
    return {"voxel size": voxel_size_in_words(VoxelSize(*edges[::-1]), found["n_dims"], found["unit"])}


def interval_row(found: dict[str, Any]) -> dict[str, str]:
    """Return a row for the time between timepoints, where the movie says it."""
    return {"interval": f"{found['interval']:.6g} s"} if found["interval"] else {}


def _print_content(found: dict[str, Any]) -> None:
    if not found["ready"]:
        return
    rows = {
        "timepoints": found["n_timepoints"],
        "size": size_of(found),
        "type": found["dtype"],
        "reads" if found["in_place"] else "made from": found["made_from"] or "not known",
        "labels at": in_ranges(found["labelled_timepoints"]) or "none",
        "links from": in_ranges(found["flow_labelled_timepoints"]) or "none",
        "on disk": in_bytes(found["bytes"]),
    }
    print_rows(rows | voxel_row(found) | interval_row(found) | blank_row(found))


def print_rows(rows: dict[str, Any]) -> None:
    """Print what is in a dataset, a line each."""
    for name, value in rows.items():
        click.echo(f"  {name:12}{value}")


def size_of(found: dict[str, Any]) -> str:
    """Return the size of a dataset in words."""
    return f"{' x '.join(map(str, found['size']))} voxels ({', '.join('XYZ'[: found['n_dims']])})"


def _on_disk(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


command = Command(
    "check",
    callback=check,
    help=_HELP,
    params=[options.dataset_argument(), options.as_json("Print the result as JSON."), options.workspace()],
)
