"""The parents of nuclei in a table of tracks: by the parent given, or else by the track."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from elephant.errors import InvalidInputError

NONE = -1


@dataclass(frozen=True, slots=True)
class TrackedSpot:
    """A nucleus and its track in a table.

    Attributes
    ----------
    t
        Timepoint, counted from 0.
    id
        The number by which `parent` refers to it.
    parent
        `id` of its parent, at an earlier timepoint.
    track
        The number of its track, or of its lineage.
    """

    t: int
    id: int | None = None
    parent: int | None = None
    track: int | None = None


@dataclass(frozen=True, slots=True)
class Lineage:
    """The parents of nuclei.

    Attributes
    ----------
    parents
        For each nucleus, the index of its parent, or -1.
    n_by_track
        Number of nuclei whose parent follows from their track, not from the column of parents.
    unknown
        Parents that are not in the table, one for each nucleus that names one.
    """

    parents: Sequence[int]
    n_by_track: int
    unknown: Sequence[int]


def lineage_of(spots: Sequence[TrackedSpot], others: Collection[int] = ()) -> Lineage:
    """Find the parent of each nucleus.

    The parent of a nucleus without a given one is the last nucleus before it in the same track.

    Parameters
    ----------
    spots
        The nuclei, in any order.
    others
        Ids of omitted nuclei: their children have no parent.

    Raises
    ------
    InvalidInputError
        A parent is not earlier than its child, its id is not unique, or a track has several nuclei that could be the
        parent.
    """
    by_id = _named(spots)
    parents = [NONE] * len(spots)
    unknown: list[int] = []
    for i, spot in enumerate(spots):
        if spot.parent is None:
            continue
        if spot.parent in by_id:
            parents[i] = _earlier(spot, spots, by_id[spot.parent])
        elif spot.parent not in others:
            unknown.append(spot.parent)
    by_track = dict(_by_track(spots, parents))
    for i, parent in by_track.items():
        parents[i] = parent
    return Lineage(parents, len(by_track), unknown)


def _named(spots: Sequence[TrackedSpot]) -> Mapping[int, list[int]]:
    found: dict[int, list[int]] = {}
    for i, spot in enumerate(spots):
        if spot.id is not None:
            found.setdefault(spot.id, []).append(i)
    return found


def _earlier(spot: TrackedSpot, spots: Sequence[TrackedSpot], named: Sequence[int]) -> int:
    """Return the index of a nucleus' parent, among the nuclei with its id."""
    who = f"the spot {'' if spot.id is None else f'{spot.id} '}at timepoint {spot.t} has the parent {spot.parent}"
    if len(named) > 1:
        raise InvalidInputError(
            f"{who}, but {len(named)} spots have this id: ids must be unique in a file, over all timepoints"
        )
    if spots[named[0]].t >= spot.t:
        raise InvalidInputError(
            f"{who}, which is at timepoint {spots[named[0]].t}: expected an earlier one; ids must be unique in a file"
        )
    return named[0]


def _by_track(spots: Sequence[TrackedSpot], parents: Sequence[int]) -> Iterable[tuple[int, int]]:
    """Yield nuclei that name no parent but have a predecessor in their track, and that predecessor."""
    before: dict[int, list[int]] = {}
    for t, members in groupby(in_time(spots), key=lambda i: spots[i].t):
        now: dict[int, list[int]] = {}
        for i in members:
            track = spots[i].track
            if track is None:
                continue
            now.setdefault(track, []).append(i)
            candidates = before.get(track, [])
            if parents[i] == NONE and spots[i].parent is None and candidates:
                if len(candidates) > 1:
                    raise InvalidInputError(
                        f"track {track} has {len(candidates)} nuclei at timepoint {spots[candidates[0]].t}, so it is "
                        f"ambiguous where its nucleus at timepoint {t} came from: give the nuclei ids and a column "
                        "parent, or each branch a track of its own"
                    )
                yield i, candidates[0]
        before |= now


def in_time(spots: Sequence[TrackedSpot]) -> list[int]:
    """Return the indices of nuclei sorted by timepoint; within one timepoint, in the given order."""
    return sorted(range(len(spots)), key=lambda i: spots[i].t)
