"""How a movie becomes a dataset."""

from typing import Literal

from pydantic import Field

from elephant.config.base import Params


class ConversionParams(Params):
    """What :func:`elephant.dataset.convert` makes of the values and axes of a movie."""

    divisor: float = Field(default=1.0, gt=0)
    """Every value is divided by it, then rounded down. No unit."""

    is_2d: bool = False
    """Store timepoints as (Y, X). Only for movies with a single plane."""

    dtype: Literal["uint8", "uint16", "auto"] = "auto"
    """Stored type. ``auto``: uint8 where every divided value is at most 255, else uint16."""
