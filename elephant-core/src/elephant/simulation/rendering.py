"""Draws nuclei as a perfect microscope would see them: no blur, no noise, no loss of light."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from elephant.simulation.nucleus import Body
from elephant.types import FloatArray, Shape

MAX_SAMPLES = 4  # per voxel and axis


@dataclass(frozen=True, eq=False)
class Drawing:
    """The perfect picture of a timepoint.

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

    Where two overlap, the brighter is seen: nuclei displace each other, their light does not add up.
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
    """Yield the box of one nucleus, how much it covers of each voxel and its light there, if in view."""
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
    """Return how much of a small cube of `width` around each point lies inside, 0 to 1, from its distance."""
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
