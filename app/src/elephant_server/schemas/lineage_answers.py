"""Answers of ``movie/track`` and ``movie/lineage``: lineages that are kept with a dataset."""

import math
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, Field

from elephant.lineages import Doubt, Lineage, LineageSpots, LineageTrack
from elephant_server.schemas.answers import Completed

MOST_DOUBTS = 1000


class LineageLink(BaseModel):
    """A link of lineages."""

    parent: int = Field(description="id of the earlier spot")
    child: int = Field(description="id of the later spot")
    probability: float | None = Field(description="that it is right; null where the linker does not tell")


class TrackEnd(Completed):
    """The last line of the answer to ``movie/track``; without it, the answer is not whole."""

    version: int | None = Field(None, description="that of the lineages, which corrections refer to")
    n_spots: int | None = Field(None, description="how many spots there are")
    n_tracks: int | None = Field(None, description="how many tracks there are")
    n_divisions: int | None = Field(None, description="how many spots divide")
    made_from: str | None = Field(None, description="what the spots were and how they were joined")
    dropped: str | None = Field(None, description="what could not be kept of earlier corrections")
    links: list[LineageLink] | None = Field(None, description="all links")


class LineageTrackAnswer(BaseModel):
    """A nucleus from where it appears or is born to where it divides or is lost."""

    id: int = Field(description="its number, which stays as long as its first spot stays the first")
    start: int = Field(description="its first timepoint")
    end: int = Field(description="its last timepoint")
    parent: int | None = Field(description="the track that divided into it")
    n_spots: int = Field(description="how many spots it has")
    probability: float | None = Field(description="the least of its links and of its start")
    spot: int = Field(description="id of its first spot")
    last: int = Field(description="id of its last spot")
    is_confirmed: bool = Field(description="whether all its links were confirmed, and there is one")


class DoubtAnswer(BaseModel):
    """What may be wrong."""

    kind: Literal["division", "start", "end", "gap", "link"] = Field(description="what it is")
    t: int = Field(description="the timepoint to look at")
    spots: list[int] = Field(description="ids of the spots that it concerns, the parent first")
    pos: tuple[float, float, float] = Field(description="the place to look at, physical, X, Y, Z")
    track: int = Field(description="the track of the spot there; 0: it is no nucleus")
    probability: float = Field(description="that it is there")
    is_chosen: bool = Field(
        description="whether it is part of the lineages; else it is suspected: it excludes others that are more "
        "probable together"
    )


class LineageAnswer(BaseModel):
    """The lineages of a dataset."""

    version: int = Field(description="grows with each correction, and each time that the movie is tracked")
    timepoints: tuple[int, int] = Field(description="the first and the last that have spots")
    n_spots: int = Field(description="how many spots there are")
    made_from: str = Field(description="what the spots were and how they were joined")
    dropped: str | None = Field(description="what could not be kept of earlier corrections")
    scales: tuple[float, float, float] | None = Field(
        description="voxel size with which the spots were found, physical, X, Y, Z; null where it is not known"
    )
    tracks: list[LineageTrackAnswer]
    doubtful: list[DoubtAnswer] = Field(
        description=f"what may be wrong, the least certain first, {MOST_DOUBTS} at most"
    )
    n_doubtful: int = Field(description="how many of these there are in all")


class CorrectedAnswer(BaseModel):
    """What a correction has changed of the lineages that the person saw."""

    version: int = Field(description="that of the lineages after the correction")
    tracks: list[LineageTrackAnswer] = Field(description="those that are new, or of whose spots anything has changed")
    gone: list[int] = Field(description="the numbers of those that are no more")
    n_tracks: int = Field(description="how many there are now")
    doubtful: list[DoubtAnswer] = Field(
        description=f"what may be wrong now, the least certain first, {MOST_DOUBTS} at most"
    )
    n_doubtful: int = Field(description="how many of these there are in all")
    n_solved: int = Field(description="how many windows of timepoints were solved again")
    n_replaced: int = Field(description="of how many earlier decisions it took the place, since they contradict it")
    seconds: float = Field(description="how long that took")


class LineageSpot(BaseModel):
    """A spot and where it came from."""

    id: int = Field(description="its id")
    pos: tuple[float, float, float] = Field(description="centre, physical, X, Y, Z")
    radius: float | None = Field(description="physical; null where it is not known")
    track: int = Field(description="number of its track; 0: it is no nucleus")
    parent: int | None = Field(description="id of the spot at an earlier timepoint that it came from")
    probability: float | None = Field(description="that this is right; null where the linker does not tell")


class LineageSpotsAnswer(BaseModel):
    """The spots of a timepoint."""

    version: int = Field(description="that of the lineages")
    spots: list[LineageSpot]


def track_end(lineage: Lineage) -> dict[str, Any]:
    """Return lineages as ``movie/track`` ends."""
    ids = lineage.spots.ids
    children = np.flatnonzero(lineage.parents >= 0)
    columns = (ids[lineage.parents[children]], ids[children], lineage.probability[children])
    links = [
        {"parent": parent, "child": child, "probability": _known(p)}
        for parent, child, p in zip(*(column.tolist() for column in columns), strict=True)
    ]
    return {
        "version": lineage.version,
        "n_spots": len(lineage.spots),
        "n_tracks": lineage.n_tracks,
        "n_divisions": lineage.n_divisions,
        "made_from": lineage.made_from,
        "dropped": lineage.dropped,
        "links": links,
    }


def lineage_answer(lineage: Lineage) -> dict[str, Any]:
    """Return lineages as they are answered."""
    spots = lineage.spots
    return {
        "version": lineage.version,
        "timepoints": [int(spots.timepoints[0]), int(spots.timepoints[-1])],
        "n_spots": len(spots),
        "made_from": lineage.made_from,
        "dropped": lineage.dropped,
        "scales": None if lineage.voxel_size is None else lineage.voxel_size.zyx[::-1],
        "tracks": _tracks(spots, lineage.tracks()),
        **_doubts(lineage),
    }


def changed_answer(lineage: Lineage, before: Lineage) -> dict[str, Any]:
    """Return what a correction has changed of lineages, as it is answered."""
    changes = lineage.changes_since(before)
    return {
        "version": lineage.version,
        "tracks": _tracks(lineage.spots, changes.tracks),
        "gone": changes.gone,
        "n_tracks": lineage.n_tracks,
        **_doubts(lineage),
    }


def _tracks(spots: LineageSpots, tracks: Sequence[LineageTrack]) -> list[dict[str, Any]]:
    ends = [np.array([getattr(track, name) for track in tracks], dtype=np.intp) for name in ("first", "last")]
    (ids, times), (last_ids, last_times) = ((spots.ids[k].tolist(), spots.timepoints[k].tolist()) for k in ends)
    return [
        {
            "id": track.number,
            "start": times[k],
            "end": last_times[k],
            "parent": track.parent or None,
            "n_spots": track.n_spots,
            "probability": _known(track.probability),
            "spot": ids[k],
            "last": last_ids[k],
            "is_confirmed": track.is_confirmed,
        }
        for k, track in enumerate(tracks)
    ]


def _doubts(lineage: Lineage) -> dict[str, Any]:
    worst, n_doubts = lineage.worst_doubts(MOST_DOUBTS)
    return {"doubtful": [_doubt(lineage, doubt) for doubt in worst], "n_doubtful": n_doubts}


def lineage_spots_answer(lineage: Lineage, timepoint: int) -> dict[str, Any]:
    """Return the spots of a timepoint as they are answered."""
    here, ids = lineage.spots.at(timepoint), lineage.spots.ids
    parents = lineage.parents[here]
    columns = {
        "id": ids[here].tolist(),
        "pos": lineage.spots.positions[here, ::-1].tolist(),
        "radius": [_known(radius) for radius in lineage.spots.radii[here].tolist()],
        "track": lineage.numbers[here].tolist(),
        "parent": [None if i < 0 else int(ids[i]) for i in parents.tolist()],
        "probability": [_known(p) for p in lineage.probability[here].tolist()],
    }
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    return {"version": lineage.version, "spots": rows}


def _doubt(lineage: Lineage, doubt: Doubt) -> dict[str, Any]:
    i = doubt.where
    return {
        "kind": doubt.kind,
        "t": int(lineage.spots.timepoints[i]),
        "spots": lineage.spots.ids[list(doubt.spots)].tolist(),
        "pos": lineage.spots.positions[i, ::-1].tolist(),
        "track": int(lineage.numbers[i]),
        "probability": doubt.probability,
        "is_chosen": doubt.is_chosen,
    }


def _known(value: float) -> float | None:
    """Return a number as JSON has it."""
    return None if math.isnan(value) else value
