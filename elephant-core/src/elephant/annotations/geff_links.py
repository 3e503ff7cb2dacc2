"""The edges of a graph in the Graph Exchange File Format: the parent of each node."""

import logging

import numpy as np
from numpy.typing import NDArray

from elephant.annotations.geff_store import GeffStore
from elephant.errors import InvalidInputError
from elephant.types import FloatArray
from elephant.words import counted

_EXAMPLES = 3

Integers = NDArray[np.int64]

logger = logging.getLogger(__name__)


def parents_of(store: GeffStore, ids: Integers, times: Integers, positions: FloatArray) -> Integers:
    """Return the index of the parent of each node, or -1, (N,).

    Parameters
    ----------
    ids, times, positions
        Of the nodes, (N,), (N,) and (N, n).

    Raises
    ------
    InvalidInputError
        An edge is of a node that is not there, or some edges do not lead forward in time.
    """
    name = store.name
    edges = store.ids("edges")
    if not len(edges):
        return np.full(len(ids), -1, dtype=np.int64)
    order = np.argsort(ids, kind="stable")
    places = np.searchsorted(ids[order], edges)
    places = np.minimum(places, max(len(ids) - 1, 0))
    known = (ids[order][places] == edges) if len(ids) else np.zeros(edges.shape, dtype=bool)
    if not known.all():
        raise InvalidInputError(
            f"{name} has {counted(int((~known.all(axis=1)).sum()), 'edge')} of nodes that it does not hold, such as "
            f"{edges[~known][0]}: copy or export it again"
        )
    sources, targets = _in_time(name, np.unique(order[places], axis=0), ids, times)
    distances = np.linalg.norm(positions[sources] - positions[targets], axis=1)
    best_last = np.lexsort((-distances, times[sources]))
    parents = np.full(len(ids), -1, dtype=np.int64)
    parents[targets[best_last]] = sources[best_last]  # the last one that is written stays
    _say_what_merged(name, ids[np.bincount(targets, minlength=len(ids)) > 1])
    return parents


def _in_time(name: str, ends: Integers, ids: Integers, times: Integers) -> tuple[Integers, Integers]:
    """Return the earlier and the later end of each edge."""
    steps = times[ends[:, 1]] - times[ends[:, 0]]
    if (steps < 0).all():
        logger.warning("%s: all edges lead back in time: read as from children to parents", name)
        return ends[:, 1], ends[:, 0]
    wrong = np.flatnonzero(steps <= 0)
    if len(wrong):
        source, target = ends[wrong[0]]
        raise InvalidInputError(
            f"expected the edges of {name} to lead from parents to later children, got {len(wrong)} that do not, such "
            f"as from {ids[source]} at timepoint {times[source]} to {ids[target]} at {times[target]}: export it again"
        )
    return ends[:, 0], ends[:, 1]


def _say_what_merged(name: str, merged: Integers) -> None:
    if not len(merged):
        return
    more = f" and {len(merged) - _EXAMPLES} more" if len(merged) > _EXAMPLES else ""
    logger.warning(
        "%s: %s with several parents (%s%s): the nearest of the latest ones is kept, since a nucleus has one parent",
        name,
        counted(len(merged), "node"),
        ", ".join(map(str, merged[:_EXAMPLES])),
        more,
    )
