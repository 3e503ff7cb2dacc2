"""How well nuclei explain an image, which needs no annotations.

Nuclei that are right leave little of an image unexplained: inside of each it has about one intensity, between them it
is smooth. Merged nuclei hold background, pieces of nuclei leave out the rest, and missed ones stay in the background.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from elephant.geometry import Ellipsoid, rasterise_each
from elephant.progress import CancelToken
from elephant.types import DetectedSpot, FloatArray, Spot

Image = NDArray[np.float32]

_NOISE_SIGMA = 0.7  # voxels: noise is nothing that nuclei could explain
_SMOOTH = 24.0  # standard deviation of the background, voxels of the finest axis
_RING = 1.6  # outer semi-axes of the ring around a nucleus, divided by its own
# Weights of the parts of a score; chosen on simulated movies.
_CONTRAST, _SPREAD = 0.1, 0.1


@dataclass(frozen=True, slots=True)
class Explanation:
    """How well nuclei explain an image.

    Attributes
    ----------
    share
        The part of the variance that is explained, at most 1: each nucleus by its mean, the rest by a smooth
        background.
    contrast
        Median difference between nuclei and their surroundings, in standard deviations of what is not explained.
    spread
        Standard deviation of the logarithm of the radii: pieces and clumps are of all sizes.
    n_nuclei
        How many there are.
    """

    share: float
    contrast: float
    spread: float
    n_nuclei: int

    @property
    def score(self) -> float:
        """What candidates are compared by, the larger the better."""
        return self.share + _CONTRAST * min(self.contrast, 3.0) - _SPREAD * self.spread if self.n_nuclei else 0.0


def explain(
    image: Image, spots: Sequence[DetectedSpot], voxel_size: Sequence[float], cancel: CancelToken
) -> Explanation:
    """Measure how well nuclei explain an image.

    Parameters
    ----------
    image
        Intensities, (Z), Y, X.
    spots
        The nuclei, positions and covariances in physical units from the middle of the first voxel.
    voxel_size
        Of the image, (Z), Y, X.
    """
    if not spots:
        return Explanation(0.0, 0.0, 0.0, 0)
    smooth = gaussian_filter(image, _NOISE_SIGMA)
    ellipsoids = Ellipsoid.from_spots([Spot(0, spot.pos, spot.covariance) for spot in spots], image.ndim)
    inside = _paint(image.shape, ellipsoids, voxel_size, cancel)
    around = _paint(image.shape, [one.scaled(_RING) for one in ellipsoids], voxel_size, cancel)
    mean = _means(smooth, inside, len(spots))
    is_free = inside == 0
    fitted = np.where(is_free, _background(smooth, is_free, voxel_size), mean[inside])
    left = smooth - fitted
    total = float(((smooth - smooth.mean()) ** 2).sum())
    share = 1 - float((left**2).sum()) / total if total > 0 else 0.0
    ring = _means(smooth, np.where(is_free, around, 0), len(spots))
    difference = (mean - ring)[1:]
    contrast = np.median(np.nan_to_num(difference)) / max(float(left.std()), 1e-6)
    spread = np.std([np.log(one.radii).mean() for one in ellipsoids])
    return Explanation(share, float(contrast), float(spread), len(spots))


def _paint(
    shape: tuple[int, ...], ellipsoids: Sequence[Ellipsoid], voxel_size: Sequence[float], cancel: CancelToken
) -> NDArray[np.int32]:
    """Return 1 plus the index of the nucleus of each voxel, or 0; small ones are above large ones."""
    painted = np.zeros(shape, np.int32)
    order = sorted(range(len(ellipsoids)), key=lambda i: -ellipsoids[i].mean_radius)
    rasters = rasterise_each([ellipsoids[i] for i in order], voxel_size, shape, cancel)
    for i, raster in zip(order, rasters, strict=True):
        painted[raster.slices][raster.mask] = i + 1
    return painted


def _means(image: Image, painted: NDArray[np.int32], n: int) -> FloatArray:
    """Return the mean of the image over each index, 0 to n; NaN where it has no voxels."""
    count = np.bincount(painted.ravel(), minlength=n + 1)
    total = np.bincount(painted.ravel(), image.ravel(), minlength=n + 1)
    means: FloatArray = np.divide(total, count, out=np.full(n + 1, np.nan), where=count > 0)
    return means


def _background(image: Image, is_free: NDArray[np.bool_], voxel_size: Sequence[float]) -> Image:
    """Return the local mean of what belongs to no nucleus."""
    sigma = _SMOOTH * min(voxel_size) / np.array(voxel_size)
    weight = gaussian_filter(is_free.astype(np.float32), sigma) + np.float32(1e-3)
    return np.asarray(gaussian_filter(np.where(is_free, image, 0), sigma) / weight)
