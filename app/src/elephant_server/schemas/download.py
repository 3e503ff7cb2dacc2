"""Bodies of ``download/*``."""

from typing import Annotated

from pydantic import Field

from elephant.config.export import CtcParams
from elephant_server.jobs.payloads import CtcExport, MarkedSpot
from elephant_server.schemas.base import Body, Finite, Index, Name, Scales, Vector, voxel_size, zyx

LARGEST_VALUE = 65535


class ModelDownloadBody(Body):
    """``download/model``: a model's file."""

    model_name: Name = Field(description="model, below workspace/models")


class MarkedSpotBody(Body):
    """A nucleus and the value that marks it in a mask."""

    t: int = Field(description="timepoint, counted from 0")
    pos: Vector = Field(description="centre, physical, X, Y, Z")
    covariance: Annotated[tuple[Finite, ...], Field(min_length=9, max_length=9)] = Field(
        description="3 x 3 covariance of the ellipsoid, physical, row-major over X, Y, Z; its surface is at one sigma"
    )
    value: Annotated[int, Field(ge=0, le=LARGEST_VALUE)] = Field(description="what its voxels hold")

    def to_payload(self) -> MarkedSpot:
        """Return it in the order Z, Y, X."""
        return MarkedSpot(t=self.t, pos=zyx(self.pos), covariance=self.covariance[::-1], value=self.value)


class CtcBody(Body):
    """``download/ctc``: masks of the Cell Tracking Challenge, one per timepoint."""

    dataset_name: Name = Field(description="dataset, below workspace/datasets")
    scales: Scales = Field((1.0, 1.0, 1.0), description="physical voxel size, X, Y, Z")
    spots: tuple[MarkedSpotBody, ...] = Field((), description="the nuclei; those of other timepoints are left out")
    t_start: Index = Field(0, description="first timepoint")
    t_end: Index = Field(description="last timepoint, inclusive")
    is_3d: bool = Field(True, description="whether the movie has volumes; otherwise whatever stands at Z is ignored")

    def to_payload(self, file: str) -> CtcExport:
        """Return what a worker is given; `file` is where it writes."""
        params = CtcParams(voxel_size=voxel_size(self.scales, self.is_3d), t_start=self.t_start, t_end=self.t_end)
        spots = tuple(spot.to_payload() for spot in self.spots if spot.t in params.timepoints)
        return CtcExport(dataset_name=self.dataset_name, spots=spots, params=params, file=file)
