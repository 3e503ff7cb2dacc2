"""Student's t distribution, whose tails allow for the links that differ from most, and robust scales."""

import numpy as np
from scipy.special import fdtri, gammaln

from elephant.types import FloatArray

FREEDOM = 4.0  # degrees: motions of nuclei have heavier tails than a normal distribution
STRICT_FREEDOM = 8.0
_MAD = 1.4826  # standard deviation over the median absolute deviation, of a normal distribution


def log_student(squares: FloatArray, n_dims: int, freedom: float = FREEDOM) -> FloatArray:
    """Return the log density of the multivariate t distribution of unit scale.

    Parameters
    ----------
    squares
        Squared distances from the middle, in scales.
    """
    constant = gammaln((freedom + n_dims) / 2) - gammaln(freedom / 2) - n_dims / 2 * np.log(freedom * np.pi)
    density: FloatArray = constant - (freedom + n_dims) / 2 * np.log1p(squares / freedom)
    return density


def scale_of(squares: FloatArray, n_dims: int) -> float:
    """Return the scale of a t distribution from squared distances, by their median."""
    # Squares over their dimensions are of an F distribution. scipy.stats would take half a second to import.
    median_of_f = fdtri(n_dims, FREEDOM, 0.5)
    return float(np.sqrt(np.median(squares) / (n_dims * median_of_f)))


def robust_spread(values: FloatArray, least: float) -> float:
    """Return the standard deviation of most of some values, at least `least`."""
    if not len(values):
        return least
    return max(_MAD * float(np.median(np.abs(values - np.median(values)))), least)
