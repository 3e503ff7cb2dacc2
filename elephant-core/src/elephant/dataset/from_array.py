"""Converting an array to a dataset: completely, or not at all."""

from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from elephant.config import ConversionParams
from elephant.dataset.arrays import create_array, for_values, open_array
from elephant.dataset.layout import IMAGE_DTYPES, IMAGES, array_specs
from elephant.dataset.source import DatasetSource
from elephant.dataset.transaction import replacing_arrays, staging
from elephant.dataset.values import (
    Scaling,
    ValueRange,
    choose_scaling,
    dtype_without_scan,
    range_of,
    scaling_to_range,
    warn_of_few_levels,
)
from elephant.errors import InvalidInputError
from elephant.io.atomic import explained_storage, new_folder
from elephant.progress import CancelToken, ProgressReporter
from elephant.types import Shape

NAME = "the array"
_AXES = ("YX", "ZYX", "TYX", "TZYX")


class ArrayLike(Protocol):
    """What can be read like a NumPy array: a memory map, or an array of Zarr, HDF5 or Dask."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of its axes."""

    @property
    def dtype(self) -> Any:
        """Type of its values."""

    def __getitem__(self, key: Any) -> Any:
        """Return a part of it."""


@dataclass(frozen=True, slots=True, eq=False)
class ArrayMovie:
    """An array as a movie, read timepoint by timepoint.

    Attributes
    ----------
    values
        The array.
    axes
        Its axes: ``TZYX``, ``TYX``, ``ZYX`` or ``YX``.

    Raises
    ------
    InvalidInputError
        It has other axes, an axis is empty, or its values are not real numbers.
    """

    values: ArrayLike
    axes: str

    def __post_init__(self) -> None:
        shape = tuple(self.values.shape)
        if self.axes not in _AXES or len(shape) != len(self.axes) or min(shape) < 1:
            raise InvalidInputError(
                f"expected an array with the axes {self.axes}, one of {', '.join(_AXES)}, none of them empty; got the "
                f"shape {shape}"
            )
        if np.dtype(self.values.dtype).kind not in "buif":
            raise InvalidInputError(f"expected an array of real numbers, got {self.values.dtype}")

    @property
    def n_timepoints(self) -> int:
        """T."""
        return self.values.shape[0] if "T" in self.axes else 1

    @property
    def spatial(self) -> Shape:
        """Shape of a timepoint, (Z), Y, X."""
        return tuple(self.values.shape)[-len(self.axes.removeprefix("T")) :]

    def timepoint(self, t: int) -> NDArray[Any]:
        """Return a timepoint, (Z), Y, X: uint8 and uint16 unchanged, bool as uint8, all others as float64."""
        found = np.asarray(self.values[t] if "T" in self.axes else self.values[...])
        if found.dtype == bool:
            return found.astype(np.uint8)
        return found if found.dtype.name in IMAGE_DTYPES else found.astype(np.float64)


def write_array(
    movie: ArrayMovie,
    folder: Path,
    params: ConversionParams,
    reporter: ProgressReporter,
    cancel: CancelToken,
) -> None:
    """Make a dataset from an array, as :func:`elephant.dataset.convert` does from a file.

    Values become uint8 or uint16 by the same rules, with warnings of what a user would not expect. Each timepoint is
    read twice if the array's type does not decide the scaling.

    Parameters
    ----------
    movie
        The array.
    folder
        The dataset's folder; created if it does not exist. A dataset in it is replaced, with its labels.
    params
        How values are converted, and the voxel size that is stored with the dataset.
    reporter
        Receives each stored timepoint.
    cancel
        Asked before each timepoint.

    Raises
    ------
    elephant.errors.DatasetError
        The values do not fit, or are not finite.
    elephant.errors.StorageError
        The folder cannot be written.
    elephant.errors.Cancelled
        From `cancel`; nothing is left.
    """
    with replacing_arrays(folder) if (folder / IMAGES).exists() else nullcontext():
        scaling = _scaling(movie, params, cancel)
        specs = array_specs(movie.n_timepoints, movie.spatial, scaling.dtype)
        size = int(np.prod(specs[IMAGES].shape)) * np.dtype(scaling.dtype).itemsize
        with explained_storage(f"the dataset {folder.name}", folder, size), new_folder(folder), staging(folder) as to:
            for spec in specs.values():
                create_array(to / spec.name, spec)
            _store(movie, to / IMAGES, scaling, reporter, cancel)
            _source(params, scaling).write(to)


def _scaling(movie: ArrayMovie, params: ConversionParams, cancel: CancelToken) -> Scaling:
    if params.value_range is not None:
        return scaling_to_range(params)
    kind = np.dtype(movie.values.dtype)
    dtype = dtype_without_scan("uint8" if kind.kind == "b" else kind.name, params)
    if dtype is not None:
        return Scaling(params.divisor or 1.0, dtype)
    found = ValueRange()
    for t in range(movie.n_timepoints):
        cancel.check()
        found = found.joined(range_of(movie.timepoint(t), f"timepoint {t} of {NAME}"))
    return choose_scaling(found, params, NAME)


def _store(movie: ArrayMovie, images: Path, scaling: Scaling, reporter: ProgressReporter, cancel: CancelToken) -> None:
    array, high = open_array(images, writable=True), 0
    for t in range(movie.n_timepoints):
        cancel.check()
        values = scaling.apply(movie.timepoint(t))
        high = max(high, int(values.max()))
        for_values(array, values)[t] = values
        reporter.progress("timepoint", t + 1, movie.n_timepoints)
    warn_of_few_levels(high, scaling, NAME)


def _source(params: ConversionParams, scaling: Scaling) -> DatasetSource:
    return DatasetSource(
        movie=NAME,
        voxel_size=params.voxel_size,
        unit=params.unit if params.voxel_size is not None else None,
        divisor=scaling.divisor,
        offset=scaling.offset,
        factor=scaling.factor,
    )
