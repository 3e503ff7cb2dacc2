"""Smooth random fields: chromatin inside a nucleus, common motion of a tissue, its uneven glow."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from elephant.types import FloatArray


@dataclass(frozen=True, eq=False)
class RandomField:
    """A sum of plane waves of random direction and phase; mean 0, variance 1.

    Unlike noise on a grid it has a value at any point, so that it can turn, move and be magnified with what
    it belongs to.

    Attributes
    ----------
    wave_vectors
        Directions times angular wave numbers, (W, n).
    phases
        Radians, (W,).
    """

    wave_vectors: FloatArray
    phases: FloatArray

    @classmethod
    def draw(cls, rng: np.random.Generator, n_dims: int, wavelength: float, waves: int = 24) -> Self:
        """Draw a field whose grains measure about half of `wavelength`."""
        directions = rng.normal(size=(waves, n_dims))
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        numbers = 2 * np.pi / wavelength * rng.uniform(0.6, 1.4, size=(waves, 1))
        return cls(directions * numbers, rng.uniform(0, 2 * np.pi, size=waves))

    def rephased(self, rng: np.random.Generator) -> Self:
        """Return a field of the same grain, its waves shifted at random."""
        return type(self)(self.wave_vectors, rng.uniform(0, 2 * np.pi, size=len(self.phases)))

    def at(self, points: NDArray[np.floating]) -> FloatArray:
        """Return the field's values at `points`, (..., n)."""
        total = np.zeros(points.shape[:-1])
        for vector, phase in zip(self.wave_vectors, self.phases, strict=True):
            total += np.cos(points @ vector + phase)
        total *= np.sqrt(2 / len(self.phases))
        return total
