"""Bodies of ``movie/track`` and ``movie/lineage``: lineages that are kept with a dataset."""

from collections.abc import Sequence
from typing import Annotated, Any, Self

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict, FailFast, Field, model_validator
from pydantic.dataclasses import dataclass

from elephant.config import FlowParams, ImageParams, LinkerParams, PredictionParams
from elephant.geometry import mean_radii
from elephant.lineages import CorrectionEntry, LineageSpots
from elephant.types import FloatArray, Tag, VoxelSize
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

MOST_LINKS = 1_000_000
MOST_DECISIONS = 10_000
_NO_NUCLEI = frozenset({Tag.FP, Tag.TN})
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
            radii[shaped] = mean_radii(np.array([spots[i].covariance for i in shaped]).reshape(-1, 3, 3)[:, :n, :n])
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

    def with_voxel_size(self, size: VoxelSize) -> Self:
        """Return it with the voxel size with which its spots were found."""
        return self.model_copy(update={"scales": size.zyx[::-1], "knows_scales": True})


class LineageQuery(BaseModel):
    """A dataset."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    dataset_name: Name = Field(description="dataset, below workspace/datasets")


class LineageSpotsQuery(LineageQuery):
    """A timepoint of a dataset."""

    timepoint: Index = Field(description="timepoint, counted from 0")


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
