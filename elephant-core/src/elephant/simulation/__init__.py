"""Simulated movies of nuclei, with exact truth: what tests, benchmarks and the demo run on.

In the order in which a movie is made: :mod:`parameters` says what is wanted, :mod:`nucleus` what one nucleus looks
like, :mod:`population` lets many of them live, :mod:`microscope` draws and records them, :mod:`bigdataviewer` writes
the images, and :mod:`movie` does it all, timepoint by timepoint, and keeps the truth.
"""

from elephant.simulation.bigdataviewer import BigDataViewerWriter
from elephant.simulation.movie import (
    Frame,
    MoviePaths,
    TrueNucleus,
    Truth,
    read_truth,
    simulate,
    write_movie,
    write_truth,
)
from elephant.simulation.parameters import PRESETS, SimulationParameters, preset

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
