"""Datasets as commands open them."""

import logging
from pathlib import Path

import click

from elephant.cli.options import Vector, as_voxel_size
from elephant.cli.places import DATASETS, find
from elephant.dataset import Dataset, describe_change
from elephant.dataset.voxels import describe_difference
from elephant.types import VoxelSize

logger = logging.getLogger(__name__)


def open_dataset(name: str, workspace: Path | None) -> Dataset:
    """Open a dataset, and warn if its movie has changed since the conversion.

    Raises
    ------
    elephant.errors.NotFoundError, elephant.errors.DatasetError
        There is none of this name, or it is damaged.
    """
    dataset = Dataset(find(DATASETS, name, workspace))
    change = describe_change(dataset.folder)
    if change:
        logger.warning("%s; this command uses what the dataset holds", change)
    return dataset


def chosen_voxel_size(vector: Vector | None, dataset: Dataset) -> VoxelSize:
    """Return the voxel size that was given (X, Y, Z), else the dataset's; warn where they differ by more than 1%.

    Raises
    ------
    click.UsageError
        None was given, and the dataset does not tell.
    """
    known = None if dataset.source is None else dataset.source.voxel_size
    if vector is None:
        if known is None:
            raise click.UsageError(
                f"the voxel size of {dataset.name} is unknown, since it was converted without one: "
                "give --voxel-size X Y Z"
            )
        return as_voxel_size(known.zyx[::-1], dataset.n_dims)
    given = as_voxel_size(vector, dataset.n_dims)
    difference = describe_difference(given, dataset.source, dataset.n_dims, dataset.name)
    if difference:
        logger.warning("%s", difference)
    return given
