"""Bodies of ``download/*``."""

from typing import Annotated, Self

from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass

from elephant.config import CtcParams, mask_name
from elephant.export import MarkedNucleus
from elephant.progress import CancelToken
from elephant.types import Spot
from elephant_server.schemas.common import Body, SpotsBody
from elephant_server.schemas.fields import SPOT_CONFIG, EllipsoidBody, Name, SpotList, turned

# Seconds; where nothing in between gives up on a request that takes long.
LATE_FIRST_BYTE_AFTER_S = 50.0
LARGEST_VALUE = 65535
LAST_MASK = 99_999

Timepoint = Annotated[int, Field(ge=0, le=LAST_MASK)]


class ModelDownloadBody(Body):
    """``download/model``: a model's file."""

    model_name: Name = Field(description="model, below workspace/models")


@dataclass(frozen=True, slots=True, config=SPOT_CONFIG)
class MarkedSpotBody(EllipsoidBody):
    """A nucleus and the value that marks it in a mask."""

    t: Timepoint = Field(description="timepoint, counted from 0")
    value: Annotated[int, Field(ge=0, le=LARGEST_VALUE)] = Field(description="what its voxels hold")


class CtcBody(SpotsBody):
    """``download/ctc``: masks of the Cell Tracking Challenge, one per timepoint."""

    spots: SpotList[MarkedSpotBody] = Field(
        (), description="the nuclei; there is a mask for each timepoint with one, in and out of the range"
    )
    t_start: Timepoint = Field(0, description="first timepoint that has a mask in any case")
    t_end: Timepoint = Field(description="last of these timepoints, inclusive; masks beyond the movie are blank")
    begin_after: Annotated[float, Field(ge=0, le=LATE_FIRST_BYTE_AFTER_S)] = Field(
        LATE_FIRST_BYTE_AFTER_S,
        description="seconds after which the answer begins though the masks are not done: fewer than the least patient "
        "proxy in between waits for",
    )

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        if self.t_end < self.t_start:
            raise ValueError(
                f"t_end: expected a timepoint that is not before t_start, got t_end {self.t_end} and t_start "
                f"{self.t_start}: choose a later end"
            )
        return self

    @property
    def first_name(self) -> str:
        """The name of the first mask."""
        timepoints = [self.t_start, self.t_end, *(spot.t for spot in self.spots)]
        return mask_name(min(timepoints), max(timepoints))

    def params(self) -> CtcParams:
        """Return which timepoints become masks."""
        return CtcParams(voxel_size=self.voxel_size, t_start=self.t_start, t_end=self.t_end)

    def nuclei(self, cancel: CancelToken) -> list[MarkedNucleus]:
        """Return the nuclei as the core knows them."""
        return [
            MarkedNucleus(Spot(spot.t, centre, covariance), spot.value)
            for spot, centre, covariance in turned(self.spots, self.is_3d, cancel)
        ]
