"""Joining spots to those of the previous timepoint, and numbering the tracks that result."""

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from elephant.tracking.assignment import Indices, assign, near_pairs
from elephant.types import FloatArray, Link, Spot

NONE = -1
_MEANING = "the largest distance that a nucleus moves between two timepoints"


def join(earlier: FloatArray, spots: FloatArray, largest: float, n_children: int = 2) -> Indices:
    """Join spots to those of the timepoint before.

    First, spots are joined one to one: as many as possible, with the smallest sum of distances. If `n_children` is 2,
    the remaining spots are then joined in the same way to those that have one child: a division.

    Parameters
    ----------
    earlier
        Position of each spot at the timepoint before, from a flow, physical, (N, 3).
    spots
        Positions of the spots of that timepoint, physical, (M, 3).
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
    """Assign rows to distinct parents among the columns, as far as possible."""
    near = near_pairs(earlier[rows], spots[columns], largest, _MEANING)
    later, before = assign(*near, largest)
    parents[rows[later]] = columns[before]


Name = TypeVar("Name", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Track:
    """A run of spots at consecutive timepoints.

    Attributes
    ----------
    number
        From 1.
    first, last
        Its timepoints, inclusive.
    parent
        The number of the track that divided into this one; 0 if there is none.
    """

    number: int
    first: int
    last: int
    parent: int


def tracks_of(timepoints: Mapping[Name, int], parents: Mapping[Name, Name]) -> tuple[dict[Name, int], list[Track]]:
    """Number the tracks of spots whose parents are known.

    A spot continues the track of its parent if it is the only child; the children of a division begin new tracks.

    Parameters
    ----------
    timepoints
        Timepoint of each spot, by its name.
    parents
        Name of each spot's parent at the previous timepoint, for spots that have one.

    Returns
    -------
    dict
        The number of each spot's track.
    list of Track
        All tracks, in the order of their numbers.
    """
    n_children = Counter(parents.values())
    number: dict[Name, int] = {}
    tracks: list[Track] = []
    for name in _in_time(timepoints):
        t, parent = timepoints[name], parents.get(name)
        if parent is not None and n_children[parent] == 1:
            number[name] = number[parent]
            before = tracks[number[parent] - 1]
            tracks[number[parent] - 1] = Track(before.number, before.first, t, before.parent)
        else:
            number[name] = len(tracks) + 1
            tracks.append(Track(number[name], t, t, number[parent] if parent is not None else 0))
    return number, tracks


def _in_time(timepoints: Mapping[Name, int]) -> Sequence[Name]:
    return sorted(timepoints, key=lambda name: timepoints[name])


@dataclass(frozen=True, slots=True, eq=False)
class Tracks:
    """Spots joined to tracks.

    Attributes
    ----------
    spots
        All of them, by timepoint.
    parents
        For each spot, the index in `spots` of its parent at the timepoint before, or -1.
    numbers
        For each spot, the number of its track, from 1. A division ends a track and begins two.
    tracks
        First and last timepoint and parent of each track, in the order of their numbers.
    """

    spots: Sequence[Spot]
    parents: Sequence[int]
    numbers: Sequence[int]
    tracks: Sequence[Track]

    def table(self) -> FloatArray:
        """Return a row for each spot, (N, 5): number of the track, t, and the physical position, z, y, x."""
        rows = [(number, spot.t, *spot.pos) for number, spot in zip(self.numbers, self.spots, strict=True)]
        return np.array(rows, dtype=np.float64).reshape(-1, 5)

    def links(self) -> list[Link]:
        """Return the links from spots to their parents: what a flow model is trained on."""
        return [
            Link(self.spots[j].t, spot.pos, spot.covariance, self.spots[j].pos - spot.pos)
            for spot, j in zip(self.spots, self.parents, strict=True)
            if j >= 0
        ]


def join_spots(spots: Sequence[Spot], earlier: FloatArray, largest: float, n_children: int = 2) -> Tracks:
    """Join spots of consecutive timepoints to tracks.

    Parameters
    ----------
    spots
        Of any timepoints.
    earlier
        Position of each at the timepoint before, physical, (N, 3), Z, Y, X.
    largest, n_children
        As for :func:`elephant.tracking.join`.

    Raises
    ------
    InvalidInputError
        `largest` is so large that nearly every spot is near to every other.
    """
    order = sorted(range(len(spots)), key=lambda i: spots[i].t)
    ordered = [spots[i] for i in order]
    parents = parents_of([spot.t for spot in ordered], _positions(ordered), earlier[order], largest, n_children)
    named = {i: parent for i, parent in enumerate(parents) if parent >= 0}
    numbers, tracks = tracks_of({i: spot.t for i, spot in enumerate(ordered)}, named)
    return Tracks(ordered, parents, [numbers[i] for i in range(len(ordered))], tracks)


def parents_of(
    timepoints: Sequence[int], positions: FloatArray, earlier: FloatArray, largest: float, n_children: int
) -> list[int]:
    """Return for each spot the index of its parent at the timepoint before, or -1.

    Parameters
    ----------
    timepoints
        Of each spot.
    positions, earlier
        Position of each, at its timepoint and at the one before, physical, (N, 3).
    largest, n_children
        As for :func:`elephant.tracking.join`.
    """
    times = np.asarray(timepoints, dtype=np.int64)
    parents = np.full(len(times), -1, dtype=np.intp)
    for t in np.unique(times):
        now, before = np.flatnonzero(times == t), np.flatnonzero(times == t - 1)
        joined = join(earlier[now], positions[before], largest, n_children)
        parents[now[joined >= 0]] = before[joined[joined >= 0]]
    return [int(parent) for parent in parents]


def _positions(spots: Sequence[Spot]) -> FloatArray:
    return np.array([spot.pos for spot in spots]).reshape(-1, 3)
