"""An ellipsoid (an ellipse in 2D) in physical space."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from elephant.errors import InvalidInputError
from elephant.types import FloatArray, Link, Spot


@dataclass(frozen=True, slots=True, eq=False)
class Ellipsoid:
    """A solid ellipsoid over the last n axes of an image.

    Attributes
    ----------
    centre
        Physical position, (n,), (Z), Y, X.
    radii
        Semi-axes in physical units, (n,), ascending.
    axes
        Unit vectors of the semi-axes as rows, (n, n), each (Z), Y, X.
    """

    centre: FloatArray
    radii: FloatArray
    axes: FloatArray

    @classmethod
    def from_spot(cls, spot: Spot | Link, n_dims: int) -> Self:
        """Decompose the covariance of a spot, or of a link's later one, keeping its last `n_dims` axes.

        Raises
        ------
        InvalidInputError
            The covariance is not positive definite over these axes.
        """
        return cls.from_spots([spot], n_dims)[0]

    @classmethod
    def from_spots(cls, spots: Sequence[Spot | Link], n_dims: int) -> list[Self]:
        """Decompose the covariances of many at once, as :meth:`from_spot` does.

        Raises
        ------
        InvalidInputError
            A covariance is not positive definite over these axes.
        """
        if not spots:
            return []
        covariances = np.stack([spot.covariance[3 - n_dims :, 3 - n_dims :] for spot in spots])
        eigenvalues, eigenvectors = np.linalg.eigh(covariances / 2 + covariances.swapaxes(1, 2) / 2)
        for spot, values in zip(spots, eigenvalues, strict=True):
            if not 0 < values[0] <= values[-1] < np.inf:  # nor where numbers end
                raise InvalidInputError(
                    f"the spot at timepoint {spot.t}, position {spot.pos[::-1].tolist()} (X, Y, Z), needs a positive "
                    f"definite covariance, but its eigenvalues are {values.tolist()}: delete it and draw it again"
                )
        radii, axes = np.sqrt(eigenvalues), eigenvectors.swapaxes(1, 2)
        return [cls(spot.pos[3 - n_dims :], *parts) for spot, *parts in zip(spots, radii, axes, strict=True)]

    def scaled(self, factor: float) -> "Ellipsoid":
        """Return the ellipsoid with its semi-axes times `factor`."""
        return Ellipsoid(self.centre, self.radii * factor, self.axes)

    @property
    def reach(self) -> FloatArray:
        """Half the size of the axis-parallel box around the box of half-widths `radii`, (n,), physical."""
        reach: FloatArray = np.abs(self.axes).T @ self.radii
        return reach
