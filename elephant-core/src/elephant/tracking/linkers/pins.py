"""Corrections of a person, as constraints of a part of a movie."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from elephant.tracking.assignment import Indices
from elephant.tracking.linkers.base import Corrections
from elephant.tracking.linkers.movie import Movie
from elephant.tracking.suspected import Pair

LATEST_DAUGHTER = 2  # timepoints after her mother


@dataclass(frozen=True, slots=True, eq=False)
class Pins:
    """What has to be kept.

    Attributes
    ----------
    closed_in, closed_out
        Spots that get no parent, or no child, but from `settled`, (N,).
    is_real
        Spots that have a settled link: they are not wrong, (N,).
    has_parent
        Those of them that are a child, (N,).
    links
        Confirmed links to one of the next timepoints, (k, 2): the parent may divide.
    cuts
        Links that are not there, (k, 2).
    undivided
        Spots that do not divide, (k,).
    """

    closed_in: NDArray[np.bool_]
    closed_out: NDArray[np.bool_]
    is_real: NDArray[np.bool_]
    has_parent: NDArray[np.bool_]
    links: Indices
    cuts: Indices
    undivided: Indices

    @classmethod
    def of(cls, corrections: Corrections, movie: Movie) -> Self:
        """Return those of a movie.

        Raises
        ------
        InvalidInputError
            The corrections contradict one another.
        """
        corrections.check(movie.times)
        closed_in, closed_out, is_real, has_parent = np.zeros((4, len(movie)), dtype=bool)
        closed_in[[*corrections.starts, *corrections.wrong]] = True
        closed_out[[*corrections.ends, *corrections.wrong]] = True
        settled = settled_links(corrections, movie)
        for i, j in settled:
            closed_out[i] = closed_in[j] = is_real[i] = is_real[j] = has_parent[j] = True
        links = sorted(corrections.links - set(settled))
        undivided = np.array(sorted(corrections.undivided), dtype=np.intp)
        cuts = _pairs(sorted(corrections.cuts))
        return cls(closed_in, closed_out, is_real, has_parent, _pairs(links), cuts, undivided)

    def part(self, movie: Movie, first: int, stop: int) -> Self:
        """Return those of some timepoints, by the indices of that part."""
        here = movie.slice_of(first, stop)
        closed_out = self.closed_out[here].copy()
        closed_out[_within(self.links[:, 0], here)[_outside(self.links, here, inside=0)]] = True
        return type(self)(
            self.closed_in[here],
            closed_out,
            self.is_real[here],
            self.has_parent[here],
            _both(self.links, here),
            _both(self.cuts, here),
            self.undivided[(self.undivided >= here.start) & (self.undivided < here.stop)] - here.start,
        )

    def key(self) -> bytes:
        """Return what differs where anything differs."""
        arrays = (self.closed_in, self.closed_out, self.is_real, self.has_parent, self.links, self.cuts, self.undivided)
        return b"|".join(array.tobytes() for array in arrays)


def settled_links(corrections: Corrections, movie: Movie) -> list[Pair]:
    """Return the confirmed links that nothing can be added to: over a long gap, or to the second of two children."""
    n_children: dict[int, int] = {}
    for parent, _ in corrections.links:
        n_children[parent] = n_children.get(parent, 0) + 1
    times = movie.times
    is_long = {i for i, j in corrections.links if times[j] - times[i] > LATEST_DAUGHTER}
    return sorted((i, j) for i, j in corrections.links if n_children[i] > 1 or i in is_long)


def _pairs(links: list[Pair]) -> Indices:
    return np.array(links, dtype=np.intp).reshape(-1, 2)


def _both(links: Indices, here: slice) -> Indices:
    inside = np.all((links >= here.start) & (links < here.stop), axis=1)
    both: Indices = links[inside] - here.start
    return both


def _outside(links: Indices, here: slice, inside: int) -> NDArray[np.bool_]:
    """Return which links have only one end in a part: their parent (0) or their child (1)."""
    is_inside = (links >= here.start) & (links < here.stop)
    outside: NDArray[np.bool_] = is_inside[:, inside] & ~is_inside[:, 1 - inside]
    return outside


def _within(spots: Indices, here: slice) -> Indices:
    within: Indices = spots - here.start
    return within
