"""The life of one nucleus: it is born small, grows, moves, turns, condenses and divides."""

from dataclasses import dataclass, replace

import numpy as np
from scipy.linalg import expm

from elephant.simulation.fields import RandomField
from elephant.simulation.nucleus import Body
from elephant.simulation.parameters import SimulationParameters
from elephant.types import FloatArray

LOBES = 7
WOBBLE = 0.35  # radians per timepoint by which dents and bulges come and go
NEWBORN_GLOW = 0.5  # extra brightness of a chromatin that is still condensed
MOTHER_GLOW = 0.8


@dataclass(eq=False)
class Cell:
    """A nucleus from its birth to its division. Axes are (Z), Y, X; lengths physical, times in timepoints.

    Attributes
    ----------
    id, parent
        Its name and that of its mother; None for those that were there from the start.
    position, velocity
        (n,), in the sample, which itself may drift.
    axes
        Directions of its semi-axes as columns, (n, n).
    spin
        Skew-symmetric generator of its turning per timepoint, (n, n).
    semi_axes
        Fully grown, longest first, (n,).
    lobes, depths, phases
        Its dents and bulges, (L, n), (L,), (L,); see :class:`elephant.simulation.nucleus.Body`.
    chromatin, brightness
        Its looks.
    age, lifetime
        Since birth, and the age at which it divides.
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
        """Return how far mitosis has come, 0 to 1."""
        return float(np.clip(1 - (self.lifetime - self.age) / parameters.mitosis, 0, 1))

    def grown(self, parameters: SimulationParameters) -> float:
        """Return its present size as a share of its full size."""
        if self.parent is None:
            return 1.0
        return float(1 - (1 - parameters.birth_size) * np.exp(-self.age / parameters.growth))

    def frame(self, parameters: SimulationParameters) -> FloatArray:
        """Return its present semi-axes as columns, (n, n): a dividing mother is long and thin."""
        mitosis = self.condensed(parameters)
        stretch = np.full(len(self.semi_axes), 1 - 0.18 * mitosis)
        stretch[0] = 1 + 0.3 * mitosis
        frame: FloatArray = self.axes * (self.semi_axes * stretch * self.grown(parameters))
        return frame

    def body(self, parameters: SimulationParameters, offset: FloatArray) -> Body:
        """Return what it looks like now, with the sample shifted by `offset`, (n,)."""
        mitosis = self.condensed(parameters)
        newborn = 0.0 if self.parent is None else float(np.exp(-self.age / 1.5))
        return Body(
            centre=self.position + offset,
            frame=self.frame(parameters),
            lobes=self.lobes,
            depths=self.depths * np.cos(self.phases + WOBBLE * self.age),
            chromatin=self.chromatin,
            contrast=parameters.texture * (1 - 0.6 * mitosis),
            brightness=self.brightness * (1 + MOTHER_GLOW * mitosis + NEWBORN_GLOW * newborn),
        )

    def move(self, parameters: SimulationParameters, current: FloatArray, rng: np.random.Generator) -> None:
        """Live through one timepoint in a tissue that flows with `current`, (n,)."""
        memory = parameters.persistence
        self.velocity = drifted(self.velocity, memory, parameters.speed, rng)
        self.spin = memory * self.spin + np.sqrt(1 - memory**2) * random_spin(parameters, rng)
        self.position = self.position + self.velocity + current
        self.axes = expm(self.spin) @ self.axes
        self.age += 1

    def divide(self, ids: tuple[int, int], lifetimes: tuple[float, float], rng: np.random.Generator) -> list["Cell"]:
        """Return its two daughters: small, close together on its long axis, flat across it."""
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


def new_cell(
    name: int,
    position: FloatArray,
    age_share: float,
    parameters: SimulationParameters,
    rng: np.random.Generator,
) -> Cell:
    """Return a nucleus that is there from the start, `age_share` (0 to 1) of its life behind it."""
    n_dims = parameters.n_dims
    axes, _ = np.linalg.qr(rng.normal(size=(n_dims, n_dims)))
    lobes = rng.normal(size=(LOBES, n_dims))
    lifetime = new_lifetime(parameters, rng)
    return Cell(
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
