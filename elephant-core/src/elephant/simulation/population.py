"""Many nuclei that share a volume: they start in clusters, move with their tissue, make way and divide."""

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from elephant.simulation.cell import Cell, drifted, new_cell, new_lifetime
from elephant.simulation.fields import RandomField
from elephant.simulation.parameters import SimulationParameters
from elephant.types import FloatArray

START_ROUNDS = 200  # of making way, until a random start has settled
ROUNDS = 40
BESIDE_TRIES = 20
LIFE, SAMPLE = 1, 2  # names of independent random streams


class Population:
    """The nuclei of a movie at its present timepoint.

    Attributes
    ----------
    cells
        All of them, in the order of their ids.
    offset
        How far the sample has drifted since the start, physical, (n,).
    """

    def __init__(self, parameters: SimulationParameters) -> None:
        self._parameters = parameters
        self._rng = np.random.default_rng([parameters.seed, LIFE])
        self._sample_rng = np.random.default_rng([parameters.seed, SAMPLE])
        wavelength = 1.5 * max(parameters.extent)
        self._currents = [RandomField.draw(self._rng, parameters.n_dims, wavelength, 6) for _ in parameters.extent]
        self.offset: FloatArray = np.zeros(parameters.n_dims)
        self._sample_velocity: FloatArray = np.zeros(parameters.n_dims)
        self.cells = self._found()
        self._next_id = len(self.cells)
        make_way(self.cells, parameters, START_ROUNDS)

    def advance(self) -> None:
        """Go to the next timepoint."""
        parameters = self._parameters
        positions = np.stack([cell.position for cell in self.cells])
        speed = parameters.flow / np.sqrt(parameters.n_dims)
        currents = speed * np.stack([field.at(positions) for field in self._currents], axis=1)
        for cell, current in zip(self.cells, currents, strict=True):
            cell.move(parameters, current, self._rng)
        self._divide()
        make_way(self.cells, parameters, ROUNDS)
        memory = parameters.persistence
        self._sample_velocity = drifted(self._sample_velocity, memory, parameters.drift, self._sample_rng)
        self.offset = self.offset + self._sample_velocity

    def _found(self) -> list[Cell]:
        """Return the nuclei of the first timepoint, of all ages evenly, so that some divide in any movie."""
        parameters, rng = self._parameters, self._rng
        ages = (rng.permutation(parameters.nuclei) + rng.uniform(size=parameters.nuclei)) / parameters.nuclei
        positions: list[FloatArray] = []
        for _ in ages:
            positions.append(_start(positions, parameters, rng))
        return [
            new_cell(name, position, float(age), parameters, rng)
            for name, (position, age) in enumerate(zip(positions, ages, strict=True))
        ]

    def _divide(self) -> None:
        parameters = self._parameters
        kept: list[Cell] = []
        born: list[Cell] = []
        for cell in self.cells:
            if cell.age < cell.lifetime or len(self.cells) + len(born) // 2 >= parameters.max_nuclei:
                kept.append(cell)
                continue
            ids = (self._next_id, self._next_id + 1)
            lifetimes = (new_lifetime(parameters, self._rng), new_lifetime(parameters, self._rng))
            born += cell.divide(ids, lifetimes, self._rng)
            self._next_id += 2
        self.cells = kept + born


def _start(others: list[FloatArray], parameters: SimulationParameters, rng: np.random.Generator) -> FloatArray:
    """Return where to put one more nucleus, (n,): anywhere, or beside one of the `others`."""
    low, high = walls(parameters)
    if others and rng.uniform() < parameters.clustering:
        for _ in range(BESIDE_TRIES):
            away = rng.normal(size=parameters.n_dims)
            neighbour = others[int(rng.integers(len(others)))]
            position: FloatArray = neighbour + 2 * parameters.radius * away / np.linalg.norm(away)
            if np.all(position >= low) and np.all(position <= high):
                return position
    return rng.uniform(low, high)


def walls(parameters: SimulationParameters) -> tuple[FloatArray, FloatArray]:
    """Return the lowest and the highest position of a centre, physical, (n,) each."""
    extent = np.array(parameters.extent) - np.array(parameters.edges)  # voxel i lies at i times its edge
    margin = np.minimum(1.1 * parameters.radius, 0.45 * extent)
    return margin, extent - margin


def make_way(cells: list[Cell], parameters: SimulationParameters, rounds: int) -> None:
    """Push nuclei apart that overlap, and back into the volume, until none does or `rounds` are over."""
    frames = np.stack([cell.frame(parameters) for cell in cells])
    positions = np.stack([cell.position for cell in cells])
    low, high = walls(parameters)
    farthest = 2 * float(np.linalg.norm(frames, axis=2).max()) * parameters.packing
    for _ in range(rounds):
        pairs = cKDTree(positions).query_pairs(farthest, output_type="ndarray")
        push = _push(positions, frames, pairs[np.lexsort(pairs.T)], parameters.packing)
        if not push.any():
            break
        positions = np.clip(positions + push, low, high)
    for cell, position in zip(cells, positions, strict=True):
        cell.position = np.clip(position, low, high)


def _push(positions: FloatArray, frames: FloatArray, pairs: NDArray[np.intp], packing: float) -> FloatArray:
    """Return by how much each nucleus gives way, (N, n): half of what it overlaps with each neighbour.

    The reach of an ellipsoid of semi-axes F towards u is |F^T u|: a plane across u at that distance touches
    it, so that two whose distance is the sum of their reaches cannot overlap.
    """
    push = np.zeros_like(positions)
    first, second = pairs.T
    away = positions[second] - positions[first]
    distance = np.maximum(np.linalg.norm(away, axis=1), 1e-6)
    away /= distance[:, None]
    reach = sum(np.linalg.norm(np.einsum("pij,pi->pj", frames[side], away), axis=1) for side in (first, second))
    overlap = np.clip(packing * reach - distance, 0, None)
    overlap[overlap < 1e-3 * distance] = 0
    step = 0.5 * overlap[:, None] * away
    np.add.at(push, first, -step)
    np.add.at(push, second, step)
    return push
