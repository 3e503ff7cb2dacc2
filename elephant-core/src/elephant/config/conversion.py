"""How a movie becomes a dataset."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class ConversionParams(BaseModel):
    """What :func:`elephant.dataset.convert` makes of the values and axes of a movie."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    divisor: float = Field(default=1.0, gt=0)
    """Every value is divided by it, then rounded down. No unit."""

    is_2d: bool = False
    """Store timepoints as (Y, X). Only for movies with a single plane."""

    dtype: Literal["uint8", "uint16", "auto"] = "auto"
    """Stored type. ``auto``: uint8 where every divided value is at most 255, else uint16."""
