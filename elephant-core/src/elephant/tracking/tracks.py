"""Tracks: runs of spots between divisions, as the Cell Tracking Challenge counts them."""

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

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

    A spot continues the track of its parent if it is the only child; the children of a division begin tracks.

    Parameters
    ----------
    timepoints
        Timepoint of each spot, by its name.
    parents
        Id of the parent of a spot at the previous timepoint, if there is one.

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
