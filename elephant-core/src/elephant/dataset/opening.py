"""Opening a dataset from its folder, a movie or an array."""

import logging
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from elephant.config import ConversionParams
from elephant.console import Console
from elephant.dataset.adding import add, relink
from elephant.dataset.check import describe_change
from elephant.dataset.conversion import convert
from elephant.dataset.dataset import Dataset
from elephant.dataset.from_array import ArrayLike, ArrayMovie, write_array
from elephant.dataset.layout import IMAGES
from elephant.dataset.readers import BIGDATAVIEWER, reader_of_movie
from elephant.dataset.readers.file_patterns import is_pattern
from elephant.dataset.source import describe_difference, differ, voxel_size_in_words
from elephant.errors import InvalidInputError, NotFoundError
from elephant.io.addresses import absolute, address_of
from elephant.io.atomic import TemporaryFolder
from elephant.keywords import check_names, leaves, params_of
from elephant.progress import CancelToken, ProgressReporter
from elephant.types import VoxelSize

MovieLike = Dataset | Path | str | ArrayLike
Edges = VoxelSize | Sequence[float]
_Make = Callable[[Path, ConversionParams, ProgressReporter, CancelToken], None]

_OF_FILES = frozenset({"is_2d", "axes", "setup", "channel", "weights", "level", "t_start", "t_end", "fill_gaps"})
_NAMES = {name: field for name, field in leaves(ConversionParams) if name != "voxel_size"}
_OF_ARRAYS = {name: field for name, field in _NAMES.items() if name not in _OF_FILES}

logger = logging.getLogger(__name__)


def open_dataset(
    movie: MovieLike,
    folder: Path | str | None = None,
    *,
    voxel_size: Edges | None = None,
    axes: str | None = None,
    in_place: bool = False,
    overwrite: bool = False,
    quiet: bool = False,
    **params: Any,
) -> Dataset:
    """Open a dataset, or make one from a movie or an array.

    Values that are not whole numbers from 0 to 65535 are scaled to 16 bits, with a warning.

    Parameters
    ----------
    movie
        A dataset's folder; a movie that `elephant convert` takes (``.h5``, ``.xml``, OME-Zarr, also its address); or an
        array, (T, (Z), Y, X) or a single timepoint ((Z), Y, X): of NumPy, or one that can be read like it, such as one
        of Zarr or Dask.
    folder
        Folder of a new dataset. By default a temporary one, which is removed with the returned object.
    voxel_size
        Physical size of a voxel, (Z), Y, X, which is stored with the dataset; by default that of the movie.
    axes
        Of an array: ``TZYX``, ``TYX``, ``ZYX`` or ``YX``. By default they follow from their number; if there are three,
        from the length of the voxel size. Of a movie that does not say them: in the order of the file, such as
        ``TZCYX``.
    in_place
        Whether the dataset reads its images from the movie each time, and holds no copy; not for arrays.
    overwrite
        Whether to replace a dataset in `folder`, with its labels.
    quiet
        Whether to hide the progress bars.
    **params
        Other parameters of :class:`elephant.config.ConversionParams`, such as ``unit="micrometer"``.

    Raises
    ------
    elephant.errors.InvalidInputError
        A parameter is unknown or wrong, or the axes of the array are ambiguous.
    elephant.errors.NotFoundError, elephant.errors.DatasetError
        The dataset or movie does not exist, or is damaged.
    KeyboardInterrupt
        Ctrl-C; nothing is left of a dataset that was being made.
    """
    if isinstance(movie, Dataset) or (isinstance(movie, Path | str) and _is_dataset(Path(movie))):
        given = {"folder": folder, "axes": axes, "in_place": in_place or None, "overwrite": overwrite or None}
        given |= params
        return _opened(movie, voxel_size, [name for name, value in given.items() if value is not None])
    make: _Make
    if isinstance(movie, Path | str):
        check_names(params, _NAMES)
        params |= {} if axes is None else {"axes": axes}
        if not (address_of(Path(movie)) or is_pattern(Path(movie).name) or Path(movie).exists()):
            raise NotFoundError(
                f"there is no dataset or movie at {movie}: expected a dataset's folder, or a movie's file"
            )
        n_dims = 2 if params.get("is_2d") else 3
        make = partial(_add if in_place else convert, absolute(Path(movie)))
    else:
        check_names(params, _OF_ARRAYS)
        if in_place:
            raise InvalidInputError("only a movie's file can be read in place, got an array: leave in_place out")
        array = ArrayMovie(movie, axes or _axes_of(movie, voxel_size))
        n_dims = len(array.spatial)
        make = partial(write_array, array)
    wanted = params_of(ConversionParams, {**params, "voxel_size": as_voxel_size(voxel_size, n_dims)}, n_dims)
    if folder is not None:
        return _made(make, _free_folder(Path(folder).absolute(), overwrite), wanted, Console(quiet))
    with TemporaryFolder() as temporary:
        return temporary.keep_for(_made(make, temporary.path / "movie", wanted, Console(quiet)))


def _is_dataset(path: Path) -> bool:
    """Tell whether a path is a dataset's folder, and no movie that is a folder."""
    return path.is_dir() and ((path / IMAGES).exists() or reader_of_movie(path) == BIGDATAVIEWER)


def as_voxel_size(value: Edges | None, n_dims: int) -> VoxelSize | None:
    """Return a voxel size that is given as (Z), Y, X; in 2D the edge along Z, which is not used, is 1.

    Raises
    ------
    InvalidInputError
        It has another number of edges, or one is not above 0.
    """
    if value is None or isinstance(value, VoxelSize):
        return value
    edges = [float(edge) for edge in value]
    if len(edges) != n_dims:
        raise InvalidInputError(f"voxel_size: expected {n_dims} numbers, {_in_axes(n_dims)}, got {edges}")
    return VoxelSize(*([1.0] * (3 - n_dims)), *edges)


def chosen_voxel_size(given: Edges | None, dataset: Dataset) -> VoxelSize:
    """Return the given voxel size, else the dataset's; warn if they differ by more than 1%.

    Raises
    ------
    InvalidInputError
        None was given, and the dataset has none.
    """
    voxel = as_voxel_size(given, dataset.n_dims)
    known = None if dataset.source is None else dataset.source.voxel_size
    if voxel is None and known is None:
        raise InvalidInputError(
            f"the voxel size of {dataset.name} is not known: give voxel_size={_in_axes(dataset.n_dims)}, physical"
        )
    if voxel is not None and (words := describe_difference(voxel, dataset.source, dataset.n_dims, dataset.name)):
        logger.warning("%s", words)
    return voxel or known  # type: ignore[return-value] # one of them is there


def _in_axes(n_dims: int) -> str:
    return f"({', '.join('ZYX'[3 - n_dims :])})"


def _opened(movie: Dataset | Path | str, voxel_size: Edges | None, others: Sequence[str]) -> Dataset:
    """Return an existing dataset; refuse parameters that only apply to a new one."""
    dataset = movie if isinstance(movie, Dataset) else Dataset(Path(movie).absolute())
    if others:
        raise InvalidInputError(f"{dataset.name} is already a dataset, and is opened as it is: leave {others[0]} out")
    change = describe_change(dataset.folder)
    if change:
        logger.warning("%s; the dataset is used as it is", change)
    voxel = as_voxel_size(voxel_size, dataset.n_dims)
    known = None if dataset.source is None else dataset.source.voxel_size
    if voxel is not None and (known is None or differ(voxel, known, dataset.n_dims)):
        there = "not known" if known is None else voxel_size_in_words(known, dataset.n_dims)
        raise InvalidInputError(
            f"the voxel size of {dataset.name} is {there}, got {voxel_size_in_words(voxel, dataset.n_dims)}: pass it "
            "to train() and predict(), or make the dataset again from its movie"
        )
    return dataset


def _axes_of(array: ArrayLike, voxel_size: Edges | None) -> str:
    """Return the axes of an array by their number; if there are three, by the length of the voxel size."""
    if not hasattr(array, "shape") or not hasattr(array, "dtype"):
        raise InvalidInputError(f"expected an array, or the path of a dataset or a movie, got {type(array).__name__}")
    n = len(array.shape)
    if n != 3:
        return {2: "YX", 4: "TZYX"}.get(n, "TZYX")
    if voxel_size is None or isinstance(voxel_size, VoxelSize):
        raise InvalidInputError(
            f"an array of shape {tuple(array.shape)} may be a volume or a movie of planes: give axes='ZYX' or "
            "axes='TYX', or a voxel size (Z, Y, X) or (Y, X)"
        )
    return "ZYX" if len(voxel_size) == 3 else "TYX"


def convert_movie(
    movie: Path, folder: Path, params: ConversionParams, console: Console, *, overwrite: bool = False
) -> Dataset:
    """Make a dataset from a movie.

    Parameters
    ----------
    movie
        The file, or a folder of files, for which there is a reader.
    folder
        The dataset's folder. It is replaced as a whole at the end, or stays unchanged.
    params
        How values and axes are converted.
    overwrite
        Whether to replace a dataset in the folder, with its labels.

    Raises
    ------
    InvalidInputError
        There is already a dataset in the folder.
    elephant.errors.NotFoundError, elephant.errors.DatasetError
        The movie does not exist, or is damaged.
    elephant.errors.Cancelled, KeyboardInterrupt
        The conversion was stopped.
    """
    return _made(partial(convert, movie), _free_folder(folder, overwrite), params, console)


def add_movie(
    movie: Path, folder: Path, params: ConversionParams, console: Console, *, overwrite: bool = False
) -> Dataset:
    """Make a dataset that reads its images from a movie in place; or, if it was moved, tell the dataset so.

    Parameters
    ----------
    movie, folder, params, overwrite
        As for :func:`convert_movie`. A dataset in the folder that reads the same part of the same movie in place keeps
        its labels.

    Raises
    ------
    InvalidInputError
        There is another dataset in the folder, or the movie cannot be read in place.
    elephant.errors.NotFoundError, elephant.errors.DatasetError
        The movie does not exist, or is damaged.
    elephant.errors.Cancelled, KeyboardInterrupt
        It was stopped.
    """
    if not overwrite:
        with console.attend(lambda: "the dataset is unchanged") as (_, cancel):
            if relink(movie, folder, params, cancel):
                return Dataset(folder)
    return _made(partial(_add, movie), _free_folder(folder, overwrite), params, console)


def _add(movie: Path, folder: Path, params: ConversionParams, _reporter: ProgressReporter, cancel: CancelToken) -> None:
    add(movie, folder, params, cancel)


def _free_folder(folder: Path, overwrite: bool) -> Path:
    """Return a folder that holds no dataset, or one that may be replaced."""
    if (folder / IMAGES).exists() and not overwrite:
        raise InvalidInputError(
            f"there is already a dataset at {folder}, whose labels would be lost: choose another folder, or overwrite"
        )
    return folder


def _made(make: _Make, folder: Path, params: ConversionParams, console: Console) -> Dataset:
    with console.attend(lambda: "the dataset's folder is unchanged") as (bars, cancel):
        make(folder, params, bars, cancel)
    return Dataset(folder)
