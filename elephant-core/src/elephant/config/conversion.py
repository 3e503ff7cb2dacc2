"""How a movie becomes a dataset."""

from typing import Literal

from pydantic import Field

from elephant.config.base import Params, Voxel


class ConversionParams(Params):
    """What :func:`elephant.dataset.convert` makes of the values and axes of a movie."""

    divisor: float | None = Field(
        None,
        gt=0,
        description="what every value is divided by, then rounded down; without it, floats that are not whole numbers "
        "from 0 to 65535 are scaled to 16 bits, and all other values stay as they are",
    )
    is_2d: bool = Field(False, description="store timepoints as planes; only for movies with a single plane")
    dtype: Literal["uint8", "uint16", "auto"] = Field(
        "auto", description="stored type; auto: uint8 where every divided value is at most 255, else uint16"
    )
    setup: int | None = Field(
        None,
        ge=0,
        le=2**31 - 1,
        description="number of the source (channel, angle) to take where the movie has several; by default the first",
    )
    voxel_size: Voxel | None = Field(
        None, description="physical voxel size, Z, Y, X; by default that of the movie's .xml"
    )
    unit: str | None = Field(None, max_length=50, description="unit of the voxel size, such as micrometer")
    fill_gaps: bool = Field(
        False,
        description="store blank images for timepoints that the movie lacks and its .xml does not list as missing",
    )
