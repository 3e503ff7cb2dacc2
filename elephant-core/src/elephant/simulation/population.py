"""Many nuclei that share a volume: each is born, grows, moves and divides, and they make way for one another."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import expm
from scipy.spatial import cKDTree

from elephant.simulation.nucleus import Body, RandomField
from elephant.simulation.parameters import SimulationParameters
from elephant.types import FloatArray

LOBES = 7
WOBBLE = 0.35  # radians per timepoint by which dents and bulges come and go
NEWBORN_GLOW = 0.5  # extra brightness of a chromatin that is still condensed
MOTHER_GLOW = 0.8
PYKNOTIC_SIZE, PYKNOTIC_GLOW = 0.6, 2.0  # of a dying nucleus, as a share of what it was
LIFE, SAMPLE, DETAIL = 1, 2, 5  # ids of independent random streams


@dataclass(eq=False)
class Nucleus:
    """A nucleus from its birth to its division. Axes are (Z), Y, X; lengths physical, times in timepoints.

    Attributes
    ----------
    id, parent
        Its id and that of its mother; the mother is None for the first timepoint's nuclei.
    position, velocity
        (n,), relative to the sample, which itself may drift.
    axes
        Directions of its semi-axes as columns, (n, n).
    spin
        Skew-symmetric generator of its rotation per timepoint, (n, n).
    semi_axes
        Lengths when fully grown, longest first, (n,).
    lobes, depths, phases
        Its dents and bulges, (L, n), (L,), (L,), as in :class:`elephant.simulation.nucleus.Body`.
    chromatin, brightness
        Its texture, and its mean signal in counts.
    age, lifetime
        Time since birth, and the age at which it divides.
    """

    id: int
    parent: int | None
    position: FloatArray
    velocity: FloatArray
    axes: FloatArray
    spin: FloatArray
    semi_axes: FloatArray
    lobes: FloatArray
    depths: FloatArray
    phases: FloatArray
    chromatin: RandomField
    brightness: float
    age: float
    lifetime: float

    def condensed(self, parameters: SimulationParameters) -> float:
        """Return the progress of mitosis, 0 to 1."""
        return float(np.clip(1 - (self.lifetime - self.age) / parameters.mitosis, 0, 1))

    def grown(self, parameters: SimulationParameters) -> float:
        """Return its current size as a fraction of its full size."""
        if self.parent is None:
            return 1.0
        return float(1 - (1 - parameters.birth_size) * np.exp(-self.age / parameters.growth))

    def frame(self, parameters: SimulationParameters) -> FloatArray:
        """Return its current semi-axes as columns, (n, n): a dividing mother is long and thin."""
        mitosis = self.condensed(parameters)
        stretch = np.full(len(self.semi_axes), 1 - 0.18 * mitosis)
        stretch[0] = 1 + 0.3 * mitosis
        stretch[-1] *= 1 - 0.55 * parameters.metaphase * mitosis
        frame: FloatArray = self.axes * (self.semi_axes * stretch * self.grown(parameters))
        if self.is_dying(parameters):
            frame = frame * PYKNOTIC_SIZE
        return frame if parameters.height == 1 else frame * np.array(parameters.stretch)[:, None]

    def is_dying(self, parameters: SimulationParameters) -> bool:
        """Return whether it is small and bright."""
        return bool(parameters.dying and self._detail(parameters, 0).uniform() < parameters.dying)

    def is_stained(self, parameters: SimulationParameters) -> bool:
        """Return whether it is seen."""
        return not parameters.unstained or bool(self._detail(parameters, 1).uniform() >= parameters.unstained)

    def _detail(self, parameters: SimulationParameters, what: int) -> np.random.Generator:
        """Return random numbers of its own, so that details change nothing else in the movie."""
        return np.random.default_rng([parameters.seed, DETAIL, self.id, what])

    def _nucleoli(self, parameters: SimulationParameters) -> FloatArray | None:
        if not parameters.nucleoli:
            return None
        rng = self._detail(parameters, 2)
        n_dims = len(self.semi_axes)
        return rng.uniform(-0.5, 0.5, size=(int(rng.poisson(parameters.nucleoli)), n_dims))

    def body(self, parameters: SimulationParameters, offset: FloatArray) -> Body:
        """Return its current appearance, with the sample shifted by `offset`, (n,)."""
        mitosis = self.condensed(parameters)
        newborn = 0.0 if self.parent is None else float(np.exp(-self.age / 1.5))
        glow = 1 + MOTHER_GLOW * mitosis + NEWBORN_GLOW * newborn
        dying = self.is_dying(parameters)
        return Body(
            centre=self.position + offset,
            frame=self.frame(parameters),
            lobes=self.lobes,
            depths=self.depths * np.cos(self.phases + WOBBLE * self.age),
            chromatin=self.chromatin,
            contrast=0.0 if dying else parameters.texture * (1 - 0.6 * mitosis),
            brightness=self.brightness * glow * (PYKNOTIC_GLOW if dying else 1),
            hollow=0.0 if dying else parameters.hollow * (1 - mitosis),
            nucleoli=None if dying else self._nucleoli(parameters),
        )

    def move(self, parameters: SimulationParameters, current: FloatArray, rng: np.random.Generator) -> None:
        """Advance by one timepoint in a tissue that flows with `current`, (n,)."""
        memory = parameters.persistence
        self.velocity = drifted(self.velocity, memory, parameters.speed, rng)
        self.spin = memory * self.spin + np.sqrt(1 - memory**2) * random_spin(parameters, rng)
        self.position = self.position + self.velocity + current
        self.axes = expm(self.spin) @ self.axes
        self.age += 1

    def divide(self, ids: tuple[int, int], lifetimes: tuple[float, float], rng: np.random.Generator) -> list["Nucleus"]:
        """Return its two daughters: small, side by side on its long axis, and flattened along it."""
        away = self.axes[:, 0]
        axes = np.roll(self.axes, -1, axis=1)
        daughters = []
        for side, name, lifetime in zip((-1, 1), ids, lifetimes, strict=True):
            daughters.append(
                replace(
                    self,
                    id=name,
                    parent=self.id,
                    position=self.position + side * 0.75 * self.semi_axes[-1] * away,
                    velocity=self.velocity + side * 0.3 * away,
                    axes=axes,
                    semi_axes=self.semi_axes * 0.95,
                    phases=rng.uniform(0, 2 * np.pi, size=LOBES),
                    chromatin=self.chromatin.rephased(rng),
                    age=0.0,
                    lifetime=lifetime,
                )
            )
        return daughters


def drifted(velocity: FloatArray, memory: float, speed: float, rng: np.random.Generator) -> FloatArray:
    """Return the next velocity of a persistent random walk whose speed has the root mean square `speed`."""
    n_dims = len(velocity)
    kick = rng.normal(size=n_dims) * speed / np.sqrt(n_dims)
    following: FloatArray = memory * velocity + np.sqrt(1 - memory**2) * kick
    return following


def random_spin(parameters: SimulationParameters, rng: np.random.Generator) -> FloatArray:
    """Return a random generator of rotations of about `turning` degrees, (n, n)."""
    n_dims = parameters.n_dims
    raw = np.triu(rng.normal(size=(n_dims, n_dims)), 1) * np.deg2rad(parameters.turning)
    if n_dims == 3:
        raw /= np.sqrt(3)  # three planes to turn in
    skew: FloatArray = raw - raw.T
    return skew


def new_nucleus(
    name: int,
    position: FloatArray,
    age_share: float,
    parameters: SimulationParameters,
    rng: np.random.Generator,
) -> Nucleus:
    """Return a nucleus of the first timepoint at a fraction `age_share` (0 to 1) of its lifetime."""
    n_dims = parameters.n_dims
    axes, _ = np.linalg.qr(rng.normal(size=(n_dims, n_dims)))
    lobes = rng.normal(size=(LOBES, n_dims))
    lifetime = new_lifetime(parameters, rng)
    return Nucleus(
        id=name,
        parent=None,
        position=position,
        velocity=rng.normal(size=n_dims) * parameters.speed / np.sqrt(n_dims),
        axes=axes,
        spin=random_spin(parameters, rng),
        semi_axes=new_semi_axes(parameters, rng),
        lobes=lobes / np.linalg.norm(lobes, axis=1, keepdims=True),
        depths=rng.normal(size=LOBES) * parameters.deformation,
        phases=rng.uniform(0, 2 * np.pi, size=LOBES),
        chromatin=RandomField.draw(rng, n_dims, 2 * parameters.grain),
        brightness=parameters.brightness * float(np.exp(rng.normal() * parameters.brightness_spread)),
        age=age_share * lifetime,
        lifetime=lifetime,
    )


def new_lifetime(parameters: SimulationParameters, rng: np.random.Generator) -> float:
    """Return the age at which a new nucleus will divide, timepoints."""
    return float(parameters.cycle * rng.uniform(0.85, 1.15))


def new_semi_axes(parameters: SimulationParameters, rng: np.random.Generator) -> FloatArray:
    """Return semi-axes, longest first, (n,): a random size, and a random ratio up to `elongation`."""
    n_dims = parameters.n_dims
    shares = np.sort(rng.uniform(0, 1, size=n_dims))[::-1]
    ratios = parameters.elongation ** (shares - shares.mean())
    size = parameters.radius * np.exp(np.clip(rng.normal(), -2, 2) * parameters.radius_spread)
    semi_axes: FloatArray = ratios * size
    return semi_axes


START_ROUNDS = 200  # of pushing nuclei apart after a random start
ROUNDS = 40
BESIDE_TRIES = 20


class Population:
    """The nuclei of a movie at the current timepoint.

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

    def _found(self) -> list[Nucleus]:
        """Return the nuclei of the first timepoint, evenly spread over all ages, so that some divide in any movie."""
        parameters, rng = self._parameters, self._rng
        ages = (rng.permutation(parameters.nuclei) + rng.uniform(size=parameters.nuclei)) / parameters.nuclei
        positions: list[FloatArray] = []
        for _ in ages:
            positions.append(_start(positions, parameters, rng))
        return [
            new_nucleus(name, position, float(age), parameters, rng)
            for name, (position, age) in enumerate(zip(positions, ages, strict=True))
        ]

    def _divide(self) -> None:
        parameters = self._parameters
        kept: list[Nucleus] = []
        born: list[Nucleus] = []
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
    """Return a position for one more nucleus, (n,): anywhere, or beside one of the `others`."""
    low, high = walls(parameters)
    if others and rng.uniform() < parameters.clustering:
        for _ in range(BESIDE_TRIES):
            away = rng.normal(size=parameters.n_dims)
            neighbour = others[int(rng.integers(len(others)))]
            step = 2 * parameters.radius * away / np.linalg.norm(away)
            position: FloatArray = neighbour + step * np.array(parameters.stretch)
            if np.all(position >= low) and np.all(position <= high):
                return position
    return rng.uniform(low, high)


def walls(parameters: SimulationParameters) -> tuple[FloatArray, FloatArray]:
    """Return the lowest and the highest position of a centre, physical, (n,) each."""
    extent = np.array(parameters.extent) - np.array(parameters.edges)  # voxel i lies at i times its edge
    margin = np.minimum(1.1 * parameters.radius * np.array(parameters.stretch), 0.45 * extent)
    return margin, extent - margin


def make_way(cells: list[Nucleus], parameters: SimulationParameters, rounds: int) -> None:
    """Push overlapping nuclei apart, and back into the volume, until none overlap or for `rounds` rounds."""
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
    """Return the displacement of each nucleus, (N, n): half of its overlap with each neighbour.

    The extent of an ellipsoid with semi-axes F towards u is |F^T u|: a plane perpendicular to u at that distance
    touches it, so two ellipsoids whose distance is the sum of their extents cannot overlap.
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
