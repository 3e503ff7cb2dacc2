"""Which labels of two masks are the same nuclei."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from elephant.errors import InvalidInputError
from elephant.types import FloatArray

Labels = NDArray[np.int64]
_BITS = 16


@dataclass(frozen=True, slots=True, eq=False)
class MaskMatch:
    """What two masks of a timepoint have in common.

    Attributes
    ----------
    true_labels, found_labels
        Labels in each, ascending, without the background.
    pairs
        A true label and the found one that covers more than half of its voxels, (N, 2), by the true label.
    shares
        Of each pair, the intersection by the union.
    """

    true_labels: Labels
    found_labels: Labels
    pairs: Labels
    shares: FloatArray


def match_masks(true: NDArray[np.integer], found: NDArray[np.integer]) -> MaskMatch:
    """Find the labels that are the same nuclei, by the rule of the Cell Tracking Challenge.

    Parameters
    ----------
    true, found
        Labels, 0 to 65535, (Z), Y, X; 0 is background.

    Raises
    ------
    InvalidInputError
        Their sizes differ.

    References
    ----------
    Matula et al., PLoS ONE 2015, doi:10.1371/journal.pone.0144959.
    """
    if true.shape != found.shape:
        raise InvalidInputError(
            f"expected masks of the same size, got {found.shape[::-1]} and true ones of {true.shape[::-1]} voxels (X, "
            "Y, Z): choose those of the same movie"
        )
    n_true, n_found = np.zeros(1 << _BITS, np.int64), np.zeros(1 << _BITS, np.int64)
    codes, counts = np.empty(0, np.int64), np.empty(0, np.int64)
    planes = (-1, *true.shape[-2:])
    for one, other in zip(true.reshape(planes), found.reshape(planes), strict=True):  # indices take 8 bytes a voxel
        n_true += np.bincount(one.ravel(), minlength=1 << _BITS)
        n_found += np.bincount(other.ravel(), minlength=1 << _BITS)
        is_both = (one > 0) & (other > 0)
        here, there = one[is_both].astype(np.int64), other[is_both].astype(np.int64)
        new, n_new = np.unique((here << _BITS) | there, return_counts=True)
        codes, counts = _added(codes, counts, new, n_new)
    a, b = codes >> _BITS, codes & ((1 << _BITS) - 1)
    is_same = 2 * counts > n_true[a]
    a, b, common = a[is_same], b[is_same], counts[is_same]
    n_true[0] = n_found[0] = 0
    shares: FloatArray = common / (n_true[a] + n_found[b] - common)
    return MaskMatch(np.flatnonzero(n_true), np.flatnonzero(n_found), np.stack([a, b], axis=1), shares)


def _added(codes: Labels, counts: Labels, new: Labels, n_new: Labels) -> tuple[Labels, Labels]:
    every, place = np.unique(np.concatenate([codes, new]), return_inverse=True)
    total = np.zeros(len(every), np.int64)
    np.add.at(total, place, np.concatenate([counts, n_new]))
    return every, total
