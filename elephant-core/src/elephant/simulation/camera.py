"""A camera that is not perfect: faulty pixels, saturation, few bits, and what is done to its images afterwards."""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from elephant.simulation.parameters import SimulationParameters
from elephant.types import FloatArray

FAULTS, LIGHT = 7, 8  # ids of independent random streams
BEYOND = 4.0  # times the brightness of a typical nucleus: what the camera is set up to record


class Camera:
    """Records counts; its faulty pixels are the same in every plane and at every timepoint."""

    def __init__(self, parameters: SimulationParameters) -> None:
        self._parameters = parameters
        rng = np.random.default_rng([parameters.seed, FAULTS])
        chosen = rng.uniform(size=parameters.plane[-2:])
        self._dead = chosen < parameters.dead_pixels
        self._hot = chosen > 1 - parameters.hot_pixels
        self._heat = parameters.brightness * np.exp(rng.normal(0.5, 0.8, size=chosen.shape))

    def light(self, t: int) -> FloatArray | float:
        """Return the factors of the light at a timepoint, one for each plane, (Z, 1, 1), or one for all."""
        parameters = self._parameters
        if not (parameters.flicker or parameters.flash):
            return 1.0
        rng = np.random.default_rng([parameters.seed, LIGHT, t])
        planes = rng.normal(size=(parameters.shape[0], 1, 1)[3 - parameters.n_dims :]) * parameters.flicker
        factors: FloatArray = np.exp(rng.normal() * parameters.flash + planes)
        return factors

    def record(self, counts: FloatArray) -> NDArray[np.uint16]:
        """Return what is stored of the counts, ((Z), Y, X)."""
        parameters = self._parameters
        white = parameters.saturation or parameters.background + BEYOND * parameters.brightness
        if self._dead.any():
            counts = np.where(self._dead, 0, counts)
        if self._hot.any():
            counts = np.where(self._hot, counts + self._heat, counts)
        if parameters.smoothing:
            counts = gaussian_filter(counts, parameters.smoothing)
        if parameters.saturation:
            counts = np.minimum(counts, white)
        if parameters.gamma != 1:
            counts = white * (np.clip(counts, 0, None) / white) ** parameters.gamma
        if parameters.bits < 16:
            counts = np.minimum(counts * ((2**parameters.bits - 1) / white), 2**parameters.bits - 1)
        return np.clip(np.rint(counts), 0, np.iinfo(np.uint16).max).astype(np.uint16)
