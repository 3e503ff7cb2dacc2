"""Looks at a perfect picture through a real microscope: loss of light, blur, haze, glow, photons, camera."""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from elephant.simulation.fields import RandomField
from elephant.simulation.parameters import SimulationParameters
from elephant.types import FloatArray

Image = NDArray[np.float32]
TISSUE, NOISE = 3, 4  # names of independent random streams
HAZE_REACH = 8.0  # times the radius of a nucleus


class Microscope:
    """Admission drawings into what a camera records.

    Light comes in and goes out at Z = 0: the deeper, the darker and the more blurred. 2D movies have no
    depth.
    """

    def __init__(self, parameters: SimulationParameters) -> None:
        self._parameters = parameters
        rng = np.random.default_rng([parameters.seed, TISSUE])
        self._tissue = RandomField.draw(rng, parameters.n_dims, 16 * parameters.radius, 12)
        planes = parameters.shape[0]
        self._depth = (np.arange(planes, dtype=np.float32) / max(planes - 1, 1)).reshape(-1, 1, 1)

    def record(self, light: Image, offset: FloatArray, t: int) -> NDArray[np.uint16]:
        """Return the image of `light` ((Z), Y, X), the sample being shifted by `offset`, at timepoint `t`.

        The noise depends on the seed and `t` alone, never on what was recorded before.
        """
        parameters = self._parameters
        rng = np.random.default_rng([parameters.seed, NOISE, t])
        seen = self._scatter(self._blur(light + self._glow(offset)))
        if parameters.n_dims == 3:
            seen = seen * np.exp(-parameters.attenuation * self._depth)
        photons = rng.poisson((seen + parameters.background) / parameters.gain)
        counts = photons * parameters.gain + rng.normal(scale=parameters.read_noise, size=light.shape)
        return np.clip(np.rint(counts), 0, np.iinfo(np.uint16).max).astype(np.uint16)

    def _glow(self, offset: FloatArray) -> Image:
        """Return the uneven light of the tissue between the nuclei; it drifts with the sample."""
        parameters = self._parameters
        coarse = [np.arange(0, n + 8, 8) for n in parameters.plane]  # far smoother than that
        index = np.stack(np.meshgrid(*coarse, indexing="ij"), axis=-1)
        field = 1 + 0.5 * self._tissue.at(index * np.array(parameters.edges) - offset)
        glow = parameters.autofluorescence * np.clip(field, 0, None)
        for axis, size in enumerate(parameters.plane):
            glow = _stretched(glow, axis, size)
        return glow.astype(np.float32)

    def _blur(self, image: Image) -> Image:
        """Blur with a point spread that widens with depth: between the sharpest and the widest, linearly."""
        parameters = self._parameters
        blur = np.array(parameters.blur[3 - parameters.n_dims :]) / np.array(parameters.edges)
        sharp: Image = gaussian_filter(image, blur, mode="nearest")
        if parameters.n_dims == 2 or parameters.blur_growth == 0:
            return sharp
        wide: Image = gaussian_filter(image, blur * (1 + parameters.blur_growth), mode="nearest")
        return sharp + self._depth * (wide - sharp)

    def _scatter(self, image: Image) -> Image:
        """Spread a share of the light widely."""
        parameters = self._parameters
        if parameters.haze == 0:
            return image
        reach = HAZE_REACH * parameters.radius / 2 / np.array(parameters.edges)
        wide: Image = gaussian_filter(image, reach, mode="nearest", truncate=2.0)
        return (1 - parameters.haze) * image + parameters.haze * wide


def _stretched(coarse: FloatArray, axis: int, size: int) -> FloatArray:
    """Interpolate values at every eighth voxel of `axis` to all of its `size` voxels, linearly."""
    place = np.arange(size) / 8
    low = place.astype(int)
    share = (place - low).reshape([-1 if i == axis else 1 for i in range(coarse.ndim)])
    first, second = np.take(coarse, low, axis), np.take(coarse, low + 1, axis)
    blended: FloatArray = first + share * (second - first)
    return blended
