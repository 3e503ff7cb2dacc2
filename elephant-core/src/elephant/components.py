"""Connected components of a mask: finding them, and measuring them.

A mask is looked at as runs along its last axis. There are few of them, even in a large image: runs that touch are
joined, and sums over their voxels have closed forms.

References
----------
He, Chao and Suzuki, IEEE Transactions on Image Processing 2008, doi:10.1109/TIP.2008.919369, for components of runs.
"""

import itertools
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from elephant.types import FloatArray, Shape

Integers = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class ComponentStatistics:
    """Measurements of N components over n axes, in voxels.

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

    count: Integers
    mean_index: FloatArray
    moments: FloatArray
    box_size: Integers
    mean_value: FloatArray


def component_statistics(mask: NDArray[np.bool_], values: NDArray[np.floating]) -> ComponentStatistics:
    """Label a mask with full connectivity and measure its components, in the order of their first voxels.

    Parameters
    ----------
    mask
        (Z), Y, X.
    values
        Image whose mean is taken over each component, of the shape of `mask`.
    """
    starts, stops, padded = _runs(mask)
    n, component = _joined(starts, stops, padded)
    index, length = np.stack(np.unravel_index(starts, padded), axis=-1), stops - starts
    count = np.bincount(component, length, n).astype(np.int64)
    low, box_size = _boxes(component, n, index, length)
    first, second = _sums(component, n, index - low[component], length)
    each = count[:, None]
    mean = first / each
    moments = second / each[:, None] - mean[:, :, None] * mean[:, None, :]
    measured = np.bincount(np.repeat(component, length), values[mask], n) / count
    return ComponentStatistics(count, (low * each + first) / each, moments, box_size, measured)


def _runs(mask: NDArray[np.bool_]) -> tuple[Integers, Integers, Shape]:
    """Return where runs along X start and stop in a padded mask that is flattened, and the shape of that mask.

    It is padded by one voxel at the end of each axis but the first, so that there are no neighbours across an edge.
    """
    shape = (mask.shape[0], *(size + 1 for size in mask.shape[1:]))
    flat = np.zeros(1 + math.prod(shape), dtype=bool)  # a voxel before the first, too
    flat[1:].reshape(shape)[tuple(slice(size) for size in mask.shape)] = mask
    changes = np.flatnonzero(flat[1:] != flat[:-1])
    return changes[::2], changes[1::2], shape


def _joined(starts: Integers, stops: Integers, padded: Shape) -> tuple[int, NDArray[np.int32]]:
    """Return how many components runs make up, and which of them each run belongs to."""
    runs, pairs = np.arange(len(starts)), [np.empty((2, 0), dtype=np.int64)]
    for shift in _lines_before(padded):
        # Those whose last voxel is not before the neighbours of a run's first one, to those likewise at its end.
        begin = np.searchsorted(stops, starts - shift)
        n_touched = np.searchsorted(starts, stops - shift, side="right") - begin
        run = np.repeat(runs, n_touched)
        pairs.append(
            np.stack([run, np.arange(len(run)) + np.repeat(begin - np.cumsum(n_touched) + n_touched, n_touched)])
        )
    run, touched = np.concatenate(pairs, axis=1)
    graph = coo_array((np.ones(len(run), dtype=np.int8), (run, touched)), shape=(len(runs), len(runs)))
    n, component = connected_components(graph, directed=False)
    return int(n), component


def _lines_before(padded: Shape) -> list[int]:
    """Return how far before a line along X the neighbouring lines lie that come before it, in voxels."""
    strides = [math.prod(padded[axis + 1 :]) for axis in range(len(padded) - 1)]
    offsets = itertools.product((-1, 0, 1), repeat=len(strides))
    distances = (-sum(o * s for o, s in zip(offset, strides, strict=True)) for offset in offsets)
    return [distance for distance in distances if distance > 0]


def _boxes(component: NDArray[np.int32], n: int, index: Integers, length: Integers) -> tuple[Integers, Integers]:
    """Return the first corner and the size of each component's bounding box, both (n, axes)."""
    low = np.full((index.shape[1], n), np.iinfo(np.int64).max)
    high = np.zeros_like(low)
    for axis, first in enumerate(index.T):
        is_x = axis == len(low) - 1
        np.minimum.at(low[axis], component, first)
        np.maximum.at(high[axis], component, first + length if is_x else first + 1)
    return low.T, (high - low).T


def _sums(component: NDArray[np.int32], n: int, index: Integers, length: Integers) -> tuple[FloatArray, FloatArray]:
    """Return the sums over each component of its voxels' indices, (n, axes), and of products of two, (n, axes, axes).

    They are sums of whole numbers, and exact.

    Parameters
    ----------
    index
        Of the first voxel of each run.
    """
    axes, steps = index.shape[1], length * (length - 1) // 2  # 0 + 1 + ... along a run
    along = index * length[:, None]
    along[:, -1] += steps
    squares = index[:, -1] * steps + steps * (2 * length - 1) // 3
    first: FloatArray = np.stack([np.bincount(component, column, n) for column in along.T], axis=-1)
    second: FloatArray = np.empty((n, axes, axes))
    for i, j in itertools.combinations_with_replacement(range(axes), 2):
        products = index[:, i] * along[:, j] + (squares if i == axes - 1 else 0)
        second[:, i, j] = second[:, j, i] = np.bincount(component, products, n)
    return first, second
