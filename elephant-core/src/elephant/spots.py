"""Reading out predictions: ellipsoids from centre probabilities, earlier positions from a flow."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from elephant.components import ComponentStatistics, components_above
from elephant.config import SpotParams
from elephant.geometry import Block, Raster
from elephant.types import Box, DetectedSpot, EarlierSpot, FloatArray, Spot, VoxelSize

logger = logging.getLogger(__name__)

RELATIVE_ZERO = 1e-12


def find_spots(
    probability: NDArray[np.floating],
    params: SpotParams,
    origin: tuple[float, ...] | None = None,
    ratio: tuple[float, ...] | None = None,
    stretch_z: bool = False,
) -> list[DetectedSpot]:
    """Find the nuclei in a map of centre probabilities as :func:`extract_spots` does, and log how many there are."""
    n_components, spots = extract_spots(probability, params, origin, ratio, stretch_z)
    logger.info("%d detections found, %d kept", n_components, len(spots))
    return spots


def extract_spots(
    probability: NDArray[np.floating],
    params: SpotParams,
    origin: tuple[float, ...] | None = None,
    ratio: tuple[float, ...] | None = None,
    stretch_z: bool = False,
) -> tuple[int, list[DetectedSpot]]:
    """Find the nuclei in a map of centre probabilities.

    Parameters
    ----------
    probability
        Centre probability, (Z), Y, X.
    params
        Voxel size of the stored image, threshold, and limits of a nucleus.
    origin
        First voxel of `probability` in the stored image, (Z), Y, X; by default its first.
    ratio
        Size of the stored image divided by that of the network's input, per axis; by default 1.
    stretch_z
        Whether to multiply the Z size for the moments by `c_ratio`, for a 2D network that is applied slice by slice.

    Returns
    -------
    int
        Number of components, nuclei or not.
    list of DetectedSpot
        The nuclei, in the order of the components.
    """
    n = probability.ndim
    stored = np.array(params.voxel_size.last(n))
    zoom = np.ones(n) if ratio is None else np.asarray(ratio, dtype=np.float64)
    scale = stored * zoom
    components = components_above(params.p_thresh, probability)
    offset = (np.zeros(n) if origin is None else np.asarray(origin)) * stored + (zoom - 1) / 2 * stored
    large = np.flatnonzero(components.count >= _smallest_volume(params, scale))
    covariances, is_nucleus = _covariances(components, large, scale, params, stretch_z)
    kept = large[is_nucleus]
    pos = components.mean_index[kept] * scale + offset
    spots = _as_spots(pos, covariances[is_nucleus], components.mean_value[kept])
    return len(components.count), spots


def _smallest_volume(params: SpotParams, scale: FloatArray) -> float:
    """Return the volume, in voxels, of a sphere (circle) with the radius of the smallest centre."""
    radius = params.r_min * params.c_ratio
    unit = 4 / 3 * np.pi if len(scale) == 3 else np.pi
    return float(unit * np.prod(radius / scale))


def _covariances(
    components: ComponentStatistics, large: NDArray[np.int64], scale: FloatArray, params: SpotParams, stretch_z: bool
) -> tuple[FloatArray, NDArray[np.bool_]]:
    """Return the covariances of some components, (N, n, n), and whether each is a nucleus, (N,)."""
    box = components.box_size[large]
    voxel = scale * (box + 1) / box
    if stretch_z:
        voxel[:, 0] *= params.c_ratio
    eigenvalues, axes = np.linalg.eigh(components.moments[large] * voxel[:, :, None] * voxel[:, None, :])
    eigenvalues[eigenvalues < RELATIVE_ZERO * eigenvalues[:, -1:]] = 0
    radii = 2 * np.sqrt(eigenvalues) / params.c_ratio
    # A flat component's missing radius is paired by rank with Z, Y, X: results depend on this.
    radii = np.where(eigenvalues == 0, np.maximum(params.r_min, scale), radii)
    is_nucleus = np.asarray(eigenvalues.any(axis=1) & (radii >= params.r_min).all(axis=1))
    radii = np.minimum(radii, params.r_max)
    covariances: FloatArray = (axes * (radii**2)[:, None, :]) @ axes.swapaxes(1, 2)
    return covariances, is_nucleus


def _as_spots(pos: FloatArray, covariance: FloatArray, quality: FloatArray) -> list[DetectedSpot]:
    """Return spots, given their centres, (N, n), covariances, (N, n, n), and qualities, (N,)."""
    n_spots, n = pos.shape
    all_pos, all_covariances = np.zeros((n_spots, 3)), np.tile(np.eye(3), (n_spots, 1, 1))
    all_pos[:, 3 - n :] = pos
    all_covariances[:, 3 - n :, 3 - n :] = covariance
    return list(map(DetectedSpot, all_pos, all_covariances, quality.tolist()))


@dataclass(frozen=True, slots=True, eq=False)
class FlowField:
    """A flow over a box of the stored image.

    Attributes
    ----------
    box
        The box in the image, (Z), Y, X.
    values
        The earlier position minus the later one, (n, (Z), Y, X), channels X, Y(, Z).
    norm
        How many voxels a value of 1 stands for, per channel.
    """

    box: Box
    values: NDArray[np.floating]
    norm: Sequence[float] = (1.0, 1.0, 1.0)

    def displacement(self, raster: Raster) -> FloatArray:
        """Return the mean over the voxels of a spot inside the box, voxels, (n,), (Z), Y, X."""
        origin = self.box.origin
        inside = tuple(slice(s.start - o, s.stop - o) for s, o in zip(raster.slices, origin, strict=True))
        values = self.values[(slice(None), *inside)][:, raster.mask]
        values *= np.array(self.norm[: len(values)], dtype=values.dtype)[:, None]
        mean: FloatArray = values.mean(axis=1, dtype=np.float64)[::-1]
        return mean


def covers(box: Box, block: Block) -> bool:
    """Return whether a spot has voxels and a box contains their whole block."""
    return not block.is_empty and all(
        o <= s.start and s.stop <= e for s, o, e in zip(block.slices, box.origin, box.end, strict=True)
    )


def moved(spot: Spot, displacement: FloatArray, voxel_size: VoxelSize) -> EarlierSpot:
    """Return the earlier position of a spot, given its displacement in voxels, (n,), (Z), Y, X."""
    n_dims = len(displacement)
    physical = displacement * voxel_size.last(n_dims)
    pos = spot.pos.copy()
    pos[3 - n_dims :] += physical
    return EarlierSpot(spot.id, pos, float((physical**2).sum()))


def unmoved(spot: Spot) -> EarlierSpot:
    """Return a spot at its current position."""
    return EarlierSpot(spot.id, spot.pos, 0.0)
