"""Connected components of a mask: finding them, and measuring them.

A mask is looked at as runs along its last axis. There are few of them, even in a large image: runs that touch are
joined, and sums over their voxels have closed forms.

References
----------
He, Chao and Suzuki, IEEE Transactions on Image Processing 2008, doi:10.1109/TIP.2008.919369, for components of runs.
"""

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import scipy  # its parts are loaded where they are first used: a server that answers requests rarely needs them
from numpy.typing import NDArray

from elephant.slabs import SINGLE_PASS_VOXELS, in_slabs
from elephant.types import FloatArray, Shape

Integers = NDArray[np.int64]
_RUNS = 1 << 14  # that are joined at a time, within the cache


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
    box_start, box_size
        First voxel and size of the bounding box, (N, n).
    mean_value
        Mean of the measured image, (N,).
    """

    count: Integers
    mean_index: FloatArray
    moments: FloatArray
    box_start: Integers
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

    def copy(slab: slice, inside: NDArray[np.bool_]) -> None:
        inside[...] = mask[slab]

    return _measured(values, copy)


def components_above(threshold: float, values: NDArray[np.floating]) -> ComponentStatistics:
    """Label what is above a threshold, and measure it as :func:`component_statistics` does.

    The mask is made slab by slab, and never as a whole.

    Parameters
    ----------
    threshold
        In the unit of `values`.
    values
        (Z), Y, X.
    """

    def compare(slab: slice, inside: NDArray[np.bool_]) -> None:
        np.greater(values[slab], threshold, out=inside)

    return _measured(values, compare)


def labelled_components(labels: NDArray[np.integer]) -> tuple[Integers, ComponentStatistics]:
    """Measure the pieces of each label of an image: voxels of the same label that touch, with full connectivity.

    Parameters
    ----------
    labels
        (Z), Y, X; 0 is background, and belongs to no piece.

    Returns
    -------
    numpy.ndarray
        The label of each piece, (N,), in the order of their first voxels.
    ComponentStatistics
        The pieces; `mean_value` is their label.
    """
    runs = _Runs.of_labels(labels)
    n, component = _joined(runs, is_labelled=True)
    found = np.zeros(n, dtype=np.int64)
    found[component] = runs.values
    return found, _statistics(runs, n, component, found.astype(np.float64))


def components_of_voxels(index: Integers, shape: Shape) -> ComponentStatistics:
    """Measure the components of a few voxels of an image, which is not looked at.

    Parameters
    ----------
    index
        Of the voxels, in the order of the image, (N, n).
    shape
        Of the image, (Z), Y, X.

    Returns
    -------
    ComponentStatistics
        The components, with full connectivity; `mean_value` is 0.
    """
    runs = _Runs.of_voxels(index, shape)
    n, component = _joined(runs)
    return _statistics(runs, n, component, np.zeros(n))


# Writes which voxels of a slab are inside of the mask, into an array of its shape.
WriteMask = Callable[[slice, NDArray[np.bool_]], None]


def _measured(values: NDArray[np.floating], write_mask: WriteMask) -> ComponentStatistics:
    runs = _Runs.of(values, write_mask)
    n, component = _joined(runs)
    count = np.bincount(component, runs.stops - runs.starts, n)
    return _statistics(runs, n, component, np.bincount(component, runs.values, n) / count)


def _statistics(runs: "_Runs", n: int, component: NDArray[np.int32], mean_value: FloatArray) -> ComponentStatistics:
    length = runs.stops - runs.starts
    count = np.bincount(component, length, n).astype(np.int64)
    low, box_size = _boxes(component, n, runs.index, length)
    first, second = _sums(component, n, runs.index - low.T[:, component], length)
    each = count[:, None]
    mean = first / each
    moments = second / each[:, None] - mean[:, :, None] * mean[:, None, :]
    return ComponentStatistics(count, (low * each + first) / each, moments, low, box_size, mean_value)


@dataclass(frozen=True, slots=True, eq=False)
class _Runs:
    """Runs of N lines of voxels along X.

    Attributes
    ----------
    shape
        Of the image, padded by one voxel at the end of each axis but the first, so that there are no neighbours across
        an edge.
    starts, stops
        Where each run starts and stops in a padded image that is flattened, (N,), ascending.
    index
        Of the first voxel of each run, (n, N).
    values
        Sum of the measured image over each run, or its label, (N,).
    """

    shape: Shape
    starts: Integers
    stops: Integers
    index: Integers
    values: NDArray[np.number]

    @classmethod
    def of(cls, values: NDArray[np.floating], write_mask: WriteMask) -> Self:
        """Find the runs of a mask over an image, (Z), Y, X."""
        shape = (values.shape[0], *(size + 1 for size in values.shape[1:]))

        def find(slab: slice) -> tuple[Integers, Integers, Integers, FloatArray]:
            padded = (slab.stop - slab.start, *shape[1:])
            flat = np.zeros(1 + math.prod(padded), dtype=bool)  # a voxel before the first, too
            inside = flat[1:].reshape(padded)[tuple(slice(size) for size in values.shape)]
            write_mask(slab, inside)
            changes = np.flatnonzero(flat[1:] != flat[:-1])
            total = _totals(values[slab][inside], changes[1::2] - changes[::2])
            changes += slab.start * math.prod(shape[1:])
            starts, stops = changes[::2], changes[1::2]
            return starts, stops, np.stack(np.unravel_index(starts, shape)), total

        found = zip(*in_slabs(find, values.shape, SINGLE_PASS_VOXELS), strict=True)
        return cls(shape, *(np.concatenate(parts, axis=-1) for parts in found))

    @classmethod
    def of_voxels(cls, index: Integers, image_shape: Shape) -> Self:
        """Find the runs of voxels that are given in the order of an image, (N, n)."""
        shape = (image_shape[0], *(size + 1 for size in image_shape[1:]))
        flat = np.ravel_multi_index(tuple(index.T), shape).astype(np.int64)
        begins = np.flatnonzero(np.diff(flat, prepend=-2) > 1)
        stops = flat[np.append(begins[1:], len(flat)) - 1] + 1 if len(flat) else flat
        return cls(shape, flat[begins], stops, index[begins].T, np.zeros(len(begins)))

    @classmethod
    def of_labels(cls, labels: NDArray[np.integer]) -> Self:
        """Find the runs of one label, other than 0, over an image, (Z), Y, X."""
        shape = (labels.shape[0], *(size + 1 for size in labels.shape[1:]))

        def find(slab: slice) -> tuple[Integers, Integers, Integers, Integers]:
            padded = (slab.stop - slab.start, *shape[1:])
            flat = np.zeros(1 + math.prod(padded), dtype=labels.dtype)  # a voxel before the first, too
            flat[1:].reshape(padded)[tuple(slice(size) for size in labels.shape)] = labels[slab]
            changes = np.flatnonzero(flat[1:] != flat[:-1])  # each run ends at one: lines are padded
            values = flat[1 + changes]
            begins = np.flatnonzero(values)
            starts, stops = changes[begins], changes[begins + 1]
            shift = slab.start * math.prod(shape[1:])
            starts, stops = starts + shift, stops + shift
            return starts, stops, np.stack(np.unravel_index(starts, shape)), values[begins].astype(np.int64)

        found = zip(*in_slabs(find, labels.shape, SINGLE_PASS_VOXELS), strict=True)
        return cls(shape, *(np.concatenate(parts, axis=-1) for parts in found))


def _totals(values: NDArray[np.floating], length: Integers) -> FloatArray:
    """Return the sum of the values of each run, of which there are some, one run after the other."""
    if not len(length):
        return np.empty(0)
    return np.add.reduceat(values.astype(np.float64), np.cumsum(length) - length)


def _joined(runs: _Runs, *, is_labelled: bool = False) -> tuple[int, NDArray[np.int32]]:
    """Return how many components runs make up, and which of them each run belongs to.

    Parameters
    ----------
    is_labelled
        Whether only runs of the same label belong together.
    """
    starts, stops, lines = runs.starts, runs.stops, _lines_before(runs.shape)
    pieces = in_slabs(lambda piece: _touching(starts, stops, piece, lines), starts.shape, _RUNS, _RUNS)
    run, touched = np.concatenate(pieces, axis=1) if pieces else np.empty((2, 0), dtype=np.int64)
    if is_labelled:
        same = runs.values[run] == runs.values[touched]
        run, touched = run[same], touched[same]
    root = _roots(run, touched, len(starts))
    tree = (np.cumsum(root == np.arange(len(root))) - 1)[root]
    n_trees = int(tree.max(initial=-1)) + 1
    # Few pairs are of two trees: only those are left to be joined.
    one, other = tree[run], tree[touched]
    differ = np.flatnonzero(one != other)
    pairs = (one[differ], other[differ])
    graph = scipy.sparse.coo_array((np.ones(len(differ), dtype=np.int8), pairs), shape=(n_trees, n_trees))
    n, component = scipy.sparse.csgraph.connected_components(graph, directed=False)
    return int(n), component[tree]


def _touching(starts: Integers, stops: Integers, piece: slice, lines: Sequence[int]) -> Integers:
    """Return pairs of a run of a piece and one before it that touches it, (2, pairs)."""
    runs, first, last = np.arange(piece.start, piece.stop), starts[piece], stops[piece]
    pairs = [np.empty((2, 0), dtype=np.int64)]
    for shift in lines:
        # Those whose last voxel is not before the neighbours of a run's first one, to those likewise at its end. Only
        # runs of the part that can be reached are searched.
        low, high = np.searchsorted(stops, first[0] - shift), np.searchsorted(starts, last[-1] - shift, side="right")
        begin = low + np.searchsorted(stops[low:high], first - shift)
        n_touched = low + np.searchsorted(starts[low:high], last - shift, side="right") - begin
        run = np.repeat(runs, n_touched)
        pairs.append(
            np.stack([run, np.arange(len(run)) + np.repeat(begin - np.cumsum(n_touched) + n_touched, n_touched)])
        )
    return np.concatenate(pairs, axis=1)


def _roots(run: Integers, touched: Integers, n: int) -> Integers:
    """Return the first run of the tree that each of `n` runs is in; each hangs on one that it touches, if any."""
    root = np.arange(n)
    root[run] = touched
    while not np.array_equal(root, further := root[root]):
        root = further
    return root


def _lines_before(padded: Shape) -> list[int]:
    """Return how far before a line along X the neighbouring lines lie that come before it, in voxels."""
    strides = [math.prod(padded[axis + 1 :]) for axis in range(len(padded) - 1)]
    offsets = itertools.product((-1, 0, 1), repeat=len(strides))
    distances = (-sum(o * s for o, s in zip(offset, strides, strict=True)) for offset in offsets)
    return [distance for distance in distances if distance > 0]


def _boxes(component: NDArray[np.int32], n: int, index: Integers, length: Integers) -> tuple[Integers, Integers]:
    """Return the first corner and the size of each component's bounding box, both (n, axes)."""
    low = np.full((len(index), n), np.iinfo(np.int64).max)
    high = np.zeros_like(low)
    for axis, first in enumerate(index):
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
        Of the first voxel of each run, (axes, runs).
    """
    axes, steps = len(index), length * (length - 1) // 2  # 0 + 1 + ... along a run
    along = index * length
    along[-1] += steps
    squares = index[-1] * steps + steps * (2 * length - 1) // 3
    first: FloatArray = np.stack([np.bincount(component, row, n) for row in along], axis=-1)
    second: FloatArray = np.empty((n, axes, axes))
    for i, j in itertools.combinations_with_replacement(range(axes), 2):
        products = index[i] * along[j] + (squares if i == axes - 1 else 0)
        second[:, i, j] = second[:, j, i] = np.bincount(component, products, n)
    return first, second
