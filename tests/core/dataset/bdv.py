"""Small movies as BigDataViewer writes them."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray


def ramp(n_timepoints: int = 3, shape: tuple[int, ...] = (5, 20, 17), largest: int = 255) -> NDArray[np.uint16]:
    """Return a movie (T, Z, Y, X) without symmetries, whose largest value is given."""
    values = np.random.default_rng(7).integers(0, largest, (n_timepoints, *shape), dtype=np.uint16)
    values[-1, -1, -1, -1] = largest
    return values


def write_movie(
    path: Path,
    values: NDArray[Any],
    *,
    first: int = 0,
    setup: str = "s00",
    chunks: tuple[int, ...] | None = (2, 8, 8),
) -> Path:
    """Write a movie, (T, Z, Y, X); 16-bit values in signed storage."""
    stored = values.view(np.int16) if values.dtype == np.uint16 else values
    with h5py.File(path, "w") as file:
        file.create_group("__DATA_TYPES__")
        describe(file, setup)
        for t, volume in enumerate(stored, start=first):
            write_cells(file, f"t{t:05d}/{setup}/0/cells", volume, chunks)
    return path


def describe(file: h5py.File, setup: str = "s00") -> None:
    """Write what describes the levels of a setup."""
    file[f"{setup}/resolutions"] = np.ones((1, 3))
    file[f"{setup}/subdivisions"] = np.full((1, 3), 16, np.int32)


def write_cells(file: h5py.File, name: str, volume: NDArray[Any], chunks: tuple[int, ...] | None = None) -> None:
    """Write one image."""
    fitting = chunks and tuple(min(c, s) for c, s in zip(chunks, volume.shape, strict=True))
    file.create_dataset(name, data=volume, chunks=fitting, compression="gzip" if fitting else None)


def write_partitioned(folder: Path, name: str, values: NDArray[np.uint16]) -> Path:
    """Write one partition a timepoint, and the master file that links to them; return the master."""
    master = folder / f"{name}.h5"
    with h5py.File(master, "w") as file:
        describe(file)
        for t in range(len(values)):
            partition = folder / f"{name}-{t:02d}-00.h5"
            write_movie(partition, values[t : t + 1], first=t)
            group = f"t{t:05d}/s00/0"
            file[group] = h5py.ExternalLink(partition.name, group)
    return master
