"""Bodies and answers of ``movie/track`` and ``movie/lineage``: lineages that are kept with a dataset."""

import math
from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict, FailFast, Field, model_validator
from pydantic.dataclasses import dataclass

from elephant.config import FlowParams, ImageParams, LinkerParams, PredictionParams
from elephant.lineages import CorrectionEntry, Doubt, Lineage, LineageSpots, LineageTrack
from elephant.types import FloatArray, Tag, VoxelSize
from elephant_server.schemas.answers import Completed
from elephant_server.schemas.common import Body, SpotsBody
from elephant_server.schemas.dataset import Timepoint
from elephant_server.schemas.fields import (
    FARTHEST,
    LARGEST_BATCH,
    LEAST_LENGTH,
    SPOT_CONFIG,
    EllipsoidBody,
    Finite,
    Index,
    Name,
    Sizes,
    SpotList,
    Whole,
    known_tag,
    parameter,
)
from elephant_server.schemas.flow import DisplacementBody, FlowPredictBody

MOST_DOUBTS = 1000
MOST_LINKS = 1_000_000
MOST_DECISIONS = 10_000
_NO_NUCLEI = frozenset({Tag.FP, Tag.TN})
_LEAST_RADIUS = 1e-9
Covariance = Annotated[tuple[Finite, ...], Field(min_length=9, max_length=9)]
Link = tuple[Whole, Whole]


@dataclass(frozen=True, slots=True, kw_only=True, config=SPOT_CONFIG)
class LineageSpotBody(EllipsoidBody):
    """A nucleus that is to be tracked."""

    t: Timepoint = Field(description="timepoint, counted from 0")
    id: Whole | None = Field(default=None, description="the client's name of the spot; all spots have one, or none")
    covariance: Covariance | None = Field(  # type: ignore[assignment]
        default=None, description="3 x 3 covariance, physical, row-major over X, Y, Z; its surface is at one sigma"
    )
    radius: Annotated[Finite, Field(ge=LEAST_LENGTH, le=FARTHEST)] | None = Field(
        default=None, description="physical radius, in place of `covariance`"
    )
    intensity: Annotated[Finite, Field(gt=0)] | None = Field(default=None, description="its mean intensity")
    tag: Annotated[Tag, BeforeValidator(known_tag)] = Field(
        default=Tag.UNLABELED, description="what a person says of it: `fp` and `tn` are no nuclei, joined to nothing"
    )

    @property
    def counts(self) -> bool:
        """Whether its shape is used."""
        return self.covariance is not None


class MovieTrackBody(DisplacementBody, SpotsBody):
    """``movie/track``: join the spots of a movie to lineages, and keep them with the dataset."""

    spots: SpotList[LineageSpotBody] = Field(
        (), description="the nuclei; left out: what predictions on the dataset found last at each timepoint"
    )
    links: Annotated[tuple[Link, ...], FailFast(), Field(max_length=MOST_LINKS)] = Field(
        (), description="confirmed links, [parent id, child id]: they stay"
    )
    max_gap: int = parameter(LinkerParams, "max_gap")
    children: int = parameter(LinkerParams, "n_children")
    max_distance: Finite | None = parameter(LinkerParams, "max_distance")
    linker: Annotated[str, Field(min_length=1, max_length=200)] = Field(
        "global", description="what joins the spots: `global`, `nearest`, or that of another package"
    )
    model_name: Name | None = Field(
        None, description="flow model, below workspace/models, that says where nuclei were; by default the common "
        "motion of neighbours does"
    )  # fmt: skip
    input_size: Sizes | None = parameter(ImageParams, "input_size")
    patch: Sizes | None = parameter(PredictionParams, "patch")
    batch_size: int = parameter(PredictionParams, "batch_size", le=LARGEST_BATCH)

    @model_validator(mode="after")
    def _check_ids(self) -> Self:
        n_named = sum(spot.id is not None for spot in self.spots)
        if 0 < n_named < len(self.spots):
            raise ValueError(
                f"spots: expected an id for each of the {len(self.spots)} spots or for none, got {n_named}: give all "
                "of them one"
            )
        if self.links and not n_named:
            raise ValueError("links: expected spots with ids, to which links refer, got none: send spots with ids")
        return self

    def linker_params(self) -> dict[str, Any]:
        """Return the parameters of the linker that differ from the defaults: other linkers have others."""
        given = {"max_gap": self.max_gap, "n_children": self.children, "max_distance": self.max_distance}
        return {name: value for name, value in given.items() if value != LinkerParams.model_fields[name].default}

    def order(self) -> list[int]:
        """Return the places of the spots in the order of their timepoints."""
        return sorted(range(len(self.spots)), key=lambda i: self.spots[i].t)

    def lineage_spots(self) -> LineageSpots:
        """Return the spots as the core knows them, in the order of their timepoints."""
        spots = [self.spots[i] for i in self.order()]
        ids = [i if spot.id is None else spot.id for i, spot in enumerate(spots)]
        positions = np.array([spot.pos for spot in spots], dtype=np.float64).reshape(-1, 3)[:, ::-1].copy()
        if not self.is_3d:
            positions[:, 0] = 0
        timepoints = np.array([spot.t for spot in spots], dtype=np.int64)
        return LineageSpots(np.array(ids, dtype=np.int64), timepoints, positions, self._radii(spots))

    def intensities(self) -> FloatArray | None:
        """Return the intensities of the spots in the order of their timepoints; None unless all are known."""
        known = [self.spots[i].intensity for i in self.order()]
        return None if None in known or not known else np.array(known, dtype=np.float64)

    def given(self, spots: LineageSpots, who: str, when: float) -> CorrectionEntry:
        """Return what is known of the spots."""
        wrong = [int(spots.ids[k]) for k, i in enumerate(self.order()) if self.spots[i].tag in _NO_NUCLEI]
        return CorrectionEntry(confirm=self.links, wrong=tuple(wrong), who=who, when=when, came_with_spots=True)

    def flow_params(self) -> FlowParams:
        """Return how it is found where spots were."""
        same = ("dataset_name", "is_3d", "scales", "model_name", "max_displacement", "input_size", "patch")
        about = {name: getattr(self, name) for name in (*same, "batch_size")}
        return FlowPredictBody(**about, timepoint=0).params()

    def _radii(self, spots: Sequence[LineageSpotBody]) -> FloatArray:
        radii = np.array([np.nan if spot.radius is None else spot.radius for spot in spots], dtype=np.float64)
        shaped = [i for i, spot in enumerate(spots) if spot.covariance is not None]
        if shaped:
            n = 3 if self.is_3d else 2
            matrices = np.array([spots[i].covariance for i in shaped]).reshape(-1, 3, 3)[:, :n, :n]
            radii[shaped] = np.maximum(np.linalg.det(matrices), _LEAST_RADIUS ** (2 * n)) ** (1 / (2 * n))
        return radii


class TrackJobBody(MovieTrackBody):
    """What a worker gets of ``movie/track``: all that the request left to what is known is filled in.

    Attributes
    ----------
    knows_scales
        Whether the voxel size is that of the request, or of the dataset.
    """

    knows_scales: bool

    @property
    def stated_voxel_size(self) -> VoxelSize | None:
        """The voxel size, where it is known."""
        return self.voxel_size if self.knows_scales else None


class LineageLink(BaseModel):
    """A link of lineages."""

    parent: int = Field(description="id of the earlier spot")
    child: int = Field(description="id of the later spot")
    probability: float | None = Field(description="that it is right; null where the linker does not tell")


class TrackProgress(BaseModel):
    """A line of the answer to ``movie/track``: how far it is."""

    window: int | None = Field(None, description="how many windows of timepoints are solved")
    timepoint: int | None = Field(None, description="at how many timepoints a flow was predicted")
    of: int = Field(description="how many there are")


class TrackEnd(Completed):
    """The last line of the answer to ``movie/track``; without it, the answer is not whole."""

    version: int | None = Field(None, description="that of the lineages, which corrections refer to")
    n_spots: int | None = Field(None, description="how many spots there are")
    n_tracks: int | None = Field(None, description="how many tracks there are")
    n_divisions: int | None = Field(None, description="how many spots divide")
    made_from: str | None = Field(None, description="what the spots were and how they were joined")
    dropped: str | None = Field(None, description="what could not be kept of earlier corrections")
    links: list[LineageLink] | None = Field(None, description="all links")


class LineageQuery(BaseModel):
    """A dataset."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    dataset_name: Name = Field(description="dataset, below workspace/datasets")


class LineageSpotsQuery(LineageQuery):
    """A timepoint of a dataset."""

    timepoint: Index = Field(description="timepoint, counted from 0")


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
    is_chosen: bool = Field(description="whether it is part of the lineages; else it is suspected")


class LineageAnswer(BaseModel):
    """The lineages of a dataset."""

    version: int = Field(description="grows with each correction, and each time that the movie is tracked")
    timepoints: tuple[int, int] = Field(description="the first and the last that have spots")
    n_spots: int = Field(description="how many spots there are")
    made_from: str = Field(description="what the spots were and how they were joined")
    dropped: str | None = Field(description="what could not be kept of earlier corrections")
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


class CorrectionBody(Body):
    """``movie/lineage/corrections``: what a person says of lineages; what follows from it is solved again."""

    dataset_name: Name = Field(description="dataset, below workspace/datasets")
    version: Index = Field(description="that of the lineages which the person saw")
    confirm: tuple[Link, ...] = Field(
        (), max_length=MOST_DECISIONS, description="links that are there, [parent id, child id]"
    )
    cut: tuple[Link, ...] = Field(
        (), max_length=MOST_DECISIONS, description="links that are not there, [parent id, child id]"
    )
    join: tuple[Link, ...] = Field(
        (), max_length=MOST_DECISIONS, description="the same as `confirm`, for links that were not found"
    )
    starts: tuple[Whole, ...] = Field((), max_length=MOST_DECISIONS, description="ids of spots that have no parent")
    ends: tuple[Whole, ...] = Field((), max_length=MOST_DECISIONS, description="ids of spots that have no child")
    wrong: tuple[Whole, ...] = Field((), max_length=MOST_DECISIONS, description="ids of spots that are no nuclei")
    undivided: tuple[Whole, ...] = Field(
        (), max_length=MOST_DECISIONS, description="ids of spots that do not divide: of two children one stays"
    )
    undo: bool = Field(False, description="take the last correction back instead")

    @model_validator(mode="after")
    def _check_that_it_says_something(self) -> Self:
        decided = (self.confirm, self.cut, self.join, self.starts, self.ends, self.wrong, self.undivided)
        if self.undo and any(decided):
            raise ValueError("undo: expected no other decisions with it, got some: send them by themselves")
        if not self.undo and not any(decided):
            raise ValueError("nothing to correct: expected links, spots or undo, got none")
        return self

    def entry(self, who: str, when: float) -> CorrectionEntry:
        """Return the correction as the core knows it."""
        return CorrectionEntry(
            confirm=(*self.confirm, *self.join),
            cut=self.cut,
            starts=self.starts,
            ends=self.ends,
            wrong=self.wrong,
            undivided=self.undivided,
            undo=self.undo,
            who=who,
            when=when,
        )


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
    doubts = [_doubt(lineage, doubt) for doubt in lineage.doubts(MOST_DOUBTS)]
    return {"doubtful": doubts, "n_doubtful": lineage.n_doubts}


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
