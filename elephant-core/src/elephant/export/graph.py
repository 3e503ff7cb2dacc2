"""The tracks in a table of nuclei as a graph: numbered nuclei, and an edge from each parent to its child."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from elephant.export.base import TrackedNucleus
from elephant.tracking import TrackedSpot, lineage_of
from elephant.tracking.lineage import NONE, in_time
from elephant.words import counted

Numbers = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class TrackGraph:
    """N nuclei and their tracks.

    Attributes
    ----------
    nuclei
        The nuclei.
    ids
        A number for each that no other has, at least 0, (N,): those of the file where they are such numbers.
    parents
        For each, the index of its parent, or -1, (N,).
    tracklets
        For each, the number of the longest path without a division that it is on, from 1, (N,).
    lineages
        For each, the number of the tree that it is in, from 1, (N,).
    remarks
        Sentences about what was guessed or changed.
    """

    nuclei: Sequence[TrackedNucleus]
    ids: Numbers
    parents: Numbers
    tracklets: Numbers
    lineages: Numbers
    remarks: Sequence[str]

    @classmethod
    def of(cls, nuclei: Sequence[TrackedNucleus], timepoints: range) -> Self:
        """Return the graph of the nuclei at some timepoints.

        Raises
        ------
        InvalidInputError
            A parent is not earlier than its child, or a track has several nuclei that could be the parent.
        """
        inside = [nucleus for nucleus in nuclei if nucleus.t in timepoints]
        others = {n.id for n in nuclei if n.id is not None and n.t not in timepoints}
        tracked = [
            TrackedSpot(n.t, n.id, n.parent, None if n.track is None or n.track < 0 else n.track) for n in inside
        ]
        lineage = lineage_of(tracked, others)
        parents = np.array(lineage.parents, dtype=np.int64)
        ids, remarks = _ids(inside)
        if lineage.unknown:
            count = counted(len(lineage.unknown), "nucleus", "nuclei")
            remarks.append(f"{count} with a parent that is not in the file: treated as having none")
        n_children = np.bincount(parents[parents != NONE], minlength=len(inside))
        order = in_time(tracked)
        is_only_child = np.zeros(len(inside), dtype=bool)
        has_parent = np.flatnonzero(parents != NONE)
        is_only_child[has_parent] = n_children[parents[has_parent]] == 1
        tracklets = _numbered(order, np.where(is_only_child, parents, NONE))
        return cls(inside, ids, parents, tracklets, _numbered(order, parents), remarks)

    @property
    def edges(self) -> Numbers:
        """The indices of a parent and its child for each link, (E, 2), in the order of the children."""
        children = np.flatnonzero(self.parents != NONE)
        return np.stack([self.parents[children], children], axis=1)

    def own_tracks(self) -> list[int | None]:
        """Return the number of each track in the user's file, where it links no nuclei that the graph does not.

        A nucleus whose parent is not exported has none if others of its track are before it: they are not its parents.
        """
        first: dict[int, int] = {}
        for nucleus in self.nuclei:
            if nucleus.track is not None:
                first[nucleus.track] = min(nucleus.t, first.get(nucleus.track, nucleus.t))

        def is_cut(nucleus: TrackedNucleus, parent: int) -> bool:
            track = _natural(nucleus.track)
            return track is not None and parent == NONE and nucleus.t > first[track]

        pairs = zip(self.nuclei, self.parents.tolist(), strict=True)
        return [None if is_cut(nucleus, parent) else nucleus.track for nucleus, parent in pairs]


def _natural(number: int | None) -> int | None:
    """Return a number of at least 0; negative ones mean "none" in other programs' tables."""
    return None if number is None or number < 0 else number


def _ids(nuclei: Sequence[TrackedNucleus]) -> tuple[Numbers, list[str]]:
    """Return the ids of nuclei, or new ones where they are missing, repeated, negative or too large."""
    given = [nucleus.id for nucleus in nuclei]
    known = [i for i in given if i is not None]
    if len(known) == len(given) == len(set(known)) and all(0 <= i < 1 << 63 for i in known):
        return np.array(known, dtype=np.int64), []
    remarks = ["the ids are missing for some nuclei, repeated or negative: all nuclei got new ones"] if known else []
    return np.arange(len(nuclei), dtype=np.int64), remarks


def _numbered(order: Sequence[int], before: Numbers) -> Numbers:
    """Number paths of nuclei from 1.

    Parameters
    ----------
    order
        The indices of nuclei, those at the head of a link before those at its end.
    before
        For each nucleus, the one whose number it shares, or -1.
    """
    numbers, count = [0] * len(before), 0
    earlier = before.tolist()
    for i in order:
        if earlier[i] == NONE:
            count += 1
            numbers[i] = count
        else:
            numbers[i] = numbers[earlier[i]]
    return np.array(numbers, dtype=np.int64)
