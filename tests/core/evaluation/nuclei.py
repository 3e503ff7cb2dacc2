"""Nuclei to compare."""

import numpy as np

from elephant.types import Spot


def spot(z: float, y: float, x: float, covariance: np.ndarray | None = None, t: int = 0, name: int = -1) -> Spot:
    return Spot(t, np.array([z, y, x], float), np.eye(3) if covariance is None else covariance, id=name)


def balls(positions: np.ndarray, radius: float = 1.0, t: int = 0) -> list[Spot]:
    return [Spot(t, position, radius**2 * np.eye(3)) for position in positions]
