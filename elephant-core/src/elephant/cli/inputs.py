"""What a command works on: a dataset, its voxel size and timepoints, and settings of a model's training."""

from collections.abc import Container, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import click
from click.core import ParameterSource

from elephant.annotations import MovieFacts, SpotRecord, read_all
from elephant.cli.parameters import Vector, as_voxel_size, build
from elephant.cli.running import current
from elephant.cli.workspace import DATASETS, find
from elephant.config import AnnotationParams, Params, keep_axials_of
from elephant.dataset import Dataset, opening
from elephant.errors import InvalidInputError
from elephant.keywords import leaves
from elephant.methods.compatibility import as_trained as trained_as
from elephant.types import Shape, VoxelSize

_GIVEN = (ParameterSource.COMMANDLINE, ParameterSource.ENVIRONMENT)


def open_dataset(name: str, workspace: Path | None) -> Dataset:
    """Open a dataset, and warn if its movie has changed since the conversion.

    Raises
    ------
    elephant.errors.NotFoundError, elephant.errors.DatasetError
        There is none of this name, or it is damaged.
    """
    return opening.open_dataset(Dataset(find(DATASETS, name, workspace)))


def known_voxel_size(dataset: Dataset) -> VoxelSize | None:
    """Return the voxel size that a dataset was made with."""
    return None if dataset.source is None else dataset.source.voxel_size


def chosen_voxel_size(vector: Vector | None, dataset: Dataset) -> VoxelSize:
    """Return the voxel size that was given (X, Y, Z), else the dataset's; warn where they differ by more than 1%.

    Raises
    ------
    click.UsageError
        None was given, and the dataset does not tell.
    """
    if vector is None and known_voxel_size(dataset) is None:
        raise click.UsageError(
            f"the voxel size of {dataset.name} is unknown, since it was converted without one: give --voxel-size X Y Z"
        )
    return opening.chosen_voxel_size(None if vector is None else as_voxel_size(vector, dataset.n_dims), dataset)


def read_spots(paths: Sequence[Path], values: Mapping[str, Any], dataset: Dataset) -> list[SpotRecord]:
    """Read files of spots as the options say; what they do not say follows from the dataset.

    Raises
    ------
    elephant.errors.NotFoundError, elephant.errors.InvalidInputError
        A file is not there, or something in it is wrong.
    """
    given = values["voxel_size"]
    voxel = as_voxel_size(given, dataset.n_dims) if isinstance(given, tuple) else given
    return read_all(paths, build(AnnotationParams, values, dataset.n_dims), MovieFacts.of(dataset, voxel))


def as_trained(values: Mapping[str, Any], path: Path, dataset: Dataset) -> dict[str, Any]:
    """Return options, with those that were not given taken from the training of a model; says which.

    The voxel size is taken only where the dataset does not tell its own.

    Parameters
    ----------
    values
        The options of the command that runs.
    path
        The model file.
    """
    source = click.get_current_context().get_parameter_source
    found = {
        name: value
        for name, value in ((name, _as_given(value)) for name, value in trained_as(path, dataset).items())
        if name in values and source(name) not in _GIVEN and values[name] != value
    }
    if found and not current().quiet:
        click.echo(f"as {path.name} was trained: {', '.join(map(_in_words, found, found.values()))}", err=True)
    return {**values, **found}


def pretrained(kind: Literal["detection", "flow"], n_dims: int) -> Path:
    """Return the model file of the pretrained network, and say that it is used.

    Raises
    ------
    elephant.errors.NotFoundError
        It is not installed.
    """
    from elephant.methods.trained_model import pretrained_file
    from elephant.models.shipped import origin_of

    path = pretrained_file(kind, n_dims)
    if not current().quiet:
        click.echo(f"with the pretrained network {origin_of(path).source}", err=True)
    return path


def check_of_no_effect(models: Iterable[type[Params]], counted: Container[str], where: str) -> None:
    """Refuse options of the command that runs that were given, but say nothing there.

    Parameters
    ----------
    models
        Whose parameters the options stand for.
    counted
        Those that do say something.
    where
        In words: ``with --method dog``.
    """
    context = click.get_current_context()
    names = [name for model in models for name, _ in leaves(model) if name not in counted and name != "voxel_size"]
    for name in (*names, "output_prediction"):
        if context.get_parameter_source(name) in _GIVEN:
            raise click.UsageError(f"--{name.replace('_', '-')}: it has no effect {where}: leave it out")


def _as_given(value: Any) -> Any:
    """Return a value as a person gives it: sizes X, Y, Z."""
    return (*reversed(value), 1)[:3] if isinstance(value, tuple) else value


def _in_words(name: str, value: Any) -> str:
    words = " ".join(f"{v:g}" for v in value) if isinstance(value, tuple) else f"{value:g}"
    flag = "--" + name.replace("_", "-")
    return flag if value is True else f"--no-{flag[2:]}" if value is False else f"{flag} {words}"


def seen_voxels(values: Mapping[str, Any], dataset: Dataset) -> dict[str, Any]:
    """Return the voxel size, and how the network treats Z, as they were given or as they follow from the dataset.

    Raises
    ------
    click.UsageError
        The voxel size is unknown.
    """
    voxel = chosen_voxel_size(values["voxel_size"], dataset)
    return {"voxel_size": voxel, "n_keep_axials": _keep_axials(values, voxel, dataset.shape)}


def _keep_axials(values: Mapping[str, Any], voxel: VoxelSize, shape: Shape) -> int:
    """Return `n_keep_axials` as it was given, else what suits the voxels that the network sees."""
    given = values.get("n_keep_axials")
    if given is not None:
        return int(given)
    size: tuple[int, int, int] | None = values.get("input_size")
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
