"""Making and describing datasets."""

from pathlib import Path
from typing import Any

import click

from elephant.cli.running import DONE, FAILED, current, print_json
from elephant.cli.workspace import DATASETS, find, place
from elephant.config import ConversionParams
from elephant.console import Bars, interruptible
from elephant.dataset import Dataset, DatasetSource, check_dataset, convert
from elephant.dataset.check import READY
from elephant.dataset.layout import ARRAYS, IMAGES
from elephant.dataset.readers.hdf5 import SUFFIXES
from elephant.dataset.source import voxel_size_in_words
from elephant.errors import InvalidInputError
from elephant.types import VoxelSize
from elephant.words import counted, in_bytes, in_ranges


def convert_movie(
    movie: Path, name: str, workspace: Path | None, params: ConversionParams, overwrite: bool, as_json: bool
) -> int:
    """Make a dataset and print what it contains."""
    folder = place(DATASETS, name, workspace)
    if (folder / IMAGES).exists() and not overwrite:
        raise InvalidInputError(
            f"there is already a dataset at {folder}, whose labels would be lost: give --overwrite, or another name"
        )
    other = None if overwrite else _other_than_movies(folder, movie)
    if other is not None:
        raise InvalidInputError(
            f"expected a new folder, a dataset, or a folder that contains only movies, got {folder}, which contains "
            f"{other}: give another name, or --overwrite to make the dataset there, beside its contents"
        )
    with interruptible(lambda: "the dataset's folder is unchanged") as cancel, Bars(quiet=current().quiet) as bars:
        convert(movie if movie.name else movie.absolute(), folder, params, bars, cancel)
    found = {"dataset": str(folder), **_content(Dataset(folder))}
    if as_json:
        print_json(found)
    else:
        click.echo(f"{folder}: {counted(found['n_timepoints'], 'timepoint')} of {_size(found)}, {found['dtype']}")
        _print_rows(_source_row(found) | _voxel_row(found) | _blank_row(found))
    return DONE


def _other_than_movies(folder: Path, movie: Path) -> str | None:
    """Return the name of something in a folder that is neither a movie nor part of a dataset; None if nothing is."""
    if not folder.is_dir() or any((folder / name).exists() for name in ARRAYS):
        return None
    # Names with a dot are those of locks and of what was interrupted, or of the system.
    others = (path.name for path in folder.iterdir() if not path.name.startswith(".") and path != movie)
    return min((name for name in others if not name.lower().endswith((*SUFFIXES, ".xml"))), default=None)


def check_named(name: str, workspace: Path | None, as_json: bool) -> int:
    """Print whether a dataset is ready, and what it contains."""
    folder = find(DATASETS, name, workspace)
    message = check_dataset(folder)
    is_ready = message == READY
    found: dict[str, Any] = {"dataset": str(folder), "ready": is_ready, "message": message}
    if is_ready:
        found |= _content(Dataset(folder)) | {"bytes": _on_disk(folder)}
    if as_json:
        print_json(found)
    else:
        click.secho(f"{folder}: {current().in_options(message)}", fg="green" if is_ready else "red")
        _print_content(found)
    return DONE if is_ready else FAILED


def _content(dataset: Dataset) -> dict[str, Any]:
    return {
        "n_timepoints": dataset.n_timepoints,
        "size": list(dataset.shape[::-1]),
        "n_dims": dataset.n_dims,
        "dtype": dataset.dtype.name,
        "made_from": None if dataset.source is None else dataset.source.title,
        "labelled_timepoints": dataset.labelled_timepoints(),
        "flow_labelled_timepoints": dataset.flow_labelled_timepoints(),
        **_origin(dataset.source),
    }


def _origin(source: DatasetSource | None) -> dict[str, Any]:
    """Return which source of its movie a dataset holds, and what the movie lacks; None if unknown."""
    names = ("movie", "setup", "setup_name", "n_setups", "blank_timepoints", "unit")
    voxel = None if source is None else source.voxel_size
    found = {name: None if source is None else getattr(source, name) for name in names}
    return found | {"voxel_size": None if voxel is None else list(voxel.zyx[::-1])}


def _source_row(found: dict[str, Any]) -> dict[str, str]:
    """Return a row for the source that was taken, where the movie has several."""
    if (found["n_setups"] or 1) == 1:
        return {}
    name = f" ({found['setup_name']})" if found["setup_name"] else ""
    return {"source": f"{found['setup']}{name}, one of {found['n_setups']}"}


def _blank_row(found: dict[str, Any]) -> dict[str, str]:
    """Return a row for the timepoints that the movie has no image of."""
    blank = found["blank_timepoints"]
    return {"blank at": f"{in_ranges(list(blank))}: the movie has no image at these timepoints"} if blank else {}


def _voxel_row(found: dict[str, Any]) -> dict[str, str]:
    """Return a row for the voxel size, or for how to tell it."""
    edges = found["voxel_size"]
    if edges is None:
        return {"voxel size": "unknown: give --voxel-size"}
    return {"voxel size": voxel_size_in_words(VoxelSize(*edges[::-1]), found["n_dims"], found["unit"])}


def _print_content(found: dict[str, Any]) -> None:
    if not found["ready"]:
        return
    rows = {
        "timepoints": found["n_timepoints"],
        "size": _size(found),
        "type": found["dtype"],
        "made from": found["made_from"] or "not known",
        "labels at": in_ranges(found["labelled_timepoints"]) or "none",
        "links from": in_ranges(found["flow_labelled_timepoints"]) or "none",
        "on disk": in_bytes(found["bytes"]),
    }
    _print_rows(rows | _voxel_row(found) | _blank_row(found))


def _print_rows(rows: dict[str, Any]) -> None:
    for name, value in rows.items():
        click.echo(f"  {name:12}{value}")


def _size(found: dict[str, Any]) -> str:
    return f"{' x '.join(map(str, found['size']))} voxels ({', '.join('XYZ'[: found['n_dims']])})"


def _on_disk(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
