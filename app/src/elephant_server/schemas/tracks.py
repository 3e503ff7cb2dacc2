"""``download/tracks``: tracked nuclei, or a file of them, in the format of another program."""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic.dataclasses import dataclass

from elephant.config import AnnotationParams, LabelParams
from elephant.export.base import ExportParams, TrackedNucleus
from elephant.progress import CancelToken
from elephant.types import Spot, Tag
from elephant_server.schemas.common import SpotsBody
from elephant_server.schemas.dataset import Timepoint
from elephant_server.schemas.fields import (
    SPOT_CONFIG,
    EllipsoidBody,
    Finite,
    Name,
    SpotList,
    Vector,
    Whole,
    known_tag,
    parameter,
    turned,
)

Format = Annotated[str, Field(min_length=1, max_length=100)]
_FORMAT = "geff, trackmate, napari, json, ctc, labels, or what another package adds"


class FormatQuery(BaseModel):
    """Which format."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    format: Format | None = Field(None, description=f"{_FORMAT}; by default as the body says")


class FoundQuery(FormatQuery):
    """Which dataset's nuclei, in which format."""

    dataset_name: Name = Field(description="dataset, below workspace/datasets")


@dataclass(frozen=True, slots=True, config=SPOT_CONFIG)
class TrackedSpotBody(EllipsoidBody):
    """A nucleus, and where it came from."""

    t: Timepoint = Field(description="timepoint, counted from 0")
    id: Whole | None = Field(default=None, description="the client's name of the spot, to which `parent` refers")
    parent: Whole | None = Field(default=None, description="`id` of the spot at an earlier timepoint that it came from")
    track: Whole | None = Field(default=None, description="number of its track")
    value: Whole | None = Field(default=None, description="its label in a mask")
    tag: Annotated[Tag, BeforeValidator(known_tag)] = Field(
        default=Tag.UNLABELED, description="what a person says of it"
    )
    quality: Finite | None = Field(default=None, description="how sure its detection is")


class TracksBody(SpotsBody):
    """``download/tracks``: tracked nuclei for another program."""

    scales: Vector = parameter(LabelParams, "voxel_size")
    spots: SpotList[TrackedSpotBody] = Field((), description="the nuclei; left out where a file comes with the request")
    format: Format = Field("geff", description=_FORMAT)
    t_start: Timepoint = Field(0, description="first timepoint")
    t_end: Timepoint | None = Field(None, description="last timepoint, inclusive; by default the last of the movie")
    radius: Finite | None = parameter(AnnotationParams, "radius")
    spots_unit: Literal["auto", "pixel", "physical"] = parameter(AnnotationParams, "spots_unit")
    first_frame: Timepoint | None = parameter(AnnotationParams, "first_frame")
    spots_format: Format | None = parameter(AnnotationParams, "spots_format")

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        if self.t_end is not None and self.t_end < self.t_start:
            raise ValueError(
                f"t_end: expected a timepoint that is not before t_start, got t_end {self.t_end} and t_start "
                f"{self.t_start}: choose a later end"
            )
        return self

    def about_file(self) -> AnnotationParams:
        """Return what is said of a file that comes with the request."""
        names = AnnotationParams.model_fields
        return AnnotationParams(**{name: getattr(self, name) for name in names})

    def params(self, last: int) -> ExportParams:
        """Return which timepoints are exported of a movie whose last one is `last`."""
        t_end = last if self.t_end is None else self.t_end
        return ExportParams(voxel_size=self.voxel_size, t_start=self.t_start, t_end=t_end)

    def nuclei(self, cancel: CancelToken) -> list[TrackedNucleus]:
        """Return the nuclei as the core knows them."""
        return [
            TrackedNucleus(
                Spot(spot.t, centre, covariance, spot.tag, -1 if spot.id is None else spot.id),
                spot.id,
                spot.parent,
                spot.track,
                spot.value,
                spot.quality,
            )
            for spot, centre, covariance in turned(self.spots, self.is_3d, cancel)
        ]
