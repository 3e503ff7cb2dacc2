"""Parameters of an export."""

from collections.abc import Iterable
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
                f"expected t_end not to be before t_start, got t_end {self.t_end} and t_start {self.t_start}: "
                "choose a later end"
            )
        return self

    @property
    def timepoints(self) -> range:
        """The timepoints that were chosen, in order."""
        return range(self.t_start, self.t_end + 1)

    def timepoints_with(self, others: Iterable[int]) -> list[int]:
        """Return the chosen timepoints and some others, each once, in order."""
        return sorted({*self.timepoints, *others})


def mask_name(t: int, last: int) -> str:
    """Return the name of a mask: all have as many digits as the last timepoint needs, at least three."""
    return f"mask{t:0{max(3, len(str(last)))}d}.tif"
