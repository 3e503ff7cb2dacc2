"""One nucleus: its shape at a moment, its chromatin, and the exact moments of that shape.

In its own coordinates a nucleus is a ball of radius 1 with dents and bulges: a point in the direction u
lies inside where its radius is below ``1 + sum_k depth_k (exp(sharpness (u . lobe_k - 1)) - mean)``. A
rotation and three semi-axes take that ball to physical space. Chromatin is a smooth random field.
"""

from dataclasses import dataclass
from functools import cache
from typing import Self

import numpy as np
from numpy.typing import NDArray

from elephant.types import FloatArray


@dataclass(frozen=True, eq=False)
class RandomField:
    """A sum of plane waves of random direction and phase; mean 0, variance 1.

    Unlike noise on a grid it has a value at any point, so it can rotate, move and grow with its object.

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
        """Return a field of the same grain size with random phases."""
        return type(self)(self.wave_vectors, rng.uniform(0, 2 * np.pi, size=len(self.phases)))

    def at(self, points: NDArray[np.floating]) -> FloatArray:
        """Return the field's values at `points`, (..., n)."""
        total = np.zeros(points.shape[:-1])
        for vector, phase in zip(self.wave_vectors, self.phases, strict=True):
            total += np.cos(points @ vector + phase)
        total *= np.sqrt(2 / len(self.phases))
        return total


SHARPNESS = 3.0  # of a dent: about 45 degrees wide
NUCLEOLUS = 0.3  # radius, as a share of that of its nucleus
MEAN_LOBE = 0.2  # approximate mean of a lobe over all directions, subtracted to keep the size


@dataclass(frozen=True, eq=False)
class Body:
    """The shape and appearance of a nucleus at one timepoint. Axes are (Z), Y, X; lengths are physical.

    Attributes
    ----------
    centre
        Position of its own origin, (n,); not quite its centre of mass.
    frame
        Matrix from its own coordinates to physical space, (n, n): the columns are the semi-axes.
    lobes, depths
        Directions of dents and bulges, (L, n), and their depths, (L,).
    chromatin
        Its texture, in its own coordinates.
    contrast
        Standard deviation of the texture over its mean.
    brightness
        Mean signal in counts.
    hollow
        Share of the light that is missing in the middle.
    nucleoli
        Centres of dark nucleoli in its own coordinates, (K, n).
    """

    centre: FloatArray
    frame: FloatArray
    lobes: FloatArray
    depths: FloatArray
    chromatin: RandomField
    contrast: float
    brightness: float
    hollow: float = 0.0
    nucleoli: FloatArray | None = None

    @property
    def reach(self) -> FloatArray:
        """Upper bound of its extent along each axis, (n,)."""
        semi_axes: FloatArray = np.linalg.norm(self.frame, axis=1)
        directions, _ = quadrature(len(self.centre))
        return semi_axes * float(self.surface(directions).max()) * 1.01  # slightly more between two directions

    def surface(self, directions: FloatArray) -> FloatArray:
        """Return the radius of the surface, in its own coordinates, in unit `directions` (..., n)."""
        radius = np.ones(directions.shape[:-1])
        for lobe, depth in zip(self.lobes, self.depths, strict=True):
            radius += depth * (np.exp(SHARPNESS * (directions @ lobe - 1)) - MEAN_LOBE)
        return radius

    def signal(self, own: FloatArray) -> FloatArray:
        """Return the light, in counts, from points in its own coordinates (..., n)."""
        texture = 1 + self.contrast * self.chromatin.at(own)
        light: FloatArray = self.brightness * np.clip(texture, 0.15, None)
        if self.hollow:
            light *= 1 - self.hollow * np.exp(-4 * np.square(own).sum(-1) ** 2)
        for nucleolus in () if self.nucleoli is None else self.nucleoli:
            light *= 1 - 0.8 * np.exp(-np.square(own - nucleolus).sum(-1) / NUCLEOLUS**2)
        return light

    def moments(self) -> tuple[FloatArray, FloatArray]:
        """Return the centre of mass (n,) and the covariance (n, n) of the shape, exact to the quadrature.

        The covariance is that of the ellipsoid with the shape's second central moments, whose surface is the
        one-sigma level set: the moments times n + 2 (5 in space, 4 in the plane). For a star-shaped body they
        are integrals over the directions alone: volume ``r^n / n``, first ``r^(n+1) u / (n+1)``, second
        ``r^(n+2) u u / (n+2)``.
        """
        directions, weights = quadrature(len(self.centre))
        n = directions.shape[1]
        radius = self.surface(directions)
        volume = np.sum(weights * radius**n) / n
        first = (weights * radius ** (n + 1)) @ directions / (n + 1) / volume
        second = (directions.T * (weights * radius ** (n + 2))) @ directions / (n + 2) / volume
        central = second - np.outer(first, first)
        covariance = (n + 2) * self.frame @ central @ self.frame.T
        return self.centre + self.frame @ first, (covariance + covariance.T) / 2


@cache
def quadrature(n_dims: int) -> tuple[FloatArray, FloatArray]:
    """Return directions (D, n) and weights (D,) that integrate smooth functions over circle or sphere."""
    angles = 2 * np.pi * np.arange(96) / 96
    circle = np.stack([np.sin(angles), np.cos(angles)], axis=1)
    if n_dims == 2:
        return circle, np.full(96, 2 * np.pi / 96)
    heights, weights = np.polynomial.legendre.leggauss(32)
    ring = np.sqrt(1 - heights**2)[:, None, None] * circle[None]
    axial = np.broadcast_to(heights[:, None, None], (32, 96, 1))
    directions = np.concatenate([axial, ring], axis=2).reshape(-1, 3)
    return directions, np.repeat(weights * 2 * np.pi / 96, 96)
