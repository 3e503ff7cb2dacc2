"""A whole simulated movie, one timepoint after the other, in memory or as files."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from elephant.progress import NoReporter, ProgressReporter
from elephant.simulation.bigdataviewer import BigDataViewerWriter
from elephant.simulation.microscope import Microscope
from elephant.simulation.nucleus import Body
from elephant.simulation.parameters import SimulationParameters
from elephant.simulation.population import Population
from elephant.simulation.rendering import draw
from elephant.simulation.truth import TrueNucleus, Truth, write_truth
from elephant.types import Spot


@dataclass(frozen=True, eq=False)
class Frame:
    """One timepoint.

    Attributes
    ----------
    t
        Which, from 0.
    image
        What the camera recorded, (Z, Y, X), uint16; Z is 1 in 2D.
    labels
        1 plus the index in `nuclei` of the nucleus that fills a voxel, 0 between them, (Z, Y, X), int32.
    nuclei
        Those whose centre lies in the image. Others are drawn as far as they reach into it.
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
    hidden = []
    for cell in population.cells:
        body = cell.body(parameters, population.offset)
        spot = _spot(t, cell.id, body)
        if _in_view(spot, parameters):
            bodies.append(body)
            nuclei.append(TrueNucleus(spot, cell.parent if cell.age == 0 else None))
        else:
            hidden.append(body)
    drawing = draw(bodies + hidden, parameters.plane, parameters.edges)
    image = microscope.record(drawing.light, population.offset, t)
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
