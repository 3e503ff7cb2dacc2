"""Parameters of what comes from files and goes into files: movies, annotations, exports, evaluations."""

from typing import Annotated, Literal

from pydantic import Field

from elephant.config.base import Params, TimeRange, Voxel


class ConversionParams(Params):
    """Conversion of a movie: values, axes, and which part of it."""

    divisor: float | None = Field(
        None,
        gt=0,
        description="divisor of all values, which are then rounded down; without it, floats that are not whole numbers "
        "from 0 to 65535 are scaled to 16 bits, and all other values stay as they are",
    )
    is_2d: bool = Field(False, description="store timepoints as planes; only for movies with a single plane")
    dtype: Literal["uint8", "uint16", "auto"] = Field(
        "auto", description="stored type; auto: uint8 if every divided value is at most 255, otherwise uint16"
    )
    value_range: tuple[float, float] | None = Field(
        None,
        description="smallest and largest value, which become 0 and 65535 (255 of uint8); values outside are clipped",
    )
    setup: int | None = Field(
        None,
        ge=0,
        le=2**31 - 1,
        description="number of the source (channel, angle) to use if the movie has several; by default the first",
    )
    channel: str | None = Field(
        None, min_length=1, max_length=1000, description="name of the source to use, in place of its number"
    )
    weights: tuple[float, ...] | None = Field(
        None,
        min_length=1,
        max_length=1000,
        description="weights with which the sources are added up, one for each in the order of their numbers; by "
        "default one source is used",
    )
    level: int = Field(
        0, ge=0, le=1000, description="level of the movie's resolution pyramid to use; 0: full resolution"
    )
    axes: str | None = Field(
        None,
        pattern="^[TCZtcz]{0,3}[Yy][Xx]$",
        description="axes in the order of the file, such as TZYX, for a movie that does not say them itself",
    )
    t_start: int | None = Field(
        None, ge=0, le=2**31 - 1, description="first timepoint to use, which becomes timepoint 0; by default the first"
    )
    t_end: int | None = Field(
        None, ge=0, le=2**31 - 1, description="last timepoint to use, inclusive; by default the last"
    )
    voxel_size: Voxel | None = Field(
        None, description="physical voxel size, Z, Y, X; by default that of the movie, at the level that is used"
    )
    unit: str | None = Field(None, max_length=50, description="unit of the voxel size, such as micrometer")
    reader: str | None = Field(
        None, max_length=200, description="name of the reader, where several that are installed claim the movie"
    )
    fill_gaps: bool = Field(
        False,
        description="store blank images for timepoints that are missing in the movie and not listed as missing in its "
        ".xml",
    )


class AnnotationParams(Params):
    """What a person says about a file of annotations that the file does not say itself."""

    radius: Annotated[float, Field(gt=0)] | None = Field(
        None, description="radius of nuclei for which a file gives none, in the unit of the voxel size"
    )
    spots_unit: Literal["auto", "pixel", "physical"] = Field(
        "auto",
        description="what positions in files of other programs are measured in: pixel, physical (the unit of the voxel "
        "size), or auto: as the file says",
    )
    first_frame: Annotated[int, Field(ge=0)] | None = Field(
        None,
        description="number of the movie's first timepoint in files of other programs; by default as they say, or 0",
    )
    spots_format: str | None = Field(
        None, description="format of the files, such as trackmate; by default recognised by content and name"
    )


class CtcParams(TimeRange):
    """The timepoints to export as masks."""

    voxel_size: Voxel = Field(description="physical voxel size, Z, Y, X")


def mask_name(t: int, last: int) -> str:
    """Return the file name of a mask, with as many digits as the last timepoint needs, at least three."""
    return f"mask{t:0{max(3, len(str(last)))}d}.tif"


class EvaluationParams(Params):
    """How found nuclei are compared with true ones."""

    distance: float | None = Field(
        None,
        gt=0,
        description="largest distance between the centres of a true nucleus and a found one that are the same, in the "
        "unit of the positions; by default the median radius of the true nuclei, to three digits",
    )
    overlap: float | None = Field(
        None,
        gt=0,
        le=1,
        description="match by overlap instead: the least share that the intersection of two ellipsoids has of their "
        "union",
    )
    truth_covers: Literal["movie", "timepoints", "box", "nuclei"] = Field(
        "timepoints",
        description="what the truth is complete for: the movie; the timepoints at which it has nuclei; at these, the "
        "box around its nuclei; or nothing but its nuclei, so that there is no precision",
    )
    division_tolerance: int = Field(
        1, ge=0, le=1000, description="how many timepoints earlier or later a division may be found"
    )
