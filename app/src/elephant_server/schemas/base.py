"""What all request bodies have in common."""

from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from elephant.config.anisotropy import MAX_KEEP_AXIALS
from elephant.types import Tag, VoxelSize
from elephant_server.jobs.payloads import SpotPayload

Finite = Annotated[float, Field(allow_inf_nan=False)]
Vector = tuple[Finite, Finite, Finite]
Sizes = tuple[int, int, int]
Name = Annotated[str, Field(min_length=1, max_length=1000)]
Count = Annotated[int, Field(ge=1)]
Index = Annotated[int, Field(ge=0)]


class Body(BaseModel):
    """A JSON object from the client: unknown keys are ignored, whole numbers serve as floats, strings do not."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True, allow_inf_nan=False)


def zyx(vector: Vector) -> Vector:
    """Turn a vector around: X, Y, Z to Z, Y, X and back."""
    return (vector[2], vector[1], vector[0])


def sizes_zyx(sizes: Sizes, is_3d: bool) -> tuple[int, ...]:
    """Return sizes as Z, Y, X, or as Y, X where there is no Z."""
    return sizes[::-1] if is_3d else sizes[1::-1]


def voxel_size(scales: Vector, is_3d: bool) -> VoxelSize:
    """Return the voxel size; in 2D whatever stands at Z does not count."""
    return VoxelSize(scales[2] if is_3d else 1.0, scales[1], scales[0])


def _in_plane_positive(scales: Vector) -> Vector:
    if min(scales[:2]) <= 0:
        raise ValueError("voxel sizes must be above 0")
    return scales


Scales = Annotated[Vector, AfterValidator(_in_plane_positive)]


def _clamp(value: Any) -> Any:
    is_number = isinstance(value, int) and not isinstance(value, bool)
    return min(max(value, 0), MAX_KEEP_AXIALS) if is_number else value


KeepAxials = Annotated[int, BeforeValidator(_clamp)]


def _known_tag(value: Any) -> Any:
    if isinstance(value, str) and value not in set(Tag):
        raise ValueError(f"expected one of the tags {', '.join(Tag)}")
    return Tag(value) if isinstance(value, str) else value


class EllipsoidBody(Body):
    """A nucleus as an ellipsoid."""

    pos: Vector = Field(description="centre, physical, X, Y, Z")
    covariance: Annotated[tuple[Finite, ...], Field(min_length=9, max_length=9)] = Field(
        description="3 x 3 covariance of the ellipsoid, physical, row-major over X, Y, Z; its surface is at one sigma"
    )

    @property
    def counts(self) -> bool:
        """Whether its shape is used."""
        return True


class SpotBody(EllipsoidBody):
    """An annotated nucleus."""

    t: Index = Field(description="timepoint, counted from 0")
    tag: Annotated[Tag, BeforeValidator(_known_tag)] = Field(Tag.UNLABELED, description="what a person says of it")
    id: int = Field(-1, description="the client's name of the spot")

    @property
    def counts(self) -> bool:
        """Whether its shape is used."""
        return self.tag is not Tag.UNLABELED

    def to_payload(self) -> SpotPayload:
        """Return it in the order Z, Y, X."""
        return SpotPayload(t=self.t, pos=zyx(self.pos), covariance=self.covariance[::-1], tag=self.tag, id=self.id)


def check_covariances(spots: Sequence[EllipsoidBody], is_3d: bool) -> None:
    """Check that the covariances of all spots that count are symmetric and positive definite.

    Raises
    ------
    ValueError
        One is not; the message names it.
    """
    counted = [(i, spot) for i, spot in enumerate(spots) if spot.counts]
    if not counted:
        return
    n = 3 if is_3d else 2
    matrices = np.array([spot.covariance for _, spot in counted]).reshape(-1, 3, 3)[:, :n, :n]
    largest = np.abs(matrices).max(axis=(1, 2))
    symmetric = np.abs(matrices - matrices.transpose(0, 2, 1)).max(axis=(1, 2)) <= 1e-4 * largest
    positive = np.linalg.eigvalsh((matrices + matrices.transpose(0, 2, 1)) / 2)[:, 0] > 0
    wrong = np.flatnonzero(~(symmetric & positive))
    if len(wrong):
        index, spot = counted[int(wrong[0])]
        raise ValueError(
            f"spots.{index}.covariance must be symmetric positive definite, but {list(spot.covariance)} came "
            f"(at {list(spot.pos)}, X, Y, Z): delete that spot and draw it again"
        )
