"""The movie of the demonstration: simulated or given, and put where the server looks for it."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

from numpy.typing import NDArray
from tqdm import tqdm

from elephant.dataset.readers.bdv_xml import find_spim_data
from elephant.dataset.readers.bigdataviewer import BigDataViewerReader
from elephant.errors import ElephantError
from elephant.io.atomic import replacing
from elephant.io.paths import resolve_inside
from elephant.simulation import MoviePaths, Truth, preset, read_truth, write_movie
from elephant_server.demo.bodies import MovieFacts, background_threshold
from elephant_server.demo.errors import DemoError
from elephant_server.demo.options import DemoOptions


@dataclass(frozen=True, slots=True)
class Movie:
    """A movie in its dataset's folder."""

    h5: Path
    facts: MovieFacts
    images: BigDataViewerReader

    def image(self, t: int) -> NDArray[Any]:
        """Return timepoint `t`, (Z, Y, X)."""
        return read_timepoint(self.images, t)


class _Bar:
    def __init__(self, total: int) -> None:
        self._bar = tqdm(total=total, unit="timepoint", desc="Simulating a movie")

    def progress(self, stage: str, done: int, total: int, **values: float) -> None:  # noqa: ARG002
        self._bar.update(done - self._bar.n)
        if done == total:
            self._bar.close()


def provide(options: DemoOptions, datasets: Path) -> Movie:
    """Simulate or copy the movie into ``datasets/<dataset>/`` and read what is true of it.

    Raises
    ------
    DemoError
        The movie or its truth is missing or broken, or has no timepoint after the one to train on.
    """
    try:
        target = resolve_inside(datasets, options.dataset) / f"{Path(options.dataset).name}.h5"
        target.parent.mkdir(parents=True, exist_ok=True)
        truth = read_truth(_simulate(options, target) if options.movie is None else _copy(options, target))
        images = BigDataViewerReader.open(target, options.setup)
        movie = Movie(target, _facts(images, truth, options), images)
    except (ElephantError, OSError, KeyError) as error:
        raise DemoError(f"No movie to show: {error}") from error
    if options.timepoint + 1 >= min(movie.facts.timepoints, len(truth.frames)):
        raise DemoError(f"The movie has no timepoint {options.timepoint + 1} to predict: choose --timepoint lower.")
    if not truth.frames[options.timepoint]:
        raise DemoError(f"The truth has no nuclei at timepoint {options.timepoint}: choose another --timepoint.")
    return movie


def read_timepoint(images: BigDataViewerReader, t: int) -> NDArray[Any]:
    """Return timepoint `t` of the source that was chosen at full resolution, (Z, Y, X)."""
    with images.timepoint(t) as timepoint:
        return timepoint[tuple(slice(0, size) for size in images.shape)]


def _simulate(options: DemoOptions, target: Path) -> Path:
    parameters = preset(options.preset, seed=options.seed)
    return write_movie(parameters, target, _Bar(parameters.timepoints)).truth


def _copy(options: DemoOptions, target: Path) -> Path:
    """Copy a given movie with its .xml, unless it is there already, and return where its truth is."""
    movie = options.movie
    if movie is None or not movie.is_file():
        raise DemoError(f"There is no movie at {movie}: give the path of a BigDataViewer .h5.")
    if not (target.exists() and target.samefile(movie)):
        shutil.copyfile(movie, target)
        _copy_description(movie, target)
    return options.truth or MoviePaths.beside(movie).truth


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


def _facts(images: BigDataViewerReader, truth: Truth, options: DemoOptions) -> MovieFacts:
    image = read_timepoint(images, min(options.timepoint, images.n_timepoints - 1))
    if image.shape != truth.shape:
        raise DemoError(f"The movie has the shape {image.shape}, its truth {truth.shape}: they do not match.")
    return MovieFacts(images.n_timepoints, truth, background_threshold(image))
