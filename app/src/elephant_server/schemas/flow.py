"""Bodies of ``flow/*``."""

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass

from elephant.config import DisplacementParams, FlowParams, FlowTrainingParams, KeepAxials, StartParams
from elephant.progress import CancelToken
from elephant.types import EarlierSpot, Link, Spot
from elephant_server.schemas.answers import earlier_spots
from elephant_server.schemas.common import (
    MovieBody,
    PredictionBody,
    SpotsBody,
    TrainingBody,
    TurnBody,
    UpdateBody,
)
from elephant_server.schemas.fields import (
    FARTHEST,
    LARGEST_LONG,
    LARGEST_WEIGHT,
    LEAST_LENGTH,
    SPOT_CONFIG,
    EllipsoidBody,
    Finite,
    Index,
    ModelUrl,
    Name,
    SpotList,
    Vector,
    Whole,
    parameter,
    turned,
    zyx,
)

MAX_DISPLACEMENT = 80.0


@dataclass(frozen=True, slots=True, config=SPOT_CONFIG)
class LinkBody(EllipsoidBody):
    """A nucleus at `t` + 1 and where it came from."""

    t: Index = Field(description="the earlier timepoint, counted from 0")
    displacement: Vector = Field(description="the earlier position minus `pos`, physical, X, Y, Z")

    @property
    def lengths(self) -> Vector:
        """What else must lie within the movie, X, Y, Z, physical."""
        return self.displacement


@dataclass(frozen=True, slots=True, config=SPOT_CONFIG)
class LaterSpotBody(EllipsoidBody):
    """A nucleus that is asked where it was."""

    id: Whole = Field(description="the client's name of the spot")


class DisplacementBody(MovieBody):
    """What requests about displacements have."""

    max_displacement: Finite = parameter(
        DisplacementParams, "max_displacement", MAX_DISPLACEMENT, ge=LEAST_LENGTH, le=FARTHEST
    )

    def displacement(self, keep_axials: int) -> DisplacementParams:
        """Return what displacements are measured in."""
        return DisplacementParams(
            voxel_size=self.voxel_size, max_displacement=self.max_displacement, n_keep_axials=keep_axials
        )


class FlowPredictBody(PredictionBody, DisplacementBody, SpotsBody):
    """``flow/predict``: find where spots were at the timepoint before; those outside of `crop_box` where they are."""

    spots: SpotList[LaterSpotBody] = Field((), description="the nuclei at the timepoint")

    def params(self) -> FlowParams:
        """Return how it is found where spots were."""
        return FlowParams(
            displacement=self.displacement(self.keep_axials()),
            prediction=self.prediction(),
            output_prediction=self.output_prediction,
        )

    def asked(self, cancel: CancelToken) -> list[Spot]:
        """Return the spots that are asked about, as the core knows them."""
        return [
            Spot(self.timepoint, centre, covariance, id=spot.id)
            for spot, centre, covariance in turned(self.spots, self.is_3d, cancel)
        ]

    def answer(self, found: Sequence[EarlierSpot]) -> dict[str, Any]:
        """Return where the spots were as it is answered."""
        return earlier_spots(found)

    def no_answer(self) -> dict[str, Any]:
        """Return what is answered where the work was aborted: every spot where it is."""
        return {"spots": [{"id": spot.id, "pos": list(spot.pos), "sqdisp": 0.0} for spot in self.spots]}


class LinksBody(DisplacementBody, SpotsBody):
    """What requests that write flow labels have."""

    spots: SpotList[LinkBody] = Field((), description="the links")
    use_memmap: bool = Field(False, description="accepted for compatibility")
    _remedy = "link some nuclei first"

    def annotations(self, cancel: CancelToken) -> list[Link]:
        """Return the links as the core knows them."""
        return [
            Link(link.t, centre, covariance, np.array(zyx(link.displacement), np.float64))
            for link, centre, covariance in turned(self.spots, self.is_3d, cancel)
        ]


class FlowUpdateBody(LinksBody, UpdateBody):
    """``flow/update``: replace the flow labels of every timepoint at which links begin, or clear all."""

    n_keep_axials: KeepAxials | None = Field(
        None, description="Z is given over max_displacement / 2^n_keep_axials; by default from `scales`"
    )

    def labels(self) -> DisplacementParams:
        """Return how the links become labels."""
        return self.displacement(self.derived_keep_axials() if self.n_keep_axials is None else self.n_keep_axials)


class FlowTrainBody(TrainingBody, LinksBody):
    """``flow/train``: write the flow labels of the links, then train on their timepoints."""

    dim_weights: Vector = parameter(FlowTrainingParams, "dim_weights")
    relative_lr: bool | None = parameter(FlowTrainingParams, "relative_lr")
    held_out: Finite = parameter(FlowTrainingParams, "held_out")

    @model_validator(mode="after")
    def _check_weights(self) -> Self:
        counted = self.dim_weights[: 3 if self.is_3d else 2]
        if not 0 <= min(counted) <= max(counted) <= LARGEST_WEIGHT:
            raise ValueError(
                f"dim_weights: expected 0 to {LARGEST_WEIGHT:g} along the axes that count, got "
                f"{list(self.dim_weights)} (X, Y, Z)"
            )
        return self

    def params(self) -> FlowTrainingParams:
        """Return the training."""
        return FlowTrainingParams(
            displacement=self.displacement(self.keep_axials()),
            loop=self.loop(),
            augmentation=self.augmentation(),
            image=self.image(),
            crop_size=self.crop(),
            dim_weights=self.dim_weights if self.is_3d else (*self.dim_weights[:2], 0.0),
            relative_lr=self.relative_lr,
            held_out=self.held_out,
        )


class FlowResetBody(TurnBody):
    """``flow/reset``: start a flow model anew."""

    model_name: Name = Field(description="model, below workspace/models")
    n_keep_axials: KeepAxials = Field(0, description="how many of the four poolings leave Z alone (taken as 0 to 4)")
    is_3d: bool = Field(True, description="whether it is for movies of volumes")
    url: ModelUrl | None = Field(
        None, description='"Versatile" (pretrained), an address of a .pth, or null: random weights'
    )
    seed: int | None = parameter(StartParams, "seed", le=LARGEST_LONG)

    def start(self) -> StartParams:
        """Return how the model is started."""
        return StartParams(n_dims=3 if self.is_3d else 2, n_keep_axials=self.n_keep_axials, seed=self.seed)
