"""Pairing rows with columns one to one, as many as possible and as cheaply as possible."""

import numpy as np
import scipy  # its parts are loaded where they are first used: a server that answers requests rarely needs them
from numpy.typing import NDArray

from elephant.errors import InvalidInputError
from elephant.types import FloatArray

Indices = NDArray[np.intp]
_MOST_PAIRS = 20_000_000  # some GiB
_DENSE = 40_000  # pairs, near or not, up to which a full table is quickest


def near_pairs(
    first: FloatArray, second: FloatArray, largest: float, meaning: str
) -> tuple[Indices, Indices, FloatArray]:
    """Find all pairs of points that are at most `largest` apart.

    Parameters
    ----------
    first, second
        Positions, physical, (N, 3) and (M, 3).
    meaning
        What `largest` should be, for the error: ``the largest distance that ...``.

    Returns
    -------
    tuple
        Indices into both, and the distance of each pair.

    Raises
    ------
    InvalidInputError
        `largest` is so large that nearly every point is near to every other.
    """
    if not len(first) or not len(second):
        return np.empty(0, np.intp), np.empty(0, np.intp), np.empty(0)
    one, other = scipy.spatial.cKDTree(first), scipy.spatial.cKDTree(second)
    n_pairs = int(one.count_neighbors(other, largest))
    if n_pairs > _MOST_PAIRS:
        raise InvalidInputError(
            f"{n_pairs:,} pairs of {len(first):,} and {len(second):,} spots are closer than {largest:g}: expected "
            f"{meaning}, in the unit of the positions"
        )
    near = one.sparse_distance_matrix(other, largest, output_type="coo_matrix")
    return near.row.astype(np.intp), near.col.astype(np.intp), near.data


def assign(i: Indices, j: Indices, cost: FloatArray, largest: float) -> tuple[Indices, Indices]:
    """Choose pairs so that nothing is in two of them: as many as possible, with the smallest sum of costs.

    Parameters
    ----------
    i, j
        Rows and columns of the possible pairs.
    cost
        Of each pair, 0 to `largest`.

    Returns
    -------
    tuple
        Rows and columns of the chosen pairs.
    """
    is_alone = (np.bincount(i)[i] == 1) & (np.bincount(j)[j] == 1)  # most are, where nuclei are further apart
    chosen = [(i[is_alone], j[is_alone])]
    i, j, cost = i[~is_alone], j[~is_alone], cost[~is_alone]
    # What has no common neighbours is independent: each connected group is small, and assigned by itself.
    for group in _groups(i, j):
        rows, at_row = np.unique(i[group], return_inverse=True)
        columns, at_column = np.unique(j[group], return_inverse=True)
        a, b = _cheapest(at_row, at_column, cost[group], largest)
        chosen.append((rows[a], columns[b]))
    return np.concatenate([rows for rows, _ in chosen]), np.concatenate([columns for _, columns in chosen])


def _cheapest(i: Indices, j: Indices, cost: FloatArray, largest: float) -> tuple[Indices, Indices]:
    """Return the pairs of the assignment with the most pairs, and of these the one with the smallest sum of costs.

    Rows and columns are numbered from 0 without gaps.
    """
    n_rows, n_columns = int(i.max()) + 1, int(j.max()) + 1
    # One more pair outweighs all costs.
    none = (largest + 1.0) * (n_rows + n_columns)
    if n_rows * n_columns <= _DENSE:
        table = np.full((n_rows, n_columns), none)
        table[i, j] = cost
        rows, columns = scipy.optimize.linear_sum_assignment(table)
        is_near = table[rows, columns] <= largest
        return rows[is_near], columns[is_near]
    # Each row also has a column of its own, which means no partner. A sparse 0 would be no pair, so 1 is added to
    # all costs; that changes assignments with the same number of pairs equally.
    own = np.arange(n_rows)
    places = (np.concatenate([i, own]), np.concatenate([j, n_columns + own]))
    weights = np.concatenate([cost + 1.0, np.full(n_rows, none + 1.0)])
    graph = scipy.sparse.csr_array((weights, places), shape=(n_rows, n_columns + n_rows))
    rows, columns = scipy.sparse.csgraph.min_weight_full_bipartite_matching(graph)
    is_pair = columns < n_columns
    return rows[is_pair], columns[is_pair]


def _groups(i: Indices, j: Indices) -> list[Indices]:
    """Return the pairs of each connected group, as indices into the pairs."""
    if not len(i):
        return []
    n_rows, n_columns = int(i.max()) + 1, int(j.max()) + 1
    graph = scipy.sparse.coo_array((np.ones(len(i), dtype=bool), (i, j + n_rows)), shape=(n_rows + n_columns,) * 2)
    _, group = scipy.sparse.csgraph.connected_components(graph, directed=False)
    order = np.argsort(group[i], kind="stable")
    return np.split(order, np.flatnonzero(np.diff(group[i][order])) + 1)
