"""The lineages of a dataset as they are solved: spots, their parents and tracks, and what is doubtful of them."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from elephant.errors import InvalidInputError
from elephant.tracking.suspected import SuspectedDivisions
from elephant.types import FloatArray, VoxelSize

NONE = -1
Indices = NDArray[np.intp]

DOUBTFUL = 0.9  # what is less probable is worth a look
DoubtKind = Literal["division", "start", "end", "gap", "link"]
_DIVISION, _LINK, _END = range(3)


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
        found = np.flatnonzero(np.isin(self.ids, asked))
        index = dict(zip(self.ids[found].tolist(), found.tolist(), strict=True))
        missing = [spot for spot in asked.tolist() if spot not in index]
        if missing:
            raise InvalidInputError(
                f"spot {missing[0]} is not among the {len(self):,} spots that were tracked: use their ids"
            )
        return index


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
class LineageChanges:
    """How tracks have changed.

    Attributes
    ----------
    tracks
        Those that are new, or of whose spots anything has changed, in the order of their numbers.
    gone
        The numbers of those that are no more.
    """

    tracks: list[LineageTrack]
    gone: list[int]


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
    voxel_size
        With which the spots were found; None where it is not known.
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
        Those that are found or suspected, the least certain first.
    """

    version: int
    made_from: str
    dropped: str | None
    voxel_size: VoxelSize | None
    spots: LineageSpots
    parents: Indices
    probability: FloatArray
    ends: FloatArray
    numbers: Indices
    is_confirmed: NDArray[np.bool_]
    divisions: SuspectedDivisions

    def tracks(self) -> list[LineageTrack]:
        """Return all tracks, in the order of their numbers."""
        return self._tracks_of(np.flatnonzero(self.numbers > 0))

    def changes_since(self, before: "Lineage") -> LineageChanges:
        """Return how the tracks of an earlier version of the same spots have changed."""
        is_other = (
            (self.numbers != before.numbers)
            | (self.parents != before.parents)
            | (self.is_confirmed != before.is_confirmed)
            | (self.probability != before.probability) & ~(np.isnan(self.probability) & np.isnan(before.probability))
        )
        # The mother of a track may have another number now.
        is_other |= (self.parents != NONE) & (self.numbers != before.numbers)[self.parents]
        has_changed = np.zeros(len(self.spots) + 1, dtype=bool)
        has_changed[self.numbers[is_other]] = has_changed[before.numbers[is_other]] = True
        has_changed[0] = False
        changed = self._tracks_of(np.flatnonzero(has_changed[self.numbers]))
        has_changed[[track.number for track in changed]] = False
        return LineageChanges(changed, np.flatnonzero(has_changed).tolist())

    def _tracks_of(self, spots: Indices) -> list[LineageTrack]:
        """Return the tracks of spots, which are all of theirs, in the order of their numbers."""
        order = spots[np.argsort(self.numbers[spots], kind="stable")]
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

    def doubts(self, most: int | None = None) -> list[Doubt]:
        """Return what may be wrong, the least certain first.

        Parameters
        ----------
        most
            How many, at most; None: all.
        """
        return self.worst_doubts(most)[0]

    def worst_doubts(self, most: int | None) -> tuple[list[Doubt], int]:
        """Return the same, and how many there are in all."""
        kinds, which, certainty = self._doubtful()
        order = np.argsort(certainty, kind="stable")[:most]
        found = [self._doubt(kind, k) for kind, k in zip(kinds[order].tolist(), which[order].tolist(), strict=True)]
        return found, len(kinds)

    @property
    def n_tracks(self) -> int:
        """How many tracks there are."""
        return int((self.numbers == np.arange(1, len(self.numbers) + 1)).sum())  # they are named by their first spot

    @property
    def n_divisions(self) -> int:
        """How many spots have two children."""
        return int((np.bincount(self.parents[self.parents != NONE], minlength=1) > 1).sum())

    def _doubtful(self) -> tuple[Indices, Indices, FloatArray]:
        """Return doubtful divisions, links (or starts) and ends: of each what it is, which one, and how certain."""
        divisions, times = self.divisions, self.spots.timepoints
        of_divisions = np.where(divisions.is_chosen, divisions.probability, 1 - divisions.probability)
        in_doubt = np.flatnonzero(of_divisions < DOUBTFUL)
        is_listed, has_child = np.zeros((2, len(self.spots)), dtype=bool)
        is_listed[divisions.spots[in_doubt[divisions.is_chosen[in_doubt]], 1:]] = True
        has_child[self.parents[self.parents != NONE]] = True
        is_nucleus = self.numbers > 0
        links = np.flatnonzero((self.probability < DOUBTFUL) & is_nucleus & (times > times[:1]) & ~is_listed)
        ends = np.flatnonzero(~has_child & (self.ends < DOUBTFUL) & is_nucleus & (times < times[-1:]))
        certainty = np.concatenate([of_divisions[in_doubt], self.probability[links], self.ends[ends]])
        kinds = np.repeat([_DIVISION, _LINK, _END], [len(in_doubt), len(links), len(ends)])
        return kinds, np.concatenate([in_doubt, links, ends]), certainty

    def _doubt(self, kind: int, k: int) -> Doubt:
        if kind == _DIVISION:
            one = self.divisions[k]
            return Doubt("division", (one.mother, *one.daughters), one.probability, one.is_chosen)
        if kind == _END:
            return Doubt("end", (k,), float(self.ends[k]))
        i, p, times = int(self.parents[k]), float(self.probability[k]), self.spots.timepoints
        if i == NONE:
            return Doubt("start", (k,), p)
        return Doubt("gap" if times[k] - times[i] > 1 else "link", (i, k), p)


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
