"""Which spot of the timepoint before each spot came from."""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from elephant.types import FloatArray

Indices = NDArray[np.intp]
NONE = -1


def join(earlier: FloatArray, spots: FloatArray, largest: float, n_children: int = 2) -> Indices:
    """Join spots to those of the timepoint before.

    Spots are joined one to one first: as many as can be, and of all ways to do so the one with the smallest sum of
    distances. Where `n_children` is 2, spots that are left are then joined in the same way to those that have one
    child: a division.

    Parameters
    ----------
    earlier
        Where each spot was at the timepoint before, as a flow says, physical, (N, 3).
    spots
        The spots of that timepoint, physical, (M, 3).
    largest
        Spots further apart than this are not joined.
    n_children
        1 or 2.

    Returns
    -------
    numpy.ndarray
        For each of the N, the index of its parent among the M, or -1.
    """
    parents = np.full(len(earlier), NONE, dtype=np.intp)
    _assign(earlier, spots, largest, np.arange(len(earlier)), np.arange(len(spots)), parents)
    if n_children > 1:
        left, used = np.flatnonzero(parents == NONE), np.unique(parents[parents != NONE])
        _assign(earlier, spots, largest, left, used, parents)
    return parents


def _assign(
    earlier: FloatArray, spots: FloatArray, largest: float, rows: Indices, columns: Indices, parents: Indices
) -> None:
    """Give each of the rows that can have one a parent among the columns, no two the same."""
    if not len(rows) or not len(columns):
        return
    near = cKDTree(earlier[rows]).sparse_distance_matrix(cKDTree(spots[columns]), largest, output_type="coo_matrix")
    # Spots that have no neighbour in common are apart: each such group is assigned by itself, and small.
    for group in _groups(near.row, near.col, len(rows), len(columns)):
        i, j, distance = near.row[group], near.col[group], near.data[group]
        a, at_a = np.unique(i, return_inverse=True)
        b, at_b = np.unique(j, return_inverse=True)
        # One pair more is worth more than any distances.
        cost = np.full((len(a), len(b)), (largest + 1.0) * (len(a) + len(b)))
        cost[at_a, at_b] = distance
        chosen_a, chosen_b = linear_sum_assignment(cost)
        is_near = cost[chosen_a, chosen_b] <= largest
        parents[rows[a[chosen_a[is_near]]]] = columns[b[chosen_b[is_near]]]


def _groups(i: Indices, j: Indices, n_rows: int, n_columns: int) -> list[Indices]:
    """Return the pairs of each connected group, as indices into the pairs."""
    if not len(i):
        return []
    graph = coo_array((np.ones(len(i), dtype=bool), (i, j + n_rows)), shape=(n_rows + n_columns,) * 2)
    _, group = connected_components(graph, directed=False)
    order = np.argsort(group[i], kind="stable")
    return np.split(order, np.flatnonzero(np.diff(group[i][order])) + 1)
