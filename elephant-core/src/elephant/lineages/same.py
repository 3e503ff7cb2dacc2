"""Which spots of one list are those of another, by their places."""

from collections.abc import Iterable

import numpy as np
from scipy.spatial import cKDTree

from elephant.lineages.lineage import LineageSpots

_NEAR = 0.5  # of the distance to the nearest other spot


def same_spots(old: LineageSpots, new: LineageSpots, ids: Iterable[int]) -> dict[int, int]:
    """Return the new ids of spots that are at the same place at the same timepoint, by their old ids.

    A spot is the same if each of the two is the one that is nearest to the other, and much nearer than another spot.

    Parameters
    ----------
    ids
        Old ids of the spots that are looked for.
    """
    index = old.index_of(ids)
    by_time: dict[int, list[int]] = {}
    for i in index.values():
        by_time.setdefault(int(old.timepoints[i]), []).append(i)
    found: dict[int, int] = {}
    for t, spots in by_time.items():
        found |= _same_at(old, new, t, spots)
    return found


def _same_at(old: LineageSpots, new: LineageSpots, t: int, spots: list[int]) -> dict[int, int]:
    before, now = old.at(t), new.at(t)
    if now.stop == now.start:
        return {}
    places, others = old.positions[before], new.positions[now]
    tree, other_tree = cKDTree(places), cKDTree(others)
    found: dict[int, int] = {}
    for i in spots:
        distance, j = other_tree.query(old.positions[i])
        back = int(tree.query(others[j])[1])
        apart = tree.query(old.positions[i], k=2)[0][1]  # infinite where it is alone
        if back == i - before.start and distance <= _NEAR * apart:
            found[int(old.ids[i])] = int(new.ids[now.start + int(np.intp(j))])
    return found
