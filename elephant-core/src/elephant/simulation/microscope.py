"""Draws nuclei, and records the drawing as a real microscope would: less light, blur, haze, glow, photons, camera."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from elephant.simulation.camera import Camera
from elephant.simulation.fields import Image, grid, stretched
from elephant.simulation.nucleus import Body, RandomField
from elephant.simulation.parameters import SimulationParameters
from elephant.simulation.surroundings import Surroundings
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


def draw(bodies: Sequence[Body], shape: Shape, edges: Sequence[float], *, pressed: bool = False) -> Drawing:
    """Draw `bodies` into an image of `shape` with voxels of physical size `edges`, both ((Z), Y, X).

    If two overlap, the brighter one is visible: nuclei displace each other, so their light does not add up. Where they
    are `pressed`, a voxel belongs to the one of which it is deeper inside, as a share of its size.
    """
    if pressed:
        return _draw_pressed(bodies, shape, edges)
    light = np.zeros(shape, np.float32)
    labels = np.zeros(shape, np.int32)
    covered = np.full(shape, 0.5, np.float32)
    for index, body in enumerate(bodies):
        for where, cover, glow, _ in _stamp(body, shape, edges):
            np.maximum(light[where], glow, out=light[where])
            wins = cover > covered[where]
            labels[where][wins] = index + 1
            covered[where][wins] = cover[wins]
    return Drawing(light, labels)


def _draw_pressed(bodies: Sequence[Body], shape: Shape, edges: Sequence[float]) -> Drawing:
    light = np.zeros(shape, np.float32)
    labels = np.zeros(shape, np.int32)
    nearest = np.full(shape, np.inf, np.float32)
    for index, body in enumerate(bodies):
        for where, cover, glow, radius in _stamp(body, shape, edges):
            wins = (cover > 0) & (radius < nearest[where])
            nearest[where][wins] = radius[wins]
            light[where][wins] = glow[wins]
            labels[where][wins] = np.where(cover[wins] > 0.5, index + 1, 0)
    return Drawing(light, labels)


Stamp = tuple[tuple[slice, ...], NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]


def _stamp(body: Body, shape: Shape, edges: Sequence[float]) -> Iterator[Stamp]:
    """Yield the box of one nucleus, if it is in view, and for each voxel its coverage, light and relative radius."""
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
    radius = np.linalg.norm(own, axis=-1)
    yield where, _mean_of_samples(cover, samples), _mean_of_samples(glow, samples), _mean_of_samples(radius, samples)


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


TISSUE, NOISE, GHOST = 3, 4, 9  # ids of independent random streams
HAZE_REACH = 8.0  # times the radius of a nucleus


class Microscope:
    """Turns drawings into what a camera records.

    Light enters and leaves at Z = 0: the deeper, the darker and the more blurred. 2D movies have no depth.
    """

    def __init__(self, parameters: SimulationParameters) -> None:
        self._parameters = parameters
        self._camera = Camera(parameters)
        self._surroundings = Surroundings(parameters)
        rng = np.random.default_rng([parameters.seed, TISSUE])
        self._tissue = RandomField.draw(rng, parameters.n_dims, 16 * parameters.radius, 12)
        planes = parameters.shape[0]
        self._depth = (np.arange(planes, dtype=np.float32) / max(planes - 1, 1)).reshape(-1, 1, 1)

    def record(self, light: Image, centres: FloatArray, offset: FloatArray, t: int) -> NDArray[np.uint16]:
        """Return the image of `light` ((Z), Y, X) at timepoint `t`, with the sample shifted by `offset`.

        Cells lie around `centres`, (N, n). The noise depends only on the seed and `t`, not on what was recorded before.
        """
        parameters = self._parameters
        rng = np.random.default_rng([parameters.seed, NOISE, t])
        around = self._surroundings.light(centres, offset)
        seen = light + self._glow(offset) if around is None else light + self._glow(offset) + around
        seen = self._scatter(self._blur(seen))
        if parameters.n_dims == 3:
            seen = seen * np.exp(-parameters.attenuation * self._depth)
        seen = self._with_ghost(seen) * self._camera.light(t)
        photons = rng.poisson((seen + parameters.background) / parameters.gain)
        return self._camera.record(
            photons * parameters.gain + rng.normal(scale=parameters.read_noise, size=light.shape)
        )

    def _with_ghost(self, image: Image) -> Image:
        """Add a reflection: the image once more, in another place."""
        parameters = self._parameters
        if not parameters.ghosts:
            return image
        away = np.random.default_rng([parameters.seed, GHOST]).normal(size=parameters.n_dims) * 4 * parameters.radius
        shift = np.rint(away / np.array(parameters.edges)).astype(int)
        return image + parameters.ghosts * np.roll(image, shift, tuple(range(image.ndim)))

    def _glow(self, offset: FloatArray) -> Image:
        """Return the uneven light of the tissue between the nuclei; it drifts with the sample."""
        parameters = self._parameters
        steps = [8] * parameters.n_dims  # the glow is far smoother than this grid
        points = grid(parameters.plane, steps) * np.array(parameters.edges)
        field = 1 + 0.5 * self._tissue.at(points - offset)
        return stretched(parameters.autofluorescence * np.clip(field, 0, None), parameters.plane, steps)

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
