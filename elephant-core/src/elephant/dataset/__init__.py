"""Datasets: converting movies to them, and reading, writing and checking them."""

from elephant.dataset.adding import add
from elephant.dataset.check import check_dataset, describe_change
from elephant.dataset.conversion import convert
from elephant.dataset.dataset import Dataset
from elephant.dataset.layout import labels_as_rgb
from elephant.dataset.readers import check_upload, find_movie
from elephant.dataset.source import DatasetSource
from elephant.dataset.transaction import recover_all

__all__ = [
    "Dataset",
    "DatasetSource",
    "add",
    "check_dataset",
    "check_upload",
    "convert",
    "describe_change",
    "find_movie",
    "labels_as_rgb",
    "recover_all",
]
