"""What parameters are made of, and those that trainings and predictions share."""

from collections.abc import Iterable
from math import frexp
from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from elephant.types import VoxelSize


class Params(BaseModel):
    """Parameters of one stage: frozen, finite, unknown names refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, arbitrary_types_allowed=True)


def _as_voxel_size(value: object) -> object:
    if isinstance(value, tuple | list) and len(value) == 3:
        return VoxelSize(*(float(v) for v in value))
    return value


Voxel = Annotated[VoxelSize, BeforeValidator(_as_voxel_size)]
Size = tuple[Annotated[int, Field(ge=1)], ...]
Positive = Annotated[int, Field(ge=1)]
NotNegative = Annotated[int, Field(ge=0)]
Weight = Annotated[float, Field(ge=0)]

N_POOLINGS = 4
LEAST_KEEP_AXIALS, MOST_KEEP_AXIALS = -1, 31  # what the client sends


def n_keep_axials(voxel_size: VoxelSize, n_dims: int) -> int:
    """Return `n_keep_axials` as the client derives it from the voxel size.

    With the anisotropy a = Z / X: -1 if a < 0.75, 0 if 0.75 <= a < 2, otherwise the exponent of the nearest power of
    two, ties upwards, at most 31. In 2D it is 0.

    Parameters
    ----------
    voxel_size
        Voxel size of the network's input.
    n_dims
        3 or 2.
    """
    anisotropy = voxel_size.z / voxel_size.x
    if n_dims == 2 or 0.75 <= anisotropy < 2:
        return 0
    if anisotropy < 0.75:
        return LEAST_KEEP_AXIALS
    mantissa, exponent = frexp(anisotropy)  # anisotropy = mantissa * 2^exponent with 0.5 <= mantissa < 1
    return min(exponent if mantissa >= 0.75 else exponent - 1, MOST_KEEP_AXIALS)


def kept_poolings(n_keep_axials: int) -> int:
    """Return how many of the four poolings leave Z unchanged: `n_keep_axials`, at least 0 and at most 4."""
    return min(max(n_keep_axials, 0), N_POOLINGS)


def keep_axials_of(voxel_size: VoxelSize, shape: tuple[int, ...], input_size: tuple[int, ...] | None = None) -> int:
    """Return the `n_keep_axials` for the voxels of a network's input.

    Parameters
    ----------
    voxel_size
        Voxel size of the stored image.
    shape, input_size
        Size of the stored image, and of the network's input, voxels, (Z), Y, X.
    """
    seen = shape if input_size is None else input_size
    edges = [edge * a / b for edge, a, b in zip(voxel_size.last(len(shape)), shape, seen, strict=True)]
    return n_keep_axials(VoxelSize(*([1.0] * (3 - len(edges)) + edges)), len(shape))


KeepAxials = Annotated[int, Field(ge=LEAST_KEEP_AXIALS, le=MOST_KEEP_AXIALS)]
KeptPoolings = Annotated[KeepAxials, AfterValidator(kept_poolings)]


class ImageParams(Params):
    """Preparation of a timepoint for the network."""

    use_median: bool = Field(False, description="shift each slice so that its median is the volume's")
    input_size: Size | None = Field(
        None, description="voxels, (Z), Y, X, size to which the whole image is rescaled; none: as stored"
    )
    auto_scale: bool = Field(
        True,
        description="see the image at the scale that was chosen for the model and this dataset, unless `input_size` "
        "asks for another; only detection models that start from the shipped weights have one",
    )


class DisplacementParams(Params):
    """Normalisation of the displacements of a flow and of its labels."""

    voxel_size: Voxel = Field(description="physical voxel size, Z, Y, X")
    max_displacement: float = Field(gt=0, description="largest displacement along X and Y, voxels")
    n_keep_axials: KeepAxials = Field(
        0,
        description="the largest displacement along Z is max_displacement / 2^n_keep_axials, even with values above 4",
    )

    def norm(self, n_dims: int) -> tuple[float, ...]:
        """Return the displacement that an output of 1 stands for, in voxels of the stored image, X, Y(, Z).

        That is D, D, D / 2^n_keep_axials with D = `max_displacement`, even if the image is rescaled.
        """
        largest = self.max_displacement
        return (largest, largest, largest / 2**self.n_keep_axials)[:n_dims]


class TimeRange(Params):
    """Consecutive timepoints."""

    t_start: int = Field(0, ge=0, description="first timepoint")
    t_end: int = Field(ge=0, description="last timepoint, inclusive")

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        if self.t_end < self.t_start:
            raise ValueError(
                f"expected t_end of at least t_start, got t_end {self.t_end} and t_start {self.t_start}: "
                "choose a later end"
            )
        return self

    @property
    def timepoints(self) -> range:
        """The chosen timepoints, in order."""
        return range(self.t_start, self.t_end + 1)

    def timepoints_with(self, others: Iterable[int]) -> list[int]:
        """Return the chosen timepoints together with others, each once, in order."""
        return sorted({*self.timepoints, *others})
