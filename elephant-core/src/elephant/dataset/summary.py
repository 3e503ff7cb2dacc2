"""Summaries of datasets without reading images: shapes, sizes, and which timepoints have what."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from elephant.dataset import layout
from elephant.dataset.arrays import open_array
from elephant.dataset.in_place import find_images
from elephant.dataset.readers import find_bdv_movie
from elephant.dataset.readers.bdv_finding import find_spim_data
from elephant.dataset.readers.bdv_xml import SpimData, read_spim_data
from elephant.errors import ElephantError
from elephant.types import Shape, VoxelSize

_CHUNK = re.compile(r"(?:c[./])?(\d+)(?:[./]\d+)*")
_ARRAYS = (
    *(layout.IMAGES, layout.LABELS, layout.LABELS_RGB, layout.PROBABILITIES),
    *(layout.FLOW_LABELS, layout.FLOW),
)
_DEEPEST = 3
_MOST_FILES = 50


@dataclass(frozen=True, slots=True)
class DatasetSummary:
    """What a dataset's folder holds.

    Attributes
    ----------
    n_timepoints, shape, dtype
        T, the shape of a timepoint's image, (Z, Y, X) or (Y, X), and its type.
    n_bytes
        Disk space of the arrays, and of everything else in the folder, mostly the movie.
    labelled, predicted
        Timepoints that have labels, or stored probabilities.
    flow_labelled, flow_predicted
        Earlier timepoints that have flow labels, or a stored flow.
    version
        A number that changes when the image is generated again.
    """

    n_timepoints: int
    shape: Shape
    dtype: str
    n_bytes: tuple[int, int]
    labelled: list[int]
    predicted: list[int]
    flow_labelled: list[int]
    flow_predicted: list[int]
    version: int


def find_datasets(root: Path, most: int) -> list[str]:
    """Return the names of at most `most` datasets below a folder, in order; hidden folders are skipped."""
    names: list[str] = []
    for folder, folders, _ in os.walk(root):
        name = Path(folder).relative_to(root)
        is_dataset = layout.IMAGES in folders
        if is_dataset:
            names.append(name.as_posix())
        is_deepest = is_dataset or len(name.parts) == _DEEPEST or len(names) == most
        folders[:] = [] if is_deepest else sorted(f for f in folders if not f.startswith("."))
        if len(names) == most:
            break
    return sorted(names)


def summarise(folder: Path) -> DatasetSummary:
    """Summarise a dataset. An array's files are listed, not read.

    Raises
    ------
    elephant.errors.DatasetError
        There is no image, or its metadata cannot be read.
    """
    images = find_images(folder)
    held, n_bytes = {}, 0
    for name in _ARRAYS:
        if name == layout.IMAGES and images.in_place:
            continue
        held[name], size = _stored(folder / name)
        n_bytes += size
    others = sum(entry.stat().st_size for entry in os.scandir(folder) if entry.is_file())
    return DatasetSummary(
        n_timepoints=images.shape[0],
        shape=images.shape[1:],
        dtype=images.dtype,
        n_bytes=(n_bytes, others),
        labelled=held[layout.LABELS],
        predicted=held[layout.PROBABILITIES],
        flow_labelled=held[layout.FLOW_LABELS],
        flow_predicted=held[layout.FLOW],
        version=image_version(folder),
    )


def image_version(folder: Path) -> int:
    """Return a number that changes when a dataset's image is generated again."""
    path = folder / layout.IMAGES
    described = next((path / name for name in ("zarr.json", ".zarray") if (path / name).is_file()), path)
    return described.stat().st_mtime_ns


def _stored(path: Path) -> tuple[list[int], int]:
    """Return the timepoints for which an array has files, in order, and the size of all its files in bytes."""
    if not path.is_dir():
        return [], 0
    array = open_array(path)
    per_file, n_timepoints = (array.shards or array.chunks)[0], array.shape[0]
    files = list(_files(path))
    places = {int(found[1]) for name, _ in files if (found := _CHUNK.fullmatch(name))}
    held = {t for place in places for t in range(place * per_file, min((place + 1) * per_file, n_timepoints))}
    return sorted(held), sum(size for _, size in files)


def _files(path: Path) -> Iterator[tuple[str, int]]:
    """Yield the name, relative to the array's folder, and the size of every file."""
    for folder, _, names in os.walk(path):
        for name in names:
            file = Path(folder, name)
            try:
                yield file.relative_to(path).as_posix(), file.stat().st_size
            except FileNotFoundError:  # replaced meanwhile
                continue


def voxel_size_beside(folder: Path) -> tuple[VoxelSize, str] | None:
    """Return the voxel size and unit of a movie's first source, from an ``.xml`` in the dataset's folder.

    Parameters
    ----------
    folder
        A dataset's folder without ``source.json``. The movie itself may be gone.
    """
    data = _description(folder)
    if data is not None and data.setups and data.setups[0].voxel_size is not None:
        return data.setups[0].voxel_size, data.setups[0].unit
    return None


def _description(folder: Path) -> SpimData | None:
    try:
        movie = find_bdv_movie(folder)
        if movie is not None:
            return find_spim_data(movie)
    except ElephantError:
        return None
    for path in sorted(folder.glob("*.xml"))[:_MOST_FILES]:
        try:
            return read_spim_data(path)
        except ElephantError:
            continue
    return None
