"""A small dataset to look at."""

from pathlib import Path

import numpy as np

from elephant.dataset import Dataset
from elephant.dataset.arrays import create_array, open_array
from elephant.dataset.layout import array_specs

SHAPE = (6, 20, 30)


def make_dataset(folder: Path, shape: tuple[int, ...] = SHAPE, dtype: str = "uint16") -> Dataset:
    """Make a dataset of three timepoints whose voxels count up."""
    folder.mkdir(parents=True)
    for spec in array_specs(3, shape, dtype).values():
        create_array(folder / spec.name, spec)
    voxels = np.arange(np.prod(shape)).reshape(shape)
    open_array(folder / "imgs.zarr", writable=True)[:] = np.stack([(voxels + t) % 60000 for t in range(3)]).astype(
        dtype
    )
    return Dataset(folder)
