"""Sizes, centres and second moments of connected components, all components at once."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from elephant.types import FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class ComponentStatistics:
    """Measures of N components over n axes, in voxels.

    Attributes
    ----------
    count
        Voxels per component, (N,).
    mean_index
        Mean voxel index, (N, n).
    moments
        Central second moments of the voxel indices divided by the count, (N, n, n).
    box_size
        Size of the bounding box, (N, n).
    mean_value
        Mean of the measured image, (N,).
    """

    count: NDArray[np.int64]
    mean_index: FloatArray
    moments: FloatArray
    box_size: NDArray[np.int64]
    mean_value: FloatArray


def component_statistics(mask: NDArray[np.bool_], values: NDArray[np.floating]) -> ComponentStatistics:
    """Label a mask with full connectivity and measure its components.

    Parameters
    ----------
    mask
        (Z), Y, X.
    values
        Image whose mean is taken over each component, of the shape of `mask`.
    """
    n = mask.ndim
    labels, n_components = ndimage.label(mask, structure=np.ones((3,) * n, dtype=bool))
    where = np.nonzero(mask)
    component = labels[where] - 1

    def mean(weights: FloatArray) -> FloatArray:
        total = np.bincount(component, weights=weights, minlength=n_components)
        return np.asarray(total / count, dtype=np.float64)

    count = np.bincount(component, minlength=n_components)
    mean_index = np.stack([mean(w.astype(np.float64)) for w in where], axis=-1)
    offset = [w - mean_index[component, axis] for axis, w in enumerate(where)]
    moments = np.empty((n_components, n, n))
    for i in range(n):
        for j in range(i + 1):
            moments[:, i, j] = moments[:, j, i] = mean(offset[i] * offset[j])
    boxes = ndimage.find_objects(labels)
    box_size = np.array([[s.stop - s.start for s in box] for box in boxes], dtype=np.int64).reshape(-1, n)
    return ComponentStatistics(count, mean_index, moments, box_size, mean(np.asarray(values[where], dtype=np.float64)))
