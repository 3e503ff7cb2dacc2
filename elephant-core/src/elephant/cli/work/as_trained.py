"""Defaults of a prediction: the settings of its model's training."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from elephant.cli.session import current
from elephant.dataset import Dataset, DatasetSource
from elephant.models.provenance_text import tell
from elephant.models.trained_with import TrainedWith

_GIVEN = (ParameterSource.COMMANDLINE, ParameterSource.ENVIRONMENT)


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
    before = tell(path).trained_with()
    if before is None:
        return dict(values)
    source = click.get_current_context().get_parameter_source
    found = {
        name: value
        for name, value in _options(before, dataset).items()
        if value is not None and name in values and source(name) not in _GIVEN and values[name] != value
    }
    if found and not current().quiet:
        click.echo(f"as {path.name} was trained: {', '.join(map(_in_words, found, found.values()))}", err=True)
    return {**values, **found}


def _options(before: TrainedWith, dataset: Dataset) -> dict[str, Any]:
    """Return options by name; sizes as a person gives them, X, Y, Z."""
    if len(before.voxel_size) != dataset.n_dims:  # a network for planes, used on slices
        return {"use_median": before.use_median, "c_ratio": before.c_ratio}
    size = before.input_size(dataset.shape)
    source = DatasetSource.read(dataset.folder)
    is_known = source is not None and source.voxel_size is not None
    return {
        "voxel_size": None if is_known else _xyz(before.voxel_size),
        "n_keep_axials": before.n_keep_axials if before.n_keep_axials_was_chosen else None,
        "input_size": None if size is None else _xyz(size),
        "use_median": before.use_median,
        "c_ratio": before.c_ratio,
        "max_displacement": before.max_displacement,
    }


def _xyz(values: tuple[Any, ...]) -> tuple[Any, ...]:
    return (*reversed(values), 1)[:3]


def _in_words(name: str, value: Any) -> str:
    words = " ".join(f"{v:g}" for v in value) if isinstance(value, tuple) else f"{value:g}"
    flag = "--" + name.replace("_", "-")
    return flag if value is True else f"--no-{flag[2:]}" if value is False else f"{flag} {words}"
