"""Lineages of simulated nuclei: their places, sizes and intensities, without images."""

from typing import Any

import numpy as np

from benchmarks.lineage_detections import NONE, TrueLineages
from elephant.simulation import SimulationParameters, preset
from elephant.simulation.population import Nucleus, Population


def simulated(seed: int, n_timepoints: int, every: int = 1, **changes: Any) -> TrueLineages:
    """Return the nuclei of a movie like the preset "embryo".

    Parameters
    ----------
    every
        How many timepoints of the simulation lie between two of the movie.
    **changes
        Of the preset.
    """
    parameters = preset("embryo", seed=seed, timepoints=n_timepoints, **changes)
    population = Population(parameters)
    rows: list[tuple[float, ...]] = []
    last: dict[int, int] = {}
    for t in range(n_timepoints * every):
        now = {}
        for nucleus in population.cells:
            parent = last.get(nucleus.id, NONE if nucleus.parent is None else last.get(nucleus.parent, NONE))
            now[nucleus.id] = len(rows)
            place = nucleus.position + population.offset
            rows.append((t, parent, *_seen(nucleus, parameters), *place))
        last = now
        population.advance()
    table = np.array(rows)
    whole = TrueLineages.of(
        table[:, 0].astype(np.int64), table[:, 4:], table[:, 2], table[:, 1].astype(np.intp), table[:, 3]
    )
    return whole.every(every)


def _seen(nucleus: Nucleus, parameters: SimulationParameters) -> tuple[float, float]:
    """Return its radius, and its intensity without what depth does to it."""
    volume = abs(float(np.linalg.det(nucleus.frame(parameters))))
    return volume ** (1 / 3), nucleus.body(parameters, np.zeros(3)).brightness
