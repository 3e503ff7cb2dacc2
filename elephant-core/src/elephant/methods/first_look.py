"""A first look at a dataset before anything is annotated: at which scale does a network see its nuclei best?

A part of the image is predicted at several scales; the nuclei that explain the image best tell the scale. That takes
seconds, and is done once for a model and a dataset.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from elephant.config import PredictionParams, SpotParams, keep_axials_of, kept_poolings
from elephant.images import rescale
from elephant.methods.explained import Explanation, explain
from elephant.models.ensemble import Ensemble
from elephant.models.losses import CENTRE_CHANNEL
from elephant.prediction import predict_probabilities
from elephant.progress import CancelToken, NoReporter
from elephant.spots import extract_spots
from elephant.types import Box, DetectedSpot, FloatArray, Shape, Spot, VoxelSize

logger = logging.getLogger(__name__)

Image = NDArray[np.float32]
NetworkFor = Callable[[int], Ensemble]  # a network that leaves Z alone in so many poolings

# Along Y and X; small ones are looked for in a larger part of the image.
COARSE, FINE = (0.125, 0.18, 0.25, 0.35, 0.5), (0.5, 0.7, 1.0, 1.4, 1.73)
_COARSE_PART, _FINE_PART = (64, 256, 256), (32, 112, 112)
_PATCH = (32, 256, 256)
# How much better another scale has to be than the stored one: less may be otherwise at the next timepoint, and the
# bonus for a well-known size is no reason by itself. A larger one takes longer, and is judged by what it separates.
_MARGIN_SMALLER, _MARGIN_LARGER = 0.05, 0.03
# An image is not made smaller where that makes nuclei smaller than this radius, in voxels of what the network sees.
_LEAST_SHRUNK = 4.3
_FEWEST = 3  # nuclei, of which one can say how large they are
_TALL = 1.6
# Radii along Y and X, in voxels of what the network sees, that it knows well, and what they are worth in a score;
# others are brought to the nearest of the best ones. On simulated movies it does as well with any of the good ones.
GOOD_RADII, BEST_RADII, _WELL_KNOWN = (4.5, 12.0), (6.0, 8.0), 0.05
_MOST_NUCLEI = 3000


@dataclass(frozen=True, slots=True)
class Candidate:
    """What was found at a scale.

    Attributes
    ----------
    rescaling
        Size of what the network saw divided by that of the image, (Z), Y, X.
    n_keep_axials
        How many of its poolings left Z unchanged.
    spots
        The nuclei.
    explanation
        How well they explain the image.
    radius
        Their typical radius along Y and X, in voxels of what the network saw.
    """

    rescaling: tuple[float, ...]
    n_keep_axials: int
    spots: Sequence[DetectedSpot]
    explanation: Explanation

    radius: float

    @property
    def score(self) -> float:
        """What candidates are compared by; nuclei of a size that the network knows well are worth something."""
        return self.explanation.score + (_WELL_KNOWN if GOOD_RADII[0] <= self.radius <= GOOD_RADII[1] else 0.0)


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """A part of an image, and how nuclei are found in it.

    Attributes
    ----------
    image
        Normalised over the whole timepoint, (Z), Y, X.
    voxel_size
        Physical size of its voxels.
    c_ratio
        Semi-axes of a nucleus' centre divided by those of the nucleus, for the network.
    cancel
        Asked while the network runs.
    """

    image: Image
    voxel_size: VoxelSize
    c_ratio: float
    cancel: CancelToken

    @property
    def edges(self) -> tuple[float, ...]:
        """Size of a voxel along the axes of the image, (Z), Y, X."""
        return self.voxel_size.last(self.image.ndim)

    def part(self, largest: Shape) -> "View":
        """Return the part of a size with the most contrast."""
        box = _richest(self.image, tuple(map(min, zip(largest[-self.image.ndim :], self.image.shape, strict=True))))
        return replace(self, image=np.ascontiguousarray(self.image[box.slices]))

    def fine(self) -> "View":
        """Return the part in which nuclei of usual sizes are looked for."""
        return self.part(_FINE_PART)

    def stored(self, networks: NetworkFor) -> Candidate:
        """Return what a network finds in the image as it is stored."""
        return self.candidate(networks, (1.0,) * self.image.ndim)

    def candidate(self, networks: NetworkFor, rescaling: tuple[float, ...], keep: int | None = None) -> Candidate:
        """Return what a network finds at a scale."""
        shape = self.image.shape
        size = tuple(max(1, round(n * ratio)) for n, ratio in zip(shape, rescaling, strict=True))
        axials = kept_poolings(keep_axials_of(self.voxel_size, shape, size)) if keep is None else keep
        seen = rescale(self.image, size)
        params = PredictionParams(n_keep_axials=axials, patch=_PATCH[-len(shape) :], is_pad=True)
        centre = slice(CENTRE_CHANNEL, None)
        found = predict_probabilities(networks(axials), seen, params, NoReporter(), self.cancel, centre)[-1]
        spots, explanation = self.explained(found)
        radius = within(extents(spots, self.edges) * rescaling) if spots else 0.0
        return Candidate(rescaling, axials, spots, explanation, radius)

    def explained(self, centre: Image) -> tuple[Sequence[DetectedSpot], Explanation]:
        """Return the nuclei of a map of centre probabilities of any size, and how well they explain the image."""
        ratio = tuple(a / b for a, b in zip(self.image.shape, centre.shape, strict=True))
        limits = SpotParams(voxel_size=self.voxel_size, c_ratio=self.c_ratio)
        _, spots = extract_spots(centre, limits, None, ratio)
        if len(spots) > _MOST_NUCLEI:  # noise
            return spots, Explanation(0.0, 0.0, 0.0, 0)
        return spots, explain(self.image, spots, self.edges, self.cancel)


def best_scale(view: View, networks: NetworkFor) -> Candidate:
    """Return what was found at the scale at which a network's nuclei explain an image best.

    The stored one, where no other is better by a margin.
    """
    coarse, fine = view.part(_COARSE_PART), view.fine()
    *looked, halved = [coarse.candidate(networks, rescaling) for rescaling in _rescalings(coarse, COARSE)]
    found = _climbed(fine, networks)
    large = [one for one in looked if one.radius >= _LEAST_SHRUNK and len(one.spots) >= _FEWEST]
    smaller = _best(iter(large)) if large else halved
    if smaller.score > halved.score and smaller.rescaling[-1] < found.rescaling[-1]:
        # Clumps of small nuclei look like large ones: judged where small ones are looked for, unless few are there.
        there = fine.candidate(networks, smaller.rescaling)
        if len(there.spots) < _FEWEST or there.score > found.score + _MARGIN_SMALLER:
            return _less_tall(coarse, networks, smaller)
    return _less_tall(fine, networks, found)


def _climbed(view: View, networks: NetworkFor) -> Candidate:
    """Return the best of the finer scales; larger ones than stored only as long as they get better."""
    candidates: list[Candidate] = []
    for rescaling in _rescalings(view, FINE):
        if rescaling[-1] > 1 and candidates[-1].score < max(one.score for one in candidates):
            break
        found = view.candidate(networks, rescaling)
        logger.debug("At %s: %s", rescaling, found.explanation)
        if rescaling[-1] >= 1 or found.radius >= _LEAST_SHRUNK:
            candidates.append(found)
    stored = next(one for one in candidates if one.rescaling[-1] == 1)
    best = _best(iter(candidates))
    margin = _MARGIN_LARGER if best.rescaling[-1] > 1 else _MARGIN_SMALLER
    return best if best.score > stored.score + margin else stored


def _less_tall(view: View, networks: NetworkFor, found: Candidate) -> Candidate:
    """Return what is found where the image is made flatter, if nuclei are tall in voxels and that is better."""
    if view.image.ndim == 2 or not found.spots:
        return found
    seen = extents(found.spots, view.edges) * found.rescaling
    tallness = seen[0] / within(seen)
    if tallness <= _TALL:
        return found
    flatter = view.candidate(networks, (max(float(found.rescaling[0] / tallness), 0.01), *found.rescaling[1:]), keep=0)
    return _best(iter((found, flatter)))


def _rescalings(view: View, planes: Sequence[float]) -> Iterator[tuple[float, ...]]:
    """Yield rescalings that leave voxels at least as deep as wide, where they were not made flatter before."""
    if view.image.ndim == 2:
        yield from ((plane, plane) for plane in planes)
        return
    anisotropy = view.edges[0] / within(np.array(view.edges))
    yield from ((float(np.clip(plane * anisotropy, 0.05, 1.0)), plane, plane) for plane in planes)


def _best(candidates: Iterator[Candidate]) -> Candidate:
    return max(candidates, key=lambda one: one.score)


def within(extents: FloatArray) -> float:
    """Return the geometric mean of what is along Y and X."""
    return float(np.sqrt(extents[-1] * extents[-2]))


def extents(spots: Sequence[Spot | DetectedSpot], edges: Sequence[float]) -> FloatArray:
    """Return the median half-extents of spots along the axes, in voxels of some edges, (n,), (Z), Y, X."""
    n = len(edges)
    variances = np.array([np.diagonal(spot.covariance)[3 - n :] for spot in spots])
    found: FloatArray = np.sqrt(np.median(variances, axis=0)) / np.array(edges)
    return found


def _richest(image: Image, size: Shape) -> Box:
    """Return the box of a size with the largest variance, on a grid of half its size."""
    starts = [
        sorted({min(start, n - length) for start in range(0, n - length + 1, max(1, length // 2))} | {n - length})
        for n, length in zip(image.shape, size, strict=True)
    ]
    step = tuple(max(1, n // 32) for n in size)
    best, most = Box(tuple(s[0] for s in starts), size), -1.0
    for origin in np.stack(np.meshgrid(*starts, indexing="ij"), axis=-1).reshape(-1, image.ndim).tolist():
        box = Box(tuple(origin), size)
        part = image[tuple(slice(s.start, s.stop, d) for s, d in zip(box.slices, step, strict=True))]
        variance = float(part.var())
        if variance > most:
            best, most = box, variance
    return best
