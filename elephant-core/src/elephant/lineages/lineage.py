"""The lineages of a dataset as they are solved: spots, their parents and tracks, and what is doubtful of them."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from elephant.errors import InvalidInputError
from elephant.types import FloatArray

NONE = -1
Indices = NDArray[np.intp]

DOUBTFUL = 0.9  # what is less probable is worth a look
DoubtKind = Literal["division", "start", "end", "gap", "link"]


@dataclass(frozen=True, slots=True, eq=False)
class LineageSpots:
    """The spots that lineages are made of, in the order of their timepoints.

    Attributes
    ----------
    ids
        Their names, (N,).
    timepoints
        (N,).
    positions
        Physical, (N, 3), Z, Y, X.
    radii
        Physical, (N,); NaN where it is not known.
    """

    ids: NDArray[np.int64]
    timepoints: NDArray[np.int64]
    positions: FloatArray
    radii: FloatArray

    def __len__(self) -> int:
        return len(self.ids)

    def at(self, t: int) -> slice:
        """Return the indices of the spots of a timepoint."""
        first, stop = np.searchsorted(self.timepoints, [t, t + 1])
        return slice(int(first), int(stop))

    def index_of(self, ids: Iterable[int]) -> dict[int, int]:
        """Return the indices of spots by their ids.

        Raises
        ------
        InvalidInputError
            One is not there.
        """
        asked = np.array(sorted(set(ids)), dtype=np.int64)
        order = np.argsort(self.ids, kind="stable")
        places = np.searchsorted(self.ids, asked, sorter=order)
        found = order[np.minimum(places, len(order) - 1)]
        missing = asked[self.ids[found] != asked]
        if len(missing):
            raise InvalidInputError(
                f"spot {missing[0]} is not among the {len(self):,} spots that were tracked: use their ids"
            )
        return dict(zip(asked.tolist(), found.tolist(), strict=True))


@dataclass(frozen=True, slots=True, eq=False)
class LineageTrack:
    """A nucleus from where it appears or is born to where it divides or is lost.

    Attributes
    ----------
    number
        That of its first spot among all, from 1: it stays while that spot is its first.
    parent
        The number of the track that divided into it; 0 if there is none.
    first, last
        Indices of its first and its last spot.
    n_spots
        How many it has.
    probability
        The least of those of its links; NaN where the linker does not tell.
    is_confirmed
        Whether all its links were confirmed, and there is one.
    """

    number: int
    parent: int
    first: int
    last: int
    n_spots: int
    probability: float
    is_confirmed: bool


@dataclass(frozen=True, slots=True, eq=False)
class Doubt:
    """What may be wrong.

    Attributes
    ----------
    kind
        What it is.
    spots
        Indices of the spots that it concerns, the parent first.
    probability
        That it is there.
    is_chosen
        Whether it is part of the solution.
    """

    kind: DoubtKind
    spots: tuple[int, ...]
    probability: float
    is_chosen: bool = True

    @property
    def certainty(self) -> float:
        """Probability that it is as it is solved, there or not."""
        return self.probability if self.is_chosen else 1 - self.probability

    @property
    def where(self) -> int:
        """Index of the spot to look at, which is the mother of a division, or else the later spot."""
        return self.spots[0] if self.kind == "division" else self.spots[-1]


@dataclass(frozen=True, slots=True, eq=False)
class Lineage:
    """The lineages of a movie at one of their versions.

    Attributes
    ----------
    version
        Grows with each correction, and each time that the movie is tracked.
    made_from
        What the spots were and how they were joined, in words.
    dropped
        Words about what could not be kept of earlier corrections; None if all was kept.
    spots
        All spots, N of them.
    parents
        For each spot, the index of its parent, or -1, (N,).
    probability
        That the parent, or that there is none, is right, (N,); NaN where it is not known.
    ends
        Probability that it has no child, (N,); NaN where it is not known.
    numbers
        The track of each, (N,); 0 for spots that are no nuclei.
    is_confirmed
        Of which spots the link to the parent is confirmed, (N,).
    divisions
        Those that are found or suspected.
    """

    version: int
    made_from: str
    dropped: str | None
    spots: LineageSpots
    parents: Indices
    probability: FloatArray
    ends: FloatArray
    numbers: Indices
    is_confirmed: NDArray[np.bool_]
    divisions: tuple[Doubt, ...]

    def tracks(self) -> list[LineageTrack]:
        """Return all tracks, in the order of their numbers."""
        order = np.argsort(self.numbers, kind="stable")
        order = order[self.numbers[order] > 0]
        if not len(order):
            return []
        begin = np.flatnonzero(np.diff(self.numbers[order], prepend=0))
        sizes = np.diff(begin, append=len(order))
        first, last = order[begin], order[begin + sizes - 1]
        least = np.minimum.reduceat(self.probability[order], begin)
        has_link = self.parents[order] != NONE
        n_links = np.add.reduceat(has_link, begin, dtype=np.intp)
        n_confirmed = np.add.reduceat(has_link & self.is_confirmed[order], begin, dtype=np.intp)
        mothers = np.where(self.parents[first] == NONE, 0, self.numbers[self.parents[first]])
        is_confirmed = (n_links > 0) & (n_confirmed == n_links)
        columns = (self.numbers[first], mothers, first, last, sizes, least, is_confirmed)
        return [LineageTrack(*row) for row in zip(*(column.tolist() for column in columns), strict=True)]

    def doubts(self) -> list[Doubt]:
        """Return what may be wrong, the least certain first."""
        divisions = [one for one in self.divisions if one.certainty < DOUBTFUL]
        listed = {spot for each in divisions for spot in each.spots[1:] if each.is_chosen}
        found = [*divisions, *(one for one in self._doubtful_links() if one.spots[-1] not in listed)]
        found += self._doubtful_ends()
        return sorted(found, key=lambda one: one.certainty)

    @property
    def n_tracks(self) -> int:
        """How many tracks there are."""
        return len(np.unique(self.numbers[self.numbers > 0]))

    @property
    def n_divisions(self) -> int:
        """How many spots have two children."""
        return int((np.bincount(self.parents[self.parents != NONE], minlength=1) > 1).sum())

    def _doubtful_links(self) -> list[Doubt]:
        """Return doubtful links, those over gaps and the starts of tracks."""
        times, first = self.spots.timepoints, self.spots.timepoints[:1]
        is_doubtful = (self.probability < DOUBTFUL) & (self.numbers > 0) & (times > first)
        found = []
        for j in np.flatnonzero(is_doubtful).tolist():
            i, p = int(self.parents[j]), float(self.probability[j])
            if i == NONE:
                found.append(Doubt("start", (j,), p))
            else:
                found.append(Doubt("gap" if times[j] - times[i] > 1 else "link", (i, j), p))
        return found

    def _doubtful_ends(self) -> list[Doubt]:
        times = self.spots.timepoints
        has_child = np.zeros(len(self.spots), dtype=bool)
        has_child[self.parents[self.parents != NONE]] = True
        is_doubtful = ~has_child & (self.ends < DOUBTFUL) & (self.numbers > 0) & (times < times[-1:])
        return [Doubt("end", (i,), float(self.ends[i])) for i in np.flatnonzero(is_doubtful).tolist()]


def numbered(timepoints: NDArray[np.int64], parents: Indices, is_wrong: NDArray[np.bool_]) -> Indices:
    """Return the track of each spot: 1 more than the index of its first spot; 0 for spots that are no nuclei.

    A spot goes on with the track of its parent if it is the only child.

    Parameters
    ----------
    timepoints
        Of each spot, ascending, (N,).
    parents
        The index of the parent of each, or -1, (N,).
    is_wrong
        Which spots are no nuclei, (N,).
    """
    n = len(parents)
    n_children = np.bincount(parents[parents != NONE], minlength=n)
    goes_on = (parents != NONE) & (n_children[parents] == 1)
    numbers: Indices = np.where(is_wrong, 0, np.arange(1, n + 1))
    bounds = np.flatnonzero(np.diff(timepoints, prepend=timepoints[:1] - 1, append=timepoints[-1:] + 1))
    for begin, stop in pairwise(bounds.tolist()):
        here = np.arange(begin, stop)[goes_on[begin:stop]]
        numbers[here] = numbers[parents[here]]
    return numbers
