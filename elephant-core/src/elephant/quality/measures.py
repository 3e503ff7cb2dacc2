"""Figures of a place in a timepoint that tell whether a nucleus is there."""

from collections.abc import Sequence
from types import MappingProxyType

import numpy as np
from scipy.spatial import cKDTree

from elephant.quality.scene import Scene, Sites
from elephant.types import FloatArray

# Each is a column of what `measure` returns, in this order.
NAMES = MappingProxyType(
    {
        "centre": "mean centre probability inside of the centre, log odds",
        "peak": "highest centre probability near the middle, log odds",
        "unsure": "by how much the log odds of its centre are below those of the median spot of the timepoint",
        "unpeaked": "by how much the log odds of its peak are below those of the median spot of the timepoint",
        "rim": "mean centre probability where the nucleus ends",
        "contrast": "intensity inside minus that around it, over their sum",
        "clarity": "intensity inside minus that around it, over their spread",
        "faint": "by how much its contrast is below that of the median spot of the timepoint",
        "unclear": "by how much its clarity is below that of the median spot of the timepoint",
        "small": "log of the median radius over its own, where it is smaller",
        "large": "log of its own radius over the median, where it is larger",
        "long": "log of its longest over its shortest semi-axis, over that of the median nucleus",
        "gap": "distance of the nearest other centre over the sum of the two radii, at most 1.5",
        "room": "distance of the edge of the image, in its own radii, at most 1",
        "voxels": "log of its smallest semi-axis in voxels",
        "others": "median centre probability of the spots of the timepoint, log odds",
        "evenness": "spread of the log radii of the spots of the timepoint, at most 1",
        "others_contrast": "median contrast of the spots of the timepoint",
        "others_clarity": "median clarity of the spots of the timepoint",
    }
)
BORDER_NAMES = MappingProxyType(
    {
        "border": "mean border probability between the centre and where the nucleus ends",
        "outside": "mean probability of border or centre around the nucleus",
    }
)
NEIGHBOUR_NAMES = MappingProxyType(
    {
        "apart": "distance of the nearest spot at the timepoints before and after, in radii, at most 2; their mean",
        "apart_centre": "centre probability of these spots, log odds",
        "alone": "1 where no neighbouring timepoint is known",
    }
)
_AT_ONCE = 1 << 14  # spots: some hundred numbers each
_LEAST = 1e-3
_TINY = 1e-6
_FAR = 2.0


def logit(probability: FloatArray | float) -> FloatArray:
    """Return the log odds of probabilities, which are kept from 0 and 1 by a thousandth."""
    p = np.clip(np.asarray(probability, dtype=np.float64), _LEAST, 1 - _LEAST)
    odds: FloatArray = np.log(p) - np.log1p(-p)
    return odds


def measure(scene: Scene, sites: Sites, others: Sites, quality: FloatArray, population: FloatArray) -> FloatArray:
    """Measure places.

    Parameters
    ----------
    scene
        The timepoint.
    sites
        The places, N of them.
    others
        All spots of the timepoint, against which size, shape and contrast are compared; the places may be of them.
    quality
        Mean centre probability of each place, (N,).
    population
        That of `others`.

    Returns
    -------
    numpy.ndarray
        (N, names), in the order of `NAMES`, and where the scene has a border probability of `BORDER_NAMES` after them.
    """
    n_names = len(NAMES) + (0 if scene.border is None else len(BORDER_NAMES))
    if not len(sites):
        return np.empty((0, n_names))
    crowd = _Crowd(scene, others, population)
    parts = [slice(first, first + _AT_ONCE) for first in range(0, len(sites), _AT_ONCE)]
    return np.concatenate([crowd.measure(sites.take(part), quality[part]) for part in parts])


def compare(sites: Sites, neighbours: Sequence[tuple[Sites, FloatArray]]) -> FloatArray:
    """Measure places by the spots of the timepoints before and after.

    Parameters
    ----------
    neighbours
        For each that is known, its spots and their mean centre probabilities.

    Returns
    -------
    numpy.ndarray
        (N, 3), in the order of `NEIGHBOUR_NAMES`.
    """
    radii = sites.mean_radii()
    apart, centre = [], []
    for others, quality in neighbours:
        if not len(others):
            apart.append(np.full(len(sites), _FAR))
            centre.append(np.zeros(len(sites)))
            continue
        distance, which = cKDTree(others.centres).query(sites.centres)
        apart.append(np.minimum(distance / radii, _FAR))
        centre.append(logit(quality[which]))
    if not neighbours:
        return np.tile([1.0, 0.0, 1.0], (len(sites), 1))
    return np.stack([np.mean(apart, axis=0), np.mean(centre, axis=0), np.zeros(len(sites))], axis=1)


class _Crowd:
    """The spots of a timepoint, and what is typical of them."""

    def __init__(self, scene: Scene, others: Sites, quality: FloatArray) -> None:
        self._scene = scene
        self._radii = others.mean_radii()
        self._tree = cKDTree(others.centres) if len(others) else None
        some = others.take(np.linspace(0, len(others) - 1, min(len(others), _AT_ONCE)).astype(np.intp))
        contrast, clarity = _contrasts(scene, some)
        semi_axes = some.radii()
        self._peak = _median(logit(_peak(scene, some)), 0.0) if len(some) else 0.0
        self._radius = _median(self._radii, 1.0)
        self._elongation = _median(np.log(semi_axes[:, -1] / semi_axes[:, 0]), 0.3)
        self._contrast, self._clarity = _median(contrast, 0.0), _median(clarity, 0.0)
        logs = np.log(np.maximum(self._radii, _TINY))
        spread = min(float(logs.std()), 1.0) if len(others) > 1 else 0.3
        centre = float(logit(_median(quality, 0.5)))
        self._typical = np.array([centre, spread, self._contrast, self._clarity])

    def measure(self, sites: Sites, quality: FloatArray) -> FloatArray:
        scene = self._scene
        semi_axes = sites.radii()
        radii = np.exp(np.log(semi_axes).mean(axis=1))
        contrast, clarity = _contrasts(scene, sites)
        relative = np.log(radii / self._radius)
        columns = [
            logit(quality),
            peaks := logit(_peak(scene, sites)),
            np.maximum(self._typical[0] - logit(quality), 0),
            np.maximum(self._peak - peaks, 0),
            scene.around(scene.centre, sites, 1.0).mean(axis=1),
            contrast,
            clarity,
            np.maximum(self._contrast - contrast, 0),
            np.maximum(self._clarity - clarity, 0),
            np.maximum(-relative, 0),
            np.maximum(relative, 0),
            np.log(semi_axes[:, -1] / semi_axes[:, 0]) - self._elongation,
            self._gaps(sites, radii),
            np.minimum(scene.room(sites), 1),
            np.log(semi_axes[:, 0] / scene.scale.max()),
            *np.broadcast_to(self._typical[:, None], (len(self._typical), len(sites))),
        ]
        if scene.border is not None:
            columns += _borders(scene, sites)
        return np.stack(columns, axis=1)

    def _gaps(self, sites: Sites, radii: FloatArray) -> FloatArray:
        """Return the distance of the nearest other spot over the sum of the radii, at most 1.5."""
        if self._tree is None:
            return np.full(len(sites), 1.5)
        n_near = min(2, self._tree.n)
        apart, which = (a.reshape(len(sites), n_near) for a in self._tree.query(sites.centres, k=n_near))
        relative = apart / (radii[:, None] + self._radii[which])
        relative[apart < _TINY] = np.inf  # itself
        gaps: FloatArray = np.minimum(relative.min(axis=1), 1.5)
        return gaps


def _contrasts(scene: Scene, sites: Sites) -> tuple[FloatArray, FloatArray]:
    """Return how much brighter places are inside than around: over the sum, and over the spread, both (N,)."""
    if not len(sites):
        return np.empty(0), np.empty(0)
    inside = np.concatenate([scene.around(scene.image, sites, f) for f in (0.0, 0.35, 0.6)], axis=1)
    around = scene.around(scene.image, sites, 1.5)
    core, ring = inside.mean(axis=1), np.median(around, axis=1)
    spread = np.sqrt((inside.var(axis=1) + around.var(axis=1)) / 2) + _TINY
    difference = core - ring
    return difference / (core + ring + _TINY), np.clip(difference / spread, -5, 5)


def _peak(scene: Scene, sites: Sites) -> FloatArray:
    middle = [scene.around(scene.centre, sites, f).max(axis=1) for f in (0.0, 0.2)]
    peak: FloatArray = np.maximum(*middle)
    return peak


def _borders(scene: Scene, sites: Sites) -> list[FloatArray]:
    if scene.border is None:
        return []
    border = scene.around(scene.border, sites, 0.75).mean(axis=1)
    outside = (scene.around(scene.border, sites, 1.4) + scene.around(scene.centre, sites, 1.4)).mean(axis=1)
    return [border, outside]


def _median(values: FloatArray, of_none: float) -> float:
    return float(np.median(values)) if len(values) else of_none
