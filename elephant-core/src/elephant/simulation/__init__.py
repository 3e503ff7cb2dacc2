"""Simulated movies of nuclei, with exact truth: what tests, benchmarks and the demo run on.

In the order in which a movie is made: :mod:`parameters` says what is wanted, :mod:`nucleus` what one nucleus looks
like, :mod:`population` lets many of them live, :mod:`microscope` draws and records them, :mod:`bigdataviewer` writes
the images, and this module does it all, timepoint by timepoint, and keeps the truth.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elephant.errors import InvalidInputError, NotFoundError
from elephant.progress import NoReporter, ProgressReporter
from elephant.simulation.bigdataviewer import BigDataViewerWriter
from elephant.simulation.microscope import Microscope, draw
from elephant.simulation.nucleus import Body
from elephant.simulation.parameters import PRESETS, SimulationParameters, preset
from elephant.simulation.population import Population
from elephant.types import Shape, Spot

__all__ = [
    "PRESETS",
    "BigDataViewerWriter",
    "Frame",
    "MoviePaths",
    "SimulationParameters",
    "TrueNucleus",
    "Truth",
    "preset",
    "read_truth",
    "simulate",
    "write_movie",
    "write_truth",
]


@dataclass(frozen=True, slots=True)
class TrueNucleus:
    """A nucleus at one timepoint: its ellipsoid and, in its first timepoint, the id of its mother."""

    spot: Spot
    parent: int | None = None


@dataclass(frozen=True, slots=True)
class Truth:
    """The truth of a whole movie.

    Attributes
    ----------
    voxel
        Physical edges of a voxel, Z, Y, X.
    shape
        Size of a timepoint, Z, Y, X; Z is 1 in 2D.
    frames
        The nuclei of each timepoint.
    """

    voxel: tuple[float, ...]
    shape: Shape
    frames: tuple[tuple[TrueNucleus, ...], ...]

    @property
    def is_2d(self) -> bool:
        """Whether the movie has only one plane."""
        return self.shape[0] == 1

    def spots(self, t: int) -> list[Spot]:
        """Return the ellipsoids of timepoint `t`."""
        return [nucleus.spot for nucleus in self.frames[t]]


def write_truth(path: Path, truth: Truth) -> None:
    """Write `truth` to `path` through a temporary file: a reader never sees half a file."""
    content = {
        "voxel": list(truth.voxel),
        "shape": list(truth.shape),
        "frames": [[_to_json(nucleus) for nucleus in frame] for frame in truth.frames],
    }
    beside = path.with_name(path.name + ".partial")
    beside.write_text(json.dumps(content), encoding="utf-8")
    beside.replace(path)


def read_truth(path: Path) -> Truth:
    """Read a truth from `path`.

    Raises
    ------
    NotFoundError
        There is no such file.
    InvalidInputError
        It is not a truth: it is not JSON, a key is missing, or a value is not a number.
    """
    if not path.is_file():
        raise NotFoundError(f"there is no truth at {path}: give the movie's .truth.json")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        voxel = tuple(float(edge) for edge in content["voxel"])
        shape = tuple(int(size) for size in content["shape"])
        frames = tuple(tuple(_from_json(item) for item in frame) for frame in content["frames"])
    except (ValueError, TypeError, KeyError) as error:
        raise InvalidInputError(f"expected {path} to have voxel, shape and frames: {error!r}") from error
    if len(voxel) != 3 or len(shape) not in (2, 3):
        raise InvalidInputError(f"expected {path} to have a voxel of 3 and a shape of 3 or 2, got {voxel}, {shape}")
    return Truth(voxel, (1,) * (3 - len(shape)) + shape, frames)


def _to_json(nucleus: TrueNucleus) -> dict[str, Any]:
    spot = nucleus.spot
    return {
        "t": spot.t,
        "id": spot.id,
        "parent": nucleus.parent,
        "pos": spot.pos[::-1].tolist(),
        "covariance": spot.covariance[::-1, ::-1].ravel().tolist(),
    }


def _from_json(item: dict[str, Any]) -> TrueNucleus:
    pos = np.array(item["pos"], dtype=np.float64)[::-1]
    covariance = np.array(item["covariance"], dtype=np.float64).reshape(3, 3)[::-1, ::-1]
    parent = item.get("parent")
    spot = Spot(int(item["t"]), pos, covariance, id=int(item["id"]))
    return TrueNucleus(spot, None if parent is None else int(parent))


@dataclass(frozen=True, eq=False)
class Frame:
    """One timepoint.

    Attributes
    ----------
    t
        Its index, from 0.
    image
        The recorded image, (Z, Y, X), uint16; Z is 1 in 2D.
    labels
        For each voxel, 1 plus the index in `nuclei` of its nucleus, or 0, (Z, Y, X), int32.
    nuclei
        The nuclei whose centres are in the image. Others are drawn as far as they extend into it.
    """

    t: int
    image: NDArray[np.uint16]
    labels: NDArray[np.int32]
    nuclei: tuple[TrueNucleus, ...]


@dataclass(frozen=True, slots=True)
class MoviePaths:
    """The files of a movie."""

    h5: Path
    xml: Path
    truth: Path

    @classmethod
    def beside(cls, h5: Path) -> "MoviePaths":
        """Return the names that belong to ``NAME.h5``: ``NAME.xml`` and ``NAME.truth.json``."""
        return cls(h5, h5.with_suffix(".xml"), h5.with_suffix(".truth.json"))


def simulate(parameters: SimulationParameters) -> Iterator[Frame]:
    """Yield the timepoints of a movie; the same parameters give the same movie, bit by bit."""
    population = Population(parameters)
    microscope = Microscope(parameters)
    for t in range(parameters.timepoints):
        if t:
            population.advance()
        yield _frame(t, population, microscope, parameters)


def write_movie(parameters: SimulationParameters, path: Path, reporter: ProgressReporter | None = None) -> MoviePaths:
    """Simulate a movie into `path` (``.h5``), its ``.xml`` and ``.truth.json``; memory holds one timepoint.

    Raises
    ------
    elephant.errors.InvalidInputError
        The path does not end in ``.h5``.
    """
    paths = MoviePaths.beside(path)
    reporter = reporter or NoReporter()
    frames = []
    with BigDataViewerWriter(path, parameters.shape, parameters.voxel) as writer:
        for frame in simulate(parameters):
            writer.append(frame.image)
            frames.append(frame.nuclei)
            reporter.progress("timepoint", frame.t + 1, parameters.timepoints, nuclei=len(frame.nuclei))
        write_truth(paths.truth, Truth(parameters.voxel, parameters.shape, tuple(frames)))
    return paths


def _frame(t: int, population: Population, microscope: Microscope, parameters: SimulationParameters) -> Frame:
    bodies, nuclei = [], []
    hidden, centres = [], []
    for cell in population.cells:
        body = cell.body(parameters, population.offset)
        centres.append(body.centre)
        if not cell.is_stained(parameters):
            continue
        spot = _spot(t, cell.id, body)
        if _in_view(spot, parameters):
            bodies.append(body)
            nuclei.append(TrueNucleus(spot, cell.parent if cell.age == 0 else None))
        else:
            hidden.append(body)
    drawing = draw(bodies + hidden, parameters.plane, parameters.edges, pressed=parameters.pressed)
    image = microscope.record(drawing.light, np.array(centres), population.offset, t)
    labels = np.where(drawing.labels <= len(nuclei), drawing.labels, 0)
    return Frame(t, image.reshape(parameters.shape), labels.reshape(parameters.shape), tuple(nuclei))


def _spot(t: int, name: int, body: Body) -> Spot:
    """Return the ellipsoid of a nucleus in Z, Y, X: in 2D at Z = 0 and with a variance of 1 along Z."""
    centre, covariance = body.moments()
    n_dims = len(centre)
    pos = np.zeros(3)
    pos[3 - n_dims :] = centre
    whole = np.eye(3)
    whole[3 - n_dims :, 3 - n_dims :] = covariance
    return Spot(t, pos, whole, id=name)


def _in_view(spot: Spot, parameters: SimulationParameters) -> bool:
    index = spot.pos / np.array(parameters.voxel)
    return bool(np.all(index >= -0.5) and np.all(index <= np.array(parameters.shape) - 0.5))
