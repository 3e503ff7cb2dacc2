"""Label images in files: one or several TIFFs, or any movie that a reader is installed for, timepoint by timepoint."""

import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elephant.annotations.base import MovieFacts
from elephant.dataset.readers import reader_of_movie
from elephant.dataset.readers.base import by
from elephant.dataset.readers.movie import Movie
from elephant.dataset.readers.tiff import TiffReader
from elephant.dataset.readers.tiff_files import SUFFIXES, is_tiff
from elephant.errors import DatasetError, ElephantError, InvalidInputError
from elephant.plugins import Plugin
from elephant.progress import CancelToken
from elephant.slabs import in_slabs
from elephant.types import Shape

_LARGEST = int(np.iinfo(np.uint32).max)
_NUMBERS = re.compile(r"\d+")
_MOST_FILES = 100_000
_FEW_RUNS = 10_000
_TIFF = Plugin("reader", "tiff")
# What axes without a meaning are taken for, until the size fits; then what axes might be called wrongly.
_GUESSES = (("", None), ("TZ", None), ("Z", None), ("T", None), ("", "TZYX"), ("", "ZYX"), ("", "TYX"))

Labels = NDArray[np.unsignedinteger[Any]]

logger = logging.getLogger(__name__)


def open_labels(path: Path, movie: MovieFacts, cancel: CancelToken) -> Movie:
    """Open a file or folder of label images, and check that they are as large as the movie.

    Raises
    ------
    InvalidInputError
        They have another size, or cannot be read.
    """
    try:
        found = _open_tiff(path, movie, cancel) if is_tiff(path) else _open_other(path, cancel)
    except InvalidInputError:
        raise
    except ElephantError as error:
        raise InvalidInputError(str(error)) from error
    _check_size(path, found, movie)
    return found


def _open_other(path: Path, cancel: CancelToken) -> Movie:
    return reader_of_movie(path).open(path, None, cancel, fill_gaps=True)


def _open_tiff(path: Path, movie: MovieFacts, cancel: CancelToken) -> Movie:
    """Open a TIFF, whose axes are those with which it has the size of the movie, if it does not say them."""
    error: ElephantError | None = None
    others = list[Movie]()
    for unknown, axes in _GUESSES:
        try:
            reader = TiffReader.inspect(path, None, fill_gaps=True, cancel=cancel, axes=axes, unknown=unknown)
        except (DatasetError, InvalidInputError) as found:
            error = error or found
            continue
        opened = Movie(_TIFF, reader, range(reader.n_timepoints))
        if movie.shape is None or reader.shape == _size(movie):
            if axes is not None:
                logger.warning("%s: its axes are taken as %s, with which it has the size of the movie", path.name, axes)
            return opened
        others.append(opened)
    if not others:
        raise error or DatasetError(f"{path.name} cannot be read: export it again")
    return max(others, key=lambda opened: opened.reader.shape[0])  # the one that is most like a volume


def _size(movie: MovieFacts) -> Shape | None:
    return None if movie.shape is None else ((1, *movie.shape) if len(movie.shape) == 2 else tuple(movie.shape))


def _check_size(path: Path, found: Movie, movie: MovieFacts) -> None:
    wanted = _size(movie)
    if wanted is not None and found.reader.shape != wanted:
        raise InvalidInputError(
            f"expected the label images of {path.name} to have {by(wanted)} voxels (Z, Y, X), as the movie has, got "
            f"{by(found.reader.shape)}: export them for the whole movie, at its full resolution"
        )
    if found.reader.others:
        raise InvalidInputError(
            f"expected {path.name} to have one channel of labels, got {len(found.reader.others) + 1}: export that of "
            "the labels alone"
        )


def read_labels(movie: Movie, t: int, cancel: CancelToken) -> Labels:
    """Return the labels of a timepoint, (Z, Y, X), read piece by piece.

    Raises
    ------
    InvalidInputError
        A value is no label, or the image is damaged.
    """
    shape, dtype = movie.reader.shape, np.dtype(movie.reader.dtype)
    labels: Labels = np.zeros(shape, dtype=dtype if dtype.kind == "u" else np.uint32)
    if t in movie.blank:
        return labels
    try:
        with movie.timepoint(t) as image:
            for piece in movie.pieces(tuple(slice(0, size) for size in shape)):
                cancel.check()
                values = image.read(piece)
                _check_whole(values, movie.path.name)
                labels[piece] = values
    except InvalidInputError:
        raise
    except ElephantError as error:
        raise InvalidInputError(str(error)) from error
    _check_runs(labels, movie.path.name)
    return labels


def _check_runs(labels: Labels, name: str) -> None:
    """Refuse an image whose values change at nearly every voxel: a movie that was taken for labels.

    Its pieces would be as many as its voxels, and take a hundred times its memory.
    """

    def count(slab: slice) -> tuple[int, int]:
        part = labels[slab]
        inside = part != 0
        goes_on = (part[..., 1:] == part[..., :-1]) & inside[..., 1:]
        n_inside = int(np.count_nonzero(inside))
        return n_inside, n_inside - int(np.count_nonzero(goes_on))

    n_inside, n_runs = np.sum(in_slabs(count, labels.shape), axis=0)
    if n_runs > _FEW_RUNS and n_inside < 2 * n_runs:
        raise InvalidInputError(
            f"expected {name} to have a label for each nucleus, got values that change at nearly every voxel: choose "
            "the label image, not the movie"
        )


def _check_whole(values: NDArray[Any], name: str) -> None:
    """Refuse values that are no labels: whole numbers of at least 0 that fit into 32 bits."""
    if values.dtype.kind == "f" and values.size:
        with np.errstate(invalid="ignore"):
            is_label = (values == np.round(values)) & (values >= 0) & (values <= _LARGEST)
        if not is_label.all():
            raise InvalidInputError(
                f"expected labels in {name}, which are whole numbers of 0 to {_LARGEST}, got "
                f"{values[~is_label].flat[0]:g}: choose the label image, not the movie or a prediction"
            )


@dataclass(frozen=True, slots=True)
class NumberedFiles:
    """Label images with a timepoint each.

    Attributes
    ----------
    name
        Of the folder or the archive.
    files
        The file of each number, ascending.
    """

    name: str
    files: Mapping[int, Path]

    @classmethod
    def of(cls, folder: Path) -> "NumberedFiles":
        """Return the TIFFs of a folder by the number in their names that counts timepoints.

        Raises
        ------
        InvalidInputError
            There are none, or it is not clear which number that is.
        """
        found = sorted(p for p in folder.iterdir() if p.name.lower().endswith(SUFFIXES) and not p.name.startswith("."))
        if not found or len(found) > _MOST_FILES:
            raise InvalidInputError(
                f"expected {folder.name} to hold a label image (.tif) for each timepoint, got {len(found)}: check the "
                "path"
            )
        return cls(folder.name, dict(sorted(zip(_counted(found, folder.name), found, strict=True))))

    def images(self, movie: MovieFacts, cancel: CancelToken) -> Iterator[tuple[int, Labels]]:
        """Yield each number and its labels, (Z, Y, X).

        Raises
        ------
        InvalidInputError
            A file is damaged, has another size than the movie, or several timepoints.
        """
        first: Shape | None = None
        for number, path in self.files.items():
            cancel.check()
            found = open_labels(path, movie, cancel)
            if found.n_timepoints != 1:
                raise InvalidInputError(
                    f"expected {path.name} in {self.name} to be one timepoint, got {found.n_timepoints}: choose that "
                    "file alone, or save a file for each timepoint"
                )
            first = first or found.reader.shape
            if found.reader.shape != first:
                raise InvalidInputError(
                    f"expected all label images of {self.name} to have {by(first)} voxels (Z, Y, X), got "
                    f"{by(found.reader.shape)} in {path.name}: export them again"
                )
            yield number, read_labels(found, 0, cancel)


def numbered(folder: Path, pattern: re.Pattern[str]) -> dict[int, Path]:
    """Return the files of a folder whose names are of a pattern, by the number in them, ascending.

    Raises
    ------
    InvalidInputError
        Two have the same number.
    """
    found: dict[int, Path] = {}
    for path in sorted(folder.iterdir()):
        match = pattern.fullmatch(path.name)
        if match is None or not path.is_file():
            continue
        other = found.setdefault(int(match[1]), path)
        if other is not path:
            raise InvalidInputError(
                f"{other.name} and {path.name} have the same number: expected a file for each timepoint: remove one"
            )
    return dict(sorted(found.items()))


def _counted(files: Sequence[Path], name: str) -> list[int]:
    """Return the number of each file: the only one in their names that is different in all of them."""
    numbers = [tuple(map(int, _NUMBERS.findall(path.name.rsplit(".", 1)[0]))) for path in files]
    if len(files) == 1:
        return [numbers[0][-1] if numbers[0] else 0]
    if len({len(each) for each in numbers}) == 1:
        differ = [i for i, column in enumerate(zip(*numbers, strict=True)) if len(set(column)) == len(files)]
        if differ:
            return [each[differ[-1]] for each in numbers]
    one, other = _alike(files)
    raise InvalidInputError(
        f"expected the names of the label images in {name} to differ in one number, that of the timepoint, got "
        f"{one.name} and {other.name}: rename them, such as t000.tif, t001.tif"
    )


def _alike(files: Sequence[Path]) -> tuple[Path, Path]:
    """Return two files that show why their names do not count timepoints."""
    counts = [len(_NUMBERS.findall(path.name)) for path in files]
    pairs = zip(pairwise(files), pairwise(counts), strict=True)
    return next((pair for pair, (a, b) in pairs if a != b), (files[0], files[1]))
