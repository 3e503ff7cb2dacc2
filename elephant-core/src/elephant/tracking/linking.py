"""Joining spots to those of the previous timepoint."""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import connected_components, min_weight_full_bipartite_matching
from scipy.spatial import cKDTree

from elephant.errors import InvalidInputError
from elephant.types import FloatArray

Indices = NDArray[np.intp]
NONE = -1
_MOST_PAIRS = 20_000_000  # some GiB
_DENSE = 40_000  # pairs, near or not, up to which a full table is quickest


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

    Raises
    ------
    InvalidInputError
        `largest` is so large that nearly every spot is near to every other.
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
    later, before = cKDTree(earlier[rows]), cKDTree(spots[columns])
    n_pairs = int(later.count_neighbors(before, largest))
    if n_pairs > _MOST_PAIRS:
        raise InvalidInputError(
            f"{n_pairs:,} pairs of {len(rows):,} and {len(columns):,} spots are nearer than {largest:g}: expected a "
            "distance that a nucleus moves between two timepoints, in the unit of the positions"
        )
    near = later.sparse_distance_matrix(before, largest, output_type="coo_matrix")
    # Spots that have no neighbour in common are apart: each such group is assigned by itself, and small.
    for group in _groups(near.row, near.col, len(rows), len(columns)):
        a, at_a = np.unique(near.row[group], return_inverse=True)
        b, at_b = np.unique(near.col[group], return_inverse=True)
        chosen_a, chosen_b = _cheapest(at_a, at_b, near.data[group], largest)
        parents[rows[a[chosen_a]]] = columns[b[chosen_b]]


def _cheapest(i: Indices, j: Indices, distance: FloatArray, largest: float) -> tuple[Indices, Indices]:
    """Return the pairs of the assignment with the most pairs, and of these the one with the smallest sum of distances.

    Parameters
    ----------
    i, j
        The pairs that may be, by numbers from 0 that all occur.
    distance
        Of each pair, at most `largest`.
    """
    n_rows, n_columns = int(i.max()) + 1, int(j.max()) + 1
    # One pair more is worth more than any distances.
    none = (largest + 1.0) * (n_rows + n_columns)
    if n_rows * n_columns <= _DENSE:
        cost = np.full((n_rows, n_columns), none)
        cost[i, j] = distance
        rows, columns = linear_sum_assignment(cost)
    else:
        # Each row also has a column of its own, which stands for none. What is 0 would not be there: distances are
        # counted from 1, which all assignments with as many pairs pay alike.
        own = np.arange(n_rows)
        places = (np.concatenate([i, own]), np.concatenate([j, n_columns + own]))
        weights = np.concatenate([distance + 1.0, np.full(n_rows, none + 1.0)])
        graph = csr_array((weights, places), shape=(n_rows, n_columns + n_rows))
        rows, columns = min_weight_full_bipartite_matching(graph)
        is_pair = columns < n_columns
        return rows[is_pair], columns[is_pair]
    is_near = cost[rows, columns] <= largest
    return rows[is_near], columns[is_near]


def _groups(i: Indices, j: Indices, n_rows: int, n_columns: int) -> list[Indices]:
    """Return the pairs of each connected group, as indices into the pairs."""
    if not len(i):
        return []
    graph = coo_array((np.ones(len(i), dtype=bool), (i, j + n_rows)), shape=(n_rows + n_columns,) * 2)
    _, group = connected_components(graph, directed=False)
    order = np.argsort(group[i], kind="stable")
    return np.split(order, np.flatnonzero(np.diff(group[i][order])) + 1)
