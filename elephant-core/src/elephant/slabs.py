"""Working through a large image slab by slab, on all cores that this process may use. Knows no PyTorch."""

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from elephant.hardware import n_cores
from elephant.types import Shape

T = TypeVar("T")

SLAB_VOXELS = 1 << 18  # as float32, they stay in a core's cache from one operation to the next
SINGLE_PASS_VOXELS = 1 << 20  # for work that looks at each value once, where the cache does not matter
THREAD_VOXELS = 1 << 22  # of quick work; fewer take about as long as it takes to start a thread


def in_slabs(
    work: Callable[[slice], T], shape: Shape, slab_voxels: int = SLAB_VOXELS, thread_voxels: int = THREAD_VOXELS
) -> list[T]:
    """Do something with each slab of an image, in threads if the image is large.

    Threads help as far as NumPy releases Python's lock, which most operations on arrays do.

    Parameters
    ----------
    work
        Given the slab as a slice of the first axis; must not depend on what is done with other slabs.
    shape
        Of the image, (Z), Y, X; the first axis is cut.
    slab_voxels
        How many voxels a slab has at most, unless a single index of the first axis has more.
    thread_voxels
        For how many voxels a thread is worth its start.

    Returns
    -------
    list
        What `work` returned, in the order of the slabs.
    """
    length, plane = shape[0], math.prod(shape[1:])
    step = max(1, slab_voxels // max(plane, 1))
    slabs = [slice(first, min(first + step, length)) for first in range(0, length, step)]
    n_threads = min(n_cores(), len(slabs), length * plane // thread_voxels)
    if n_threads < 2:
        return [work(slab) for slab in slabs]
    with ThreadPoolExecutor(n_threads, thread_name_prefix="slabs") as threads:
        return list(threads.map(work, slabs))


def extremes(image: NDArray[Any]) -> tuple[Any, Any]:
    """Return the least and the largest value of an image, (Z), Y, X; both NaN where there is any NaN."""
    ranges = in_slabs(lambda slab: (image[slab].min(), image[slab].max()), image.shape, SINGLE_PASS_VOXELS)
    lows, highs = zip(*ranges, strict=True)
    return np.min(lows), np.max(highs)
