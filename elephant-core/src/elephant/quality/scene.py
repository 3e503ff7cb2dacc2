"""What a network saw and said of a timepoint, and values around places in it."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from elephant.types import DetectedSpot, FloatArray, Spot

Values = NDArray[np.floating]


@dataclass(frozen=True, slots=True, eq=False)
class Sites:
    """Places in a timepoint, each with the extent of a nucleus.

    Attributes
    ----------
    centres
        Physical, (N, n), (Z), Y, X.
    covariances
        Of their ellipsoids, (N, n, n).
    """

    centres: FloatArray
    covariances: FloatArray

    @classmethod
    def of(cls, spots: Sequence[DetectedSpot | Spot], n_dims: int) -> "Sites":
        """Return those of spots."""
        centres = np.array([spot.pos for spot in spots]).reshape(-1, 3)[:, 3 - n_dims :]
        covariances = np.array([spot.covariance for spot in spots]).reshape(-1, 3, 3)
        return cls(centres, covariances[:, 3 - n_dims :, 3 - n_dims :])

    def __len__(self) -> int:
        return len(self.centres)

    @property
    def n_dims(self) -> int:
        """3 or 2."""
        return int(self.centres.shape[1])

    def radii(self) -> FloatArray:
        """Return the semi-axes of each, physical, (N, n), ascending."""
        semi_axes: FloatArray = np.sqrt(np.maximum(np.linalg.eigvalsh(self.covariances), 1e-12))
        return semi_axes

    def mean_radii(self) -> FloatArray:
        """Return the radius of a ball (disk) as large as each, physical, (N,)."""
        mean: FloatArray = np.exp(np.log(self.radii()).mean(axis=1))
        return mean

    def take(self, which: slice | NDArray[np.bool_] | NDArray[np.intp]) -> "Sites":
        """Return some of them."""
        return Sites(self.centres[which], self.covariances[which])


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """A timepoint, or a box of it, as a network saw it, and what the network said.

    Attributes
    ----------
    image
        Normalised intensities, (Z), Y, X.
    centre
        Centre probability, of the same shape.
    scale
        Physical size of a voxel of these arrays, (Z), Y, X.
    origin
        Physical position of the middle of their first voxel, (Z), Y, X.
    border
        Border probability, where it is at hand.
    """

    image: Values
    centre: Values
    scale: FloatArray
    origin: FloatArray
    border: Values | None = None

    @property
    def n_dims(self) -> int:
        """3 or 2."""
        return self.centre.ndim

    def around(self, values: Values, sites: Sites, factor: float) -> FloatArray:
        """Return values on the surfaces of the ellipsoids of places, scaled by a factor.

        Parameters
        ----------
        values
            One of the arrays of the scene.
        factor
            0 for the centre alone.

        Returns
        -------
        numpy.ndarray
            (N, directions), or (N, 1) at the centres; beyond the edge those of the edge.
        """
        index = self._voxels(sites, factor)
        return np.asarray(values[tuple(np.moveaxis(index, -1, 0))], dtype=np.float64)

    def room(self, sites: Sites) -> FloatArray:
        """Return how far each centre is from the nearest edge of the box, in its own radii along that axis, (N,)."""
        along = np.sqrt(np.diagonal(sites.covariances, axis1=1, axis2=2))
        end = self.origin + (np.array(self.centre.shape) - 1) * self.scale
        edge = np.minimum(sites.centres - self.origin, end - sites.centres) + self.scale / 2
        room: FloatArray = (edge / np.maximum(along, 1e-9)).min(axis=1, initial=np.inf)
        return room

    def _voxels(self, sites: Sites, factor: float) -> NDArray[np.intp]:
        n = self.n_dims
        if factor == 0:
            places = sites.centres[:, None]
        else:
            shape = np.linalg.cholesky(sites.covariances + 1e-9 * np.eye(n) * self.scale**2)
            places = sites.centres[:, None] + factor * np.einsum("nij,kj->nki", shape, DIRECTIONS[n])
        index = np.rint((places - self.origin) / self.scale)
        return np.clip(index, 0, np.array(self.centre.shape) - 1).astype(np.intp)


def _directions(n_dims: int) -> FloatArray:
    """Return unit vectors to the faces and corners of a cube (square), (14 or 8, n)."""
    corners = np.array(list(product((-1.0, 1.0), repeat=n_dims)))
    return np.concatenate([np.eye(n_dims), -np.eye(n_dims), corners / np.sqrt(n_dims)])


DIRECTIONS = {n_dims: _directions(n_dims) for n_dims in (2, 3)}
