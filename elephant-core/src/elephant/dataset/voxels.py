"""The physical size of a dataset's voxels: in words, and against what somebody else says it is."""

from pathlib import Path

from elephant.dataset.readers.bdv_files import find_movie
from elephant.dataset.readers.bdv_xml import SpimData, find_spim_data, read_spim_data
from elephant.dataset.source import DatasetSource
from elephant.errors import ElephantError
from elephant.types import VoxelSize

TOLERANCE = 0.01
_MOST_FILES = 50


def voxel_size_in_words(voxel: VoxelSize, n_dims: int, unit: str | None = None) -> str:
    """Return a voxel size as a person reads it: ``0.4 x 0.4 x 2 micrometer (X, Y, Z)``."""
    edges = " x ".join(f"{edge:.6g}" for edge in reversed(voxel.last(n_dims)))
    return f"{edges}{f' {unit}' if unit else ''} ({', '.join('XYZ'[:n_dims])})"


def differ(one: VoxelSize, other: VoxelSize, n_dims: int) -> bool:
    """Tell whether an edge of two voxel sizes differs by more than 1%; in 2D Z does not count."""
    pairs = zip(one.last(n_dims), other.last(n_dims), strict=True)
    return any(abs(a - b) > TOLERANCE * max(a, b) for a, b in pairs)


def describe_difference(given: VoxelSize, source: DatasetSource | None, n_dims: int, name: str) -> str:
    """Tell in words when a voxel size is not that of a dataset, else nothing.

    Parameters
    ----------
    given
        Of the stored image, as a request or a person gives it.
    source
        What the dataset was made from; None where nobody knows.
    n_dims
        3 or 2.
    name
        What people call the dataset.
    """
    known = None if source is None else source.voxel_size
    if source is None or known is None or not differ(given, known, n_dims):
        return ""
    return (
        f"the voxel size of {name} is {voxel_size_in_words(known, n_dims, source.unit)}, but "
        f"{voxel_size_in_words(given, n_dims)} was given, and is used: if it is right, correct the movie's .xml, or "
        "convert the movie again with that voxel size"
    )


def voxel_size_beside(folder: Path) -> tuple[VoxelSize, str] | None:
    """Return the voxel size and the unit that an ``.xml`` in a dataset's folder tells of the movie's first source.

    Parameters
    ----------
    folder
        A dataset's folder that does not tell what it was made from. The movie need not be there any more.
    """
    data = _description(folder)
    if data is not None and data.setups and data.setups[0].voxel_size is not None:
        return data.setups[0].voxel_size, data.setups[0].unit
    return None


def _description(folder: Path) -> SpimData | None:
    try:
        movie = find_movie(folder)
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
