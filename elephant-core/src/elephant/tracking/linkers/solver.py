"""The best choice among links and divisions: an integer linear program, solved with HiGHS.

References
----------
Q. Huangfu and J. A. J. Hall, Parallelizing the dual revised simplex method, Mathematical Programming Computation 2018.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import coo_array, csc_array, csr_array
from scipy.sparse.csgraph import connected_components

from elephant.errors import ElephantError
from elephant.tracking.assignment import Indices
from elephant.tracking.linkers.candidates import Links, Open
from elephant.tracking.linkers.divisions import Divisions
from elephant.types import FloatArray

_TOLERANCE = 1e-6
_AROUND = 2  # steps from choice to choice over places that they share: more found nothing better
_MOST_AT_ONCE = 4000  # choices: independent problems are handed to the solver together, up to about so many


@dataclass(frozen=True, slots=True, eq=False)
class Choices:
    """Everything that may be chosen: links, then divisions, then spots that are wrong.

    Each takes up places: a spot has one for its parent (its number) and one for its children (that plus N).

    Attributes
    ----------
    links, divisions, wrong
        What may be chosen; of the spots, their indices.
    worth
        Of each choice; the lower, the better.
    place, of
        The places that choices take up, and which choice each of these belongs to.
    """

    links: Links
    divisions: Divisions
    wrong: Indices
    worth: FloatArray
    place: Indices
    of: Indices

    @classmethod
    def from_parts(cls, links: Links, divisions: Divisions, wrong: Indices, saved: FloatArray, free: Open) -> "Choices":
        """Return the choices among candidates.

        Parameters
        ----------
        saved
            What it saves to take each spot of `wrong` for wrong.
        free
            The places that are not taken.
        """
        n = len(free.inward)
        a, b = len(links), len(links) + len(divisions)
        own_links, own_divisions, own_wrong = np.arange(a), np.arange(a, b), np.arange(b, b + len(wrong))
        inward, outward = free.inward[wrong], free.outward[wrong]
        parts = [
            (links.children, own_links), (links.parents + n, own_links),
            (divisions.ones, own_divisions), (divisions.others, own_divisions), (divisions.mothers + n, own_divisions),
            (wrong[inward], own_wrong[inward]), (wrong[outward] + n, own_wrong[outward]),
        ]  # fmt: skip
        place, of = np.concatenate([place for place, _ in parts]), np.concatenate([of for _, of in parts])
        return cls(links, divisions, wrong, np.concatenate([links.worth, divisions.worth, saved]), place, of)

    def __len__(self) -> int:
        return len(self.worth)


def solve(choices: Choices, is_likely: NDArray[np.bool_] | None = None) -> NDArray[np.bool_]:
    """Return which choices are made: those of the least sum of worths in which no place is taken twice.

    Parameters
    ----------
    is_likely
        Which choices may be made, (choices,); None: all.

    Raises
    ------
    ElephantError
        The solver found no solution, although taking nothing is one.
    """
    chosen = np.zeros(len(choices), dtype=bool)
    which = np.arange(len(choices)) if is_likely is None else np.flatnonzero(is_likely)
    if not len(which):
        return chosen
    taken = _places_of(choices, which)
    worth = choices.worth[which]
    is_alone = _are_alone(taken)
    share = np.where(is_alone, worth < 0, 0.0)
    contested = np.flatnonzero(~is_alone)
    for batch in _batches(_groups(taken[:, contested])):
        share[contested[batch]] = _solved(taken, contested[batch], worth, is_whole=False)
    is_part = np.abs(share - np.round(share)) > _TOLERANCE
    if is_part.any():
        _solve_parts(taken, share, is_part, worth)
    chosen[which] = share > 0.5
    return chosen


def _places_of(choices: Choices, which: Indices) -> csc_array:
    """Return a matrix of places and some choices: 1 where a choice takes a place."""
    number = np.full(len(choices), -1, dtype=np.intp)
    number[which] = np.arange(len(which))
    of = number[choices.of]
    places, place = np.unique(choices.place[of >= 0], return_inverse=True)
    return csc_array((np.ones(len(place)), (place, of[of >= 0])), shape=(len(places), len(which)))


def _solve_parts(taken: csc_array, share: FloatArray, is_part: NDArray[np.bool_], worth: FloatArray) -> None:
    """Decide the choices that a linear program takes a part of, together with those around; the others stay.

    The linear program nearly always takes each choice or leaves it.
    """
    rows = csr_array(taken)
    near = is_part
    for _ in range(_AROUND):
        near = rows.T @ (rows @ near.astype(np.float64)) > 0
    # What the others take is not free.
    is_free = rows @ np.where(near, 0.0, np.round(share)) == 0
    batch = np.flatnonzero(near & (rows.T @ (~is_free).astype(np.float64) == 0))
    share[near] = 0.0
    share[batch] = _solved(taken, batch, worth, is_whole=True)


def _are_alone(taken: csc_array) -> NDArray[np.bool_]:
    """Return which choices share no place with another one."""
    n_others = taken.sum(axis=1) - 1
    alone: NDArray[np.bool_] = taken.T @ n_others == 0
    return alone


def _groups(taken: csc_array) -> Indices:
    """Return a number for each choice, the same for those that share places with one another."""
    n_places, n = taken.shape
    both = taken.tocoo()
    graph = coo_array((both.data, (both.row, n_places + both.col)), shape=(n_places + n,) * 2)
    label: Indices = connected_components(graph, directed=False)[1][n_places:]
    return label


def _batches(group: Indices) -> list[Indices]:
    """Return choices in batches of whole groups."""
    if not len(group):
        return []
    order = np.argsort(group, kind="stable")
    size = np.bincount(group)
    ends = np.cumsum(size[size > 0])
    batch = np.concatenate([[0], ends[:-1]]) // _MOST_AT_ONCE
    return np.split(order, ends[:-1][batch[1:] != batch[:-1]])


def _solved(taken: csc_array, batch: Indices, worth: FloatArray, *, is_whole: bool) -> FloatArray:
    """Return how far each choice of a batch is taken, 0 to 1; `is_whole`: 0 or 1."""
    rows = csr_array(taken[:, batch])
    rows = rows[np.diff(rows.indptr) > 1]
    if not rows.shape[0]:
        return (worth[batch] < 0).astype(np.float64)
    result = milp(
        worth[batch],
        constraints=LinearConstraint(rows, -np.inf, 1),
        integrality=np.full(len(batch), int(is_whole)),
        bounds=Bounds(0, 1),
    )
    if result.x is None:
        raise ElephantError(f"the solver HiGHS failed ({result.message}): report it, with the spots")
    share: FloatArray = result.x
    return share
