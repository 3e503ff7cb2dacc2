"""Bodies of ``dataset/*`` and ``download/*``, and the form of ``upload/image``."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass

from elephant.config import ConversionParams, CtcParams, mask_name
from elephant.export import MarkedNucleus
from elephant.progress import CancelToken
from elephant.types import Spot
from elephant_server.schemas.common import Body, SpotsBody
from elephant_server.schemas.fields import (
    FARTHEST,
    LARGEST_INT,
    LEAST_LENGTH,
    SPOT_CONFIG,
    EllipsoidBody,
    Finite,
    Name,
    SpotList,
    parameter,
    turned,
)

Shape = Annotated[tuple[Annotated[int, Field(ge=1, le=LARGEST_INT)], ...], Field(min_length=3, max_length=4)]


class DatasetCheckBody(Body):
    """``dataset/check``: is the dataset there, whole, and that of this movie?"""

    dataset_name: Name = Field(description="dataset, below workspace/datasets")
    shape: Shape | None = Field(None, description="T, Z, Y, X; T, Y, X for 2D")


class DatasetGenerateBody(Body):
    """``dataset/generate``: convert the movie that lies in the dataset's folder."""

    dataset_name: Name = Field(description="dataset, below workspace/datasets")
    is_2d: bool = parameter(ConversionParams, "is_2d")
    is_uint16: bool | None = Field(None, description="store 16 bits; otherwise the values decide")
    divisor: Finite | None = parameter(ConversionParams, "divisor", ge=LEAST_LENGTH, le=FARTHEST)
    setup: int | None = parameter(ConversionParams, "setup")
    channel: Name | None = parameter(ConversionParams, "channel")
    axes: str | None = parameter(ConversionParams, "axes")
    weights: Annotated[tuple[Finite, ...], Field(min_length=1, max_length=1000)] | None = parameter(
        ConversionParams, "weights"
    )
    level: int = parameter(ConversionParams, "level")
    t_start: int | None = parameter(ConversionParams, "t_start")
    t_end: int | None = parameter(ConversionParams, "t_end")
    fill_gaps: bool = parameter(ConversionParams, "fill_gaps")

    def conversion(self) -> ConversionParams:
        """Return what is made of the movie."""
        return ConversionParams(
            divisor=self.divisor,
            is_2d=self.is_2d,
            dtype="uint16" if self.is_uint16 else "auto",
            setup=self.setup,
            channel=self.channel,
            axes=self.axes,
            weights=self.weights,
            level=self.level,
            t_start=self.t_start,
            t_end=self.t_end,
            fill_gaps=self.fill_gaps,
        )


class DatasetMakeBody(Body):
    """``dashboard/api/make``: make a dataset from a movie of the list."""

    dataset_name: Name = Field(description="dataset, below workspace/datasets")
    folder: str = Field("", max_length=4096, description="folder of the movie, as listed")
    movie: Name = Field(description="name of the movie in the folder, as listed")
    in_place: bool = Field(False, description="read images from the movie, and copy none")
    overwrite: bool = Field(False, description="replace a dataset of this name, with its labels")
    is_2d: bool = parameter(ConversionParams, "is_2d")
    setup: int | None = parameter(ConversionParams, "setup")
    level: int = parameter(ConversionParams, "level")
    t_start: int | None = parameter(ConversionParams, "t_start")
    t_end: int | None = parameter(ConversionParams, "t_end")
    fill_gaps: bool = parameter(ConversionParams, "fill_gaps")

    def conversion(self) -> ConversionParams:
        """Return what is made of the movie."""
        names = ("is_2d", "setup", "level", "t_start", "t_end", "fill_gaps")
        return ConversionParams(**{name: getattr(self, name) for name in names})


class UploadForm(Body):
    """``upload/image``: a step of the upload of a movie."""

    dataset_name: Name = Field(description="dataset, below workspace/datasets; it need not exist yet")
    filename: Name = Field(description="name of an .h5 or .hdf5 in the dataset's folder")
    action: Literal["init", "append", "complete", "cancel"] = Field(
        description="`init` begins with the part `file`, `append` goes on with it, `complete` puts the file in place, "
        "`cancel` drops it"
    )


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
