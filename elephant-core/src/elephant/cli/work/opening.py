"""Datasets as commands open them."""

import logging
from pathlib import Path

from elephant.cli.places import DATASETS, find
from elephant.dataset import Dataset, describe_change

logger = logging.getLogger(__name__)


def open_dataset(name: str, workspace: Path | None) -> Dataset:
    """Open a dataset, and warn where its movie is not the one any more that it was made from.

    Raises
    ------
    elephant.errors.NotFoundError, elephant.errors.DatasetError
        There is none of this name, or it is damaged.
    """
    dataset = Dataset(find(DATASETS, name, workspace))
    change = describe_change(dataset.folder)
    if change:
        logger.warning("%s; this command goes on with what the dataset holds", change)
    return dataset
