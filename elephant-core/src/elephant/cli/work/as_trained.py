"""Defaults of a prediction: the settings of its model's training."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from elephant.cli.session import current
from elephant.dataset import Dataset
from elephant.methods.compatibility import as_trained as trained_as

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
    source = click.get_current_context().get_parameter_source
    found = {
        name: value
        for name, value in ((name, _as_given(value)) for name, value in trained_as(path, dataset).items())
        if name in values and source(name) not in _GIVEN and values[name] != value
    }
    if found and not current().quiet:
        click.echo(f"as {path.name} was trained: {', '.join(map(_in_words, found, found.values()))}", err=True)
    return {**values, **found}


def _as_given(value: Any) -> Any:
    """Return a value as a person gives it: sizes X, Y, Z."""
    return (*reversed(value), 1)[:3] if isinstance(value, tuple) else value


def _in_words(name: str, value: Any) -> str:
    words = " ".join(f"{v:g}" for v in value) if isinstance(value, tuple) else f"{value:g}"
    flag = "--" + name.replace("_", "-")
    return flag if value is True else f"--no-{flag[2:]}" if value is False else f"{flag} {words}"
