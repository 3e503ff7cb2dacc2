"""Parameters of an export."""

from typing import Self

from pydantic import Field, model_validator

from elephant.config.base import Params, Voxel


class CtcParams(Params):
    """Which timepoints become masks."""

    voxel_size: Voxel = Field(description="physical voxel size, Z, Y, X")
    t_start: int = Field(0, ge=0, description="first timepoint")
    t_end: int = Field(ge=0, description="last timepoint, inclusive")

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        if self.t_end < self.t_start:
            raise ValueError(
                f"t_end must not be before t_start, but {self.t_end} and {self.t_start} came: choose a later end"
            )
        return self

    @property
    def timepoints(self) -> range:
        """All timepoints, in order."""
        return range(self.t_start, self.t_end + 1)
