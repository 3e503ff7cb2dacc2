"""Simulated movies of nuclei, with exact truth: what tests, benchmarks and the demo run on.

Read in the order in which a movie comes to be: :mod:`parameters` and :mod:`presets` say what is wanted,
:mod:`fields` and :mod:`nucleus` say what one nucleus looks like, :mod:`population` lets many of them live,
:mod:`rendering` draws them, :mod:`microscope` looks at them, :mod:`truth` keeps what is true of them,
:mod:`bigdataviewer` writes the pictures and :mod:`movie` does it all, timepoint by timepoint.
"""

from elephant.simulation.bigdataviewer import BigDataViewerWriter
from elephant.simulation.movie import Frame, MoviePaths, simulate, write_movie
from elephant.simulation.parameters import SimulationParameters
from elephant.simulation.presets import PRESETS, preset
from elephant.simulation.truth import TrueNucleus, Truth, read_truth, write_truth

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
