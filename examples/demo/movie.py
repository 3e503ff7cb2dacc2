"""The movie of the demonstration: simulated or given, and put where the server looks for it."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
from numpy.typing import NDArray

from elephant.console import Bars
from elephant.dataset.readers.bdv_finding import find_spim_data
from elephant.dataset.readers.bigdataviewer import BigDataViewerReader
from elephant.errors import InvalidInputError
from elephant.io.atomic import replacing
from elephant.io.paths import resolve_inside
from elephant.simulation import MoviePaths, Truth, preset, read_truth, write_movie


@dataclass(frozen=True, slots=True)
class KnownMovie:
    """A movie in its dataset's folder, and its true nuclei.

    Attributes
    ----------
    h5
        The file.
    truth
        Voxel size, shape and true nuclei.
    reader
        Reads the source that was chosen.
    """

    h5: Path
    truth: Truth
    reader: BigDataViewerReader

    @property
    def n_dims(self) -> int:
        """3, or 2 for a movie of planes."""
        return 2 if self.truth.is_2d else 3

    @property
    def shape(self) -> tuple[int, ...]:
        """Size of a timepoint, (Z), Y, X."""
        return self.truth.shape[-self.n_dims :]

    def image(self, t: int) -> NDArray[Any]:
        """Return timepoint `t` at full resolution, (Z, Y, X)."""
        with self.reader.timepoint(t) as timepoint:
            return timepoint[tuple(slice(0, size) for size in self.reader.shape)]

    def check_timepoint(self, t: int) -> None:
        """Refuse a timepoint without nuclei, or after which there is none to predict."""
        if t + 1 >= min(self.reader.n_timepoints, len(self.truth.frames)):
            raise InvalidInputError(f"The movie has no timepoint {t + 1} to predict: choose --timepoint lower.")
        if not self.truth.frames[t]:
            raise InvalidInputError(f"The truth has no nuclei at timepoint {t}: choose another --timepoint.")


def simulated(name: str, seed: int, target: Path) -> KnownMovie:
    """Simulate a movie into a file."""
    with Bars() as bars:
        truth = write_movie(preset(name, seed=seed), target, bars).truth
    return _opened(target, truth, None)


def given(movie: Path, truth: Path | None, setup: int | None, target: Path) -> KnownMovie:
    """Copy a movie into a file, unless it is there already, with its .xml.

    Parameters
    ----------
    movie
        A BigDataViewer ``.h5``.
    truth
        What is true of it; by default the ``.truth.json`` beside it.
    setup
        Number of its source; None for the first.
    target
        The file.
    """
    if not movie.is_file():
        raise InvalidInputError(f"There is no movie at {movie}: give the path of a BigDataViewer .h5.")
    if not (target.exists() and target.samefile(movie)):
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(movie, target)
        _copy_description(movie, target)
    return _opened(target, truth or MoviePaths.beside(movie).truth, setup)


def place_of(datasets: Path, name: str) -> Path:
    """Return where the movie of a dataset is."""
    return resolve_inside(datasets, name) / f"{Path(name).name}.h5"


def background_threshold(image: NDArray[np.integer]) -> float:
    """Return a normalised intensity (0 to 1) that hardly any voxel between the nuclei exceeds.

    Most of a movie is background, so its median and its robust deviation are those of the background. What a nucleus
    covers is annotated and counts as such even below the threshold.
    """
    low, high = float(image.min()), float(image.max())
    if low == high:
        return 0.0
    median = float(np.median(image))
    deviation = 1.4826 * float(np.median(np.abs(image - median)))
    return round(min((median + 4 * deviation - low) / (high - low), 1.0), 4)


def _opened(h5: Path, truth: Path, setup: int | None) -> KnownMovie:
    movie = KnownMovie(h5, read_truth(truth), BigDataViewerReader.open(h5, setup))
    if movie.reader.shape != movie.truth.shape:
        raise InvalidInputError(
            f"The movie has the shape {movie.reader.shape}, its truth {movie.truth.shape}: they do not match."
        )
    return movie


def _copy_description(movie: Path, target: Path) -> None:
    """Put the movie's .xml beside its copy, under the copy's name; one of the movie that was there before goes."""
    beside = target.with_suffix(".xml")
    beside.unlink(missing_ok=True)
    described = find_spim_data(movie)
    if described is None:
        return
    tree = ET.parse(described.path)  # noqa: S314 - it was read before without entities
    loader = tree.find("SequenceDescription/ImageLoader/hdf5")
    if loader is not None:
        loader.text = target.name
        loader.set("type", "relative")
        base = tree.find("BasePath")
        if base is not None:
            base.text = "."
        with replacing(beside) as file:
            tree.write(file, encoding="UTF-8", xml_declaration=True)
