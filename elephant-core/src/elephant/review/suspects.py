"""Places where a nucleus may have been missed: border, or a blob, without a centre; a spot one timepoint away."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from elephant.geometry import Ellipsoid, rasterise_each
from elephant.progress import CancelToken
from elephant.quality.scene import Scene, Sites
from elephant.types import FloatArray

_COVERED = 1.1  # semi-axes of the ellipsoid of a spot within which nothing else is looked for
_LEAST_FOREGROUND = 0.15  # smoothed probability of border or centre
_LEAST_BLOB = 0.4  # of the median blob of the spots
_MOST_PER_SPOT, _MOST_BESIDE = 2, 100
_SMALLEST_VOXELS = 1.0

Volume = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Suspects:
    """Places without a spot.

    Attributes
    ----------
    sites
        The places, each a ball as large as the median nucleus.
    foreground, blob
        Whether the network says border or centre there; whether the image has a blob there, (N,).
    """

    sites: Sites
    foreground: NDArray[np.bool_]
    blob: NDArray[np.bool_]


def find_suspects(scene: Scene, found: Sites, neighbours: Sequence[Sites], cancel: CancelToken) -> Suspects:
    """Find places where a nucleus may have been missed.

    Parameters
    ----------
    scene
        The timepoint, with its border probability.
    found
        Its spots.
    neighbours
        Spots of the timepoints before and after, as far as they are known.
    cancel
        Asked between the steps.
    """
    radius = typical_radius(scene, found, neighbours)
    covered = _covered(scene, found, cancel)
    foreground = scene.centre if scene.border is None else scene.centre + scene.border
    said = _peaks(_smoothed(foreground, scene, radius / 2), covered, _LEAST_FOREGROUND, scene, radius)
    cancel.check()
    blobs = _smoothed(scene.image, scene, radius / 2) - _smoothed(scene.image, scene, radius)
    typical = float(np.median(scene.around(blobs, found, 0))) if len(found) else float(blobs.max())
    shown = _peaks(blobs, covered, max(_LEAST_BLOB * typical, 1e-6), scene, radius)
    cancel.check()
    earlier = [_uncovered(sites.centres, found, radius, scene) for sites in neighbours]
    places, is_said = _joined([said, shown, *earlier], radius)
    most = _MOST_PER_SPOT * len(found) + _MOST_BESIDE
    places, is_said = places[:most], is_said[:most]
    ball = np.tile(np.eye(scene.n_dims) * radius**2, (len(places), 1, 1))
    return Suspects(Sites(places, ball), is_said == 0, is_said == 1)


def typical_radius(scene: Scene, found: Sites, neighbours: Sequence[Sites]) -> float:
    """Return the median radius of the spots of a timepoint, or else of its neighbours, or else three voxels."""
    for sites in (found, *neighbours):
        if len(sites):
            return max(float(np.median(sites.mean_radii())), _SMALLEST_VOXELS * float(scene.scale.min()))
    return 3 * float(scene.scale.max())


def _covered(scene: Scene, found: Sites, cancel: CancelToken) -> NDArray[np.bool_]:
    """Return which voxels belong to spots."""
    covered = np.zeros(scene.centre.shape, dtype=bool)
    eigenvalues, axes = np.linalg.eigh(found.covariances)
    radii = _COVERED * np.sqrt(np.maximum(eigenvalues, 1e-12))
    solids = [Ellipsoid(c, r, a.T) for c, r, a in zip(found.centres - scene.origin, radii, axes, strict=True)]
    for raster in rasterise_each(solids, tuple(scene.scale), covered.shape, cancel):
        if not raster.is_empty:
            covered[raster.slices] |= raster.mask
    return covered


def _smoothed(values: NDArray[np.floating], scene: Scene, sigma: float) -> Volume:
    smoothed: Volume = ndimage.gaussian_filter(np.asarray(values, dtype=np.float32), sigma / scene.scale, truncate=2.5)
    return smoothed


def _peaks(values: Volume, covered: NDArray[np.bool_], least: float, scene: Scene, radius: float) -> FloatArray:
    """Return the highest places outside of spots, within a radius each, physical, (N, n), the highest first."""
    open_values = np.where(covered, np.float32(-1), values)
    size = np.maximum(2 * np.floor(radius / scene.scale) + 1, 1).astype(int)
    is_peak = (open_values >= ndimage.maximum_filter(open_values, tuple(size))) & (open_values > least)
    index = np.argwhere(is_peak)
    order = np.argsort(-open_values[is_peak], kind="stable")
    peaks: FloatArray = np.multiply(index[order], scene.scale) + scene.origin
    return peaks


def _uncovered(centres: FloatArray, found: Sites, radius: float, scene: Scene) -> FloatArray:
    """Return places that lie in the scene and have no spot within a radius."""
    index = (centres - scene.origin) / scene.scale
    is_inside = ((index >= -0.5) & (index <= np.array(scene.centre.shape) - 0.5)).all(axis=1)
    inside: FloatArray = centres[is_inside]
    if not len(found) or not len(inside):
        return inside
    apart, _ = cKDTree(found.centres).query(inside)
    alone: FloatArray = inside[apart > radius]
    return alone


def _joined(groups: Sequence[FloatArray], radius: float) -> tuple[FloatArray, NDArray[np.int64]]:
    """Return places of all groups without those within a radius of an earlier one, and the group of each."""
    places, group = np.concatenate(groups), np.repeat(np.arange(len(groups)), [len(g) for g in groups])
    is_kept = np.ones(len(places), dtype=bool)
    for i, j in sorted(cKDTree(places).query_pairs(radius)) if len(places) else ():
        if is_kept[i]:
            is_kept[j] = False
    return places[is_kept], group[is_kept]
