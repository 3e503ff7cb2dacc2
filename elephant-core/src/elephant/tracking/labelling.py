"""Labels of tracked nuclei in masks, as programs that evaluate tracks expect them.

A label is 1 to 65535 and stands for one track: one nucleus at consecutive timepoints, in each of which its mask shows
it. After a gap or a division, tracks with other labels continue as its children.

References
----------
Naming and file content conventions of the Cell Tracking Challenge, https://celltrackingchallenge.net/datasets.
"""

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from elephant.errors import InvalidInputError
from elephant.tracking.lineage import NONE, TrackedSpot, in_time
from elephant.tracking.linking import Track

LARGEST_LABEL = 65535


class Reason(StrEnum):
    """Why a label differs from the number in the table."""

    GAP = "gap"
    DIVISION = "division"
    HIDDEN = "hidden"
    TAKEN = "taken"
    RANGE = "range"
    MIXED = "mixed"


@dataclass(frozen=True, slots=True)
class Change:
    """A nucleus whose label differs from its number.

    Attributes
    ----------
    number
        Number in the table.
    label
        Label in the mask.
    t
        Timepoint.
    reason
        Why they differ.
    """

    number: int
    label: int
    t: int
    reason: Reason


@dataclass(slots=True)
class _Piece:
    """A track as the masks show it; `reason` is why its label differs from the number of its nuclei."""

    first: int
    last: int
    parent: int
    reason: Reason


class TrackLabels:
    """Assigns labels timepoint by timepoint, and records which of them the masks show.

    Parameters
    ----------
    spots
        The nuclei.
    parents
        For each, the index of its parent, or -1, from :func:`elephant.tracking.lineage_of`.
    numbers
        For each, the label that it should have if possible; None: any. By default its track.

    Raises
    ------
    InvalidInputError
        There are more tracks than labels.
    """

    def __init__(
        self, spots: Sequence[TrackedSpot], parents: Sequence[int], numbers: Sequence[int | None] | None = None
    ) -> None:
        self._spots = spots
        self._parents = parents
        self._numbers = [spot.track for spot in spots] if numbers is None else numbers
        self._n_children = Counter(parents)
        self._run, self._wanted = self._runs()
        self._check_room(len(self._wanted))
        self._reserved = set(self._wanted)
        self._fresh = self._unwanted()
        self._returned: list[int] = []
        self._labels = [0] * len(spots)  # of the nuclei that a mask shows
        self._last_seen = [0] * len(spots)  # label of this nucleus, or the nearest one before it, that a mask shows
        self._pieces: dict[int, _Piece] = {}
        self.changes: list[Change] = []
        self.hidden: list[int] = []

    def given(self, members: Sequence[int]) -> list[int]:
        """Return the labels of the nuclei of the next timepoint.

        Parameters
        ----------
        members
            Their indices.
        """
        labels, taken = [], set[int]()
        for i in members:
            label = self._going_on(i) or self._new(i, taken)
            taken.add(label)
            labels.append(label)
        return labels

    def settle(self, members: Sequence[int], labels: Sequence[int], shown: Collection[int]) -> None:
        """Record what the mask of a timepoint shows.

        Parameters
        ----------
        members, labels
            The nuclei, and their labels from :meth:`given`.
        shown
            The labels that are in the mask.
        """
        for i, label in zip(members, labels, strict=True):
            parent = self._parents[i]
            if label not in shown:
                self._hide(i, label)
                continue
            t = self._spots[i].t
            if label in self._pieces:
                self._pieces[label].last = t
            else:
                before = 0 if parent == NONE else self._last_seen[parent]
                self._pieces[label] = _Piece(t, t, before, self._reason(i))
            self._labels[i] = self._last_seen[i] = label
            self._note_change(i, label)

    def tracks(self) -> list[Track]:
        """Return the tracks that the masks show, by their labels."""
        return [Track(label, p.first, p.last, p.parent) for label, p in sorted(self._pieces.items())]

    def _hide(self, i: int, label: int) -> None:
        parent = self._parents[i]
        self.hidden.append(i)
        self._last_seen[i] = 0 if parent == NONE else self._last_seen[parent]
        if label not in self._pieces and label not in self._reserved:
            self._returned.append(label)

    def _runs(self) -> tuple[list[int], list[int | None]]:
        """Return for each nucleus the index of its unbroken track, and for each such track its requested number."""
        run, wanted, track = [0] * len(self._spots), list[int | None](), list[int | None]()
        for i in in_time(self._spots):
            parent, own = self._parents[i], self._spots[i].track
            if self._is_only_successor(i) and (own is None or track[run[parent]] in (None, own)):
                run[i] = run[parent]
            else:
                run[i] = len(wanted)
                wanted.append(None)
                track.append(None)
            if track[run[i]] is None:
                track[run[i]] = own
            if wanted[run[i]] is None:
                wanted[run[i]] = self._numbers[i]
        return run, wanted

    def _is_only_successor(self, i: int) -> bool:
        parent = self._parents[i]
        return parent != NONE and self._spots[parent].t == self._spots[i].t - 1 and self._n_children[parent] == 1

    def _going_on(self, i: int) -> int:
        """Return the label of the track that a nucleus continues; 0 if it begins one."""
        parent = self._parents[i]
        return self._labels[parent] if parent != NONE and self._run[parent] == self._run[i] else 0

    def _new(self, i: int, taken: Collection[int]) -> int:
        wanted = self._wanted[self._run[i]]
        if wanted is not None and 1 <= wanted <= LARGEST_LABEL and wanted not in self._pieces and wanted not in taken:
            return wanted
        label = self._returned.pop() if self._returned else next(self._fresh, 0)
        if not label:
            self._check_room(LARGEST_LABEL + 1)
        return label

    def _unwanted(self) -> Iterator[int]:
        return (label for label in range(1, LARGEST_LABEL + 1) if label not in self._reserved)

    def _reason(self, i: int) -> Reason:
        """Return why a track that begins with this nucleus may not get its requested number."""
        parent = self._parents[i]
        if parent == NONE or self._numbers[parent] != self._numbers[i]:
            return Reason.TAKEN
        if self._run[parent] == self._run[i]:
            return Reason.HIDDEN
        return Reason.DIVISION if self._n_children[parent] > 1 else Reason.GAP

    def _note_change(self, i: int, label: int) -> None:
        number = self._numbers[i]
        if number is None or number == label:
            return
        if not 1 <= number <= LARGEST_LABEL:
            reason = Reason.RANGE
        elif number != self._wanted[self._run[i]]:
            reason = Reason.MIXED
        else:
            reason = self._pieces[label].reason
        self.changes.append(Change(number, label, self._spots[i].t, reason))

    @staticmethod
    def _check_room(n_tracks: int) -> None:
        if n_tracks > LARGEST_LABEL:
            raise InvalidInputError(
                f"expected at most {LARGEST_LABEL} tracks, as many as a 16-bit mask can hold, got at least {n_tracks}: "
                "export fewer timepoints at a time (--timepoints), or join the nuclei to tracks first (elephant link "
                "--join)"
            )
