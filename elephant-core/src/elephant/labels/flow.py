"""Links to flow labels."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from elephant.config.flow import DisplacementParams
from elephant.geometry import Ellipsoid, rasterise
from elephant.reporting import CancelToken, NeverCancelled
from elephant.types import Link, Shape


def flow_labels(
    shape: Shape, links: Iterable[Link], params: DisplacementParams, cancel: CancelToken | None = None
) -> NDArray[np.float32]:
    """Paint the flow labels of one earlier timepoint.

    Parameters
    ----------
    shape
        Size of the image, (Z), Y, X.
    links
        Those that begin at the timepoint; later ones are painted over earlier ones.
    params
        Voxel size, `max_displacement` and `n_keep_axials`.
    cancel
        Asked before each link, and within large spots.

    Returns
    -------
    numpy.ndarray
        float32, (n + 1, (Z), Y, X): over the voxels of the later spot its displacement in voxels over the norm, X, Y(,
        Z), then a weight of 1; 0 elsewhere.

    Raises
    ------
    elephant.errors.InvalidInputError
        A covariance is not positive definite.
    elephant.errors.Cancelled
        `cancel` asked for the end.

    References
    ----------
    Sugawara, Çevrim and Averof, eLife 2022, doi:10.7554/eLife.69380.
    """
    n_dims, token = len(shape), cancel or NeverCancelled()
    scale = params.voxel_size.last(n_dims)
    unit = np.asarray(scale[::-1]) * params.norm(n_dims)
    labels: NDArray[np.float32] = np.zeros((n_dims + 1, *shape), dtype=np.float32)
    for link in links:
        token.check()
        raster = rasterise(Ellipsoid.from_spot(link, n_dims), scale, shape, cancel=token)
        if raster.is_empty:
            continue
        values = np.append(link.displacement[::-1][:n_dims] / unit, 1.0)
        labels[(slice(None), *raster.slices)][:, raster.mask] = values[:, None]
    return labels
