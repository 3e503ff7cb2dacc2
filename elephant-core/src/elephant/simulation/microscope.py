"""Draws nuclei, and records the drawing as a real microscope would: less light, blur, haze, glow, photons, camera."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from elephant.simulation.nucleus import Body, RandomField
from elephant.simulation.parameters import SimulationParameters
from elephant.types import FloatArray, Shape

MAX_SAMPLES = 4  # per voxel and axis


@dataclass(frozen=True, eq=False)
class Drawing:
    """The ideal image of a timepoint.

    Attributes
    ----------
    light
        Counts, ((Z), Y, X), float32; 0 outside the nuclei.
    labels
        1 plus the index of the nucleus that covers most of a voxel, 0 where none covers half of it, int32.
    """

    light: NDArray[np.float32]
    labels: NDArray[np.int32]


def draw(bodies: Sequence[Body], shape: Shape, edges: Sequence[float]) -> Drawing:
    """Draw `bodies` into an image of `shape` with voxels of physical size `edges`, both ((Z), Y, X).

    If two overlap, the brighter one is visible: nuclei displace each other, so their light does not add up.
    """
    light = np.zeros(shape, np.float32)
    labels = np.zeros(shape, np.int32)
    covered = np.full(shape, 0.5, np.float32)
    for index, body in enumerate(bodies):
        for where, cover, glow in _stamp(body, shape, edges):
            np.maximum(light[where], glow, out=light[where])
            wins = cover > covered[where]
            labels[where][wins] = index + 1
            covered[where][wins] = cover[wins]
    return Drawing(light, labels)


def _stamp(
    body: Body, shape: Shape, edges: Sequence[float]
) -> Iterator[tuple[tuple[slice, ...], NDArray[np.float32], NDArray[np.float32]]]:
    """Yield the box of one nucleus, its coverage of each voxel and its light there, if it is in view."""
    edge = np.array(edges)
    low = np.maximum(np.floor((body.centre - body.reach) / edge).astype(int), 0)
    high = np.minimum(np.ceil((body.centre + body.reach) / edge).astype(int) + 1, shape)
    if np.any(low >= high):
        return
    samples = np.clip(np.round(edge / edge.min()), 1, MAX_SAMPLES).astype(int)
    own = _sample_points(low, high, samples, edge, body)
    cover = _coverage(body, own, float(edge.min()))
    glow = np.zeros_like(cover)
    inside = cover > 0
    glow[inside] = cover[inside] * body.signal(own[inside])
    where = tuple(slice(int(start), int(stop)) for start, stop in zip(low, high, strict=True))
    yield where, _mean_of_samples(cover, samples), _mean_of_samples(glow, samples)


def _sample_points(
    low: NDArray[np.intp], high: NDArray[np.intp], samples: NDArray[np.intp], edge: FloatArray, body: Body
) -> FloatArray:
    """Return sample points in the nucleus' own coordinates, (..., n); voxel i spans i - 1/2 to i + 1/2."""
    axes = [
        (np.arange(start * count, stop * count) + 0.5) / count - 0.5
        for start, stop, count in zip(low, high, samples, strict=True)
    ]
    index = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    own: FloatArray = (index * edge - body.centre) @ np.linalg.inv(body.frame).T
    return own


def _coverage(body: Body, own: FloatArray, width: float) -> FloatArray:
    """Return the fraction of a small cube of `width` around each point that is inside, 0 to 1, from its distance."""
    radius = np.maximum(np.linalg.norm(own, axis=-1), 1e-9)
    direction = own / radius[..., None]
    stretch = np.linalg.norm(direction @ body.frame.T, axis=-1)  # physical length per own length, along the radius
    depth = (body.surface(direction) - radius) * stretch
    cover: FloatArray = np.clip(0.5 + depth / width, 0, 1)
    return cover


def _mean_of_samples(fine: FloatArray, samples: NDArray[np.intp]) -> NDArray[np.float32]:
    split = [n for size, count in zip(fine.shape, samples, strict=True) for n in (size // count, int(count))]
    mean: FloatArray = fine.reshape(split).mean(axis=tuple(range(1, 2 * fine.ndim, 2)))
    return mean.astype(np.float32)


Image = NDArray[np.float32]
TISSUE, NOISE = 3, 4  # ids of independent random streams
HAZE_REACH = 8.0  # times the radius of a nucleus


class Microscope:
    """Turns drawings into what a camera records.

    Light enters and leaves at Z = 0: the deeper, the darker and the more blurred. 2D movies have no depth.
    """

    def __init__(self, parameters: SimulationParameters) -> None:
        self._parameters = parameters
        rng = np.random.default_rng([parameters.seed, TISSUE])
        self._tissue = RandomField.draw(rng, parameters.n_dims, 16 * parameters.radius, 12)
        planes = parameters.shape[0]
        self._depth = (np.arange(planes, dtype=np.float32) / max(planes - 1, 1)).reshape(-1, 1, 1)

    def record(self, light: Image, offset: FloatArray, t: int) -> NDArray[np.uint16]:
        """Return the image of `light` ((Z), Y, X) at timepoint `t`, with the sample shifted by `offset`.

        The noise depends only on the seed and `t`, not on what was recorded before.
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
        coarse = [np.arange(0, n + 8, 8) for n in parameters.plane]  # the glow is far smoother than this grid
        index = np.stack(np.meshgrid(*coarse, indexing="ij"), axis=-1)
        field = 1 + 0.5 * self._tissue.at(index * np.array(parameters.edges) - offset)
        glow = parameters.autofluorescence * np.clip(field, 0, None)
        for axis, size in enumerate(parameters.plane):
            glow = _stretched(glow, axis, size)
        return glow.astype(np.float32)

    def _blur(self, image: Image) -> Image:
        """Blur with a point spread that widens with depth, interpolating between the sharpest and the widest."""
        parameters = self._parameters
        blur = np.array(parameters.blur[3 - parameters.n_dims :]) / np.array(parameters.edges)
        sharp: Image = gaussian_filter(image, blur, mode="nearest")
        if parameters.n_dims == 2 or parameters.blur_growth == 0:
            return sharp
        wide: Image = gaussian_filter(image, blur * (1 + parameters.blur_growth), mode="nearest")
        return sharp + self._depth * (wide - sharp)

    def _scatter(self, image: Image) -> Image:
        """Scatter a fraction of the light widely."""
        parameters = self._parameters
        if parameters.haze == 0:
            return image
        reach = HAZE_REACH * parameters.radius / 2 / np.array(parameters.edges)
        wide: Image = gaussian_filter(image, reach, mode="nearest", truncate=2.0)
        return (1 - parameters.haze) * image + parameters.haze * wide


def _stretched(coarse: FloatArray, axis: int, size: int) -> FloatArray:
    """Interpolate values at every eighth voxel of `axis` linearly to all of its `size` voxels."""
    place = np.arange(size) / 8
    low = place.astype(int)
    share = (place - low).reshape([-1 if i == axis else 1 for i in range(coarse.ndim)])
    first, second = np.take(coarse, low, axis), np.take(coarse, low + 1, axis)
    blended: FloatArray = first + share * (second - first)
    return blended
