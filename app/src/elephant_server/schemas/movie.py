"""What bodies about a movie and about models have in common, whether for detection or for flow."""

from typing import Self

from pydantic import Field, model_validator

from elephant.config import ImageParams, KeepAxials, n_keep_axials
from elephant.types import Box
from elephant_server.schemas.base import Body, Name, sizes_zyx, voxel_size
from elephant_server.schemas.numbers import (
    LARGEST_INT,
    LARGEST_LENGTH,
    LEAST_LENGTH,
    CropBox,
    Sizes,
    Vector,
)

_SCALES = "physical voxel size, X, Y, Z"


class MovieBody(Body):
    """What requests about a dataset have."""

    dataset_name: Name = Field(description="dataset, below workspace/datasets")
    is_3d: bool = Field(True, description="whether the movie has volumes; otherwise whatever stands at Z is ignored")
    scales: Vector = Field((1.0, 1.0, 1.0), description=_SCALES)

    @model_validator(mode="after")
    def _check_scales(self) -> Self:
        if not all(LEAST_LENGTH <= edge <= LARGEST_LENGTH for edge in self.scales[: self._n_dims]):
            raise ValueError(
                f"scales: expected edges of voxels above 0 ({LEAST_LENGTH:g} to {LARGEST_LENGTH:g}), but "
                f"{list(self.scales)} came (X, Y, Z): set the voxel size in the client's preferences"
            )
        return self

    @property
    def _n_dims(self) -> int:
        return 3 if self.is_3d else 2

    def sizes(self, name: str, sizes: Sizes) -> tuple[int, ...]:
        """Return X, Y, Z sizes as (Z), Y, X, refusing what an axis that counts cannot have."""
        turned = sizes_zyx(sizes, self.is_3d)
        if not 1 <= min(turned) <= max(turned) <= LARGEST_INT:
            raise ValueError(
                f"{name}: expected numbers of voxels of at least 1 (at most {LARGEST_INT}), but {list(sizes)} came "
                "(X, Y, Z): change it in the client's preferences"
            )
        return turned

    def _image(self, input_size: Sizes | None, use_median: bool) -> ImageParams:
        size = None if input_size is None else self.sizes("input_size", input_size)
        return ImageParams(use_median=use_median, input_size=size)

    def _box(self, crop_box: CropBox | None) -> Box | None:
        if crop_box is None:
            return None
        size = self.sizes("crop_box", crop_box[3:])
        origin = sizes_zyx(crop_box[:3], self.is_3d)
        if min(origin) < 0:
            raise ValueError(
                f"crop_box: expected an origin of at least 0 on each axis, but {list(crop_box)} came (origin X, Y, Z, "
                "then size X, Y, Z): choose a box inside the image"
            )
        return Box(origin, size)

    def _derived_keep_axials(self) -> int:
        return n_keep_axials(voxel_size(self.scales, self.is_3d), self._n_dims)


class ModelBody(MovieBody):
    """What requests that use a model have."""

    model_name: Name = Field(description="model, below workspace/models")
    n_keep_axials: KeepAxials | None = Field(
        None, description="how many of the four poolings leave Z alone (taken as 0 to 4); by default from `scales`"
    )

    def keep_axials(self) -> int:
        """Return `n_keep_axials` as it was sent, else as it follows from the voxels, -1 to 31."""
        return self._derived_keep_axials() if self.n_keep_axials is None else self.n_keep_axials


class ScaledModelBody(ModelBody):
    """What requests that run a network have: the voxel size is not left to a default."""

    scales: Vector = Field(description=_SCALES)
