"""What bodies about a movie and about models have in common, whether for detection or for flow."""

from typing import Annotated

from pydantic import Field

from elephant.config.anisotropy import n_keep_axials
from elephant.config.image import ImageParams
from elephant.errors import InvalidInputError
from elephant.types import Box
from elephant_server.schemas.base import Body, Finite, KeepAxials, Name, Scales, Sizes, sizes_zyx, voxel_size

Ratio = Annotated[float, Field(gt=0, le=1)]
Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[Finite, Field(gt=0)]
NotNegative = Annotated[Finite, Field(ge=0)]
CropBox = tuple[int, int, int, int, int, int]


class MovieBody(Body):
    """What requests about a dataset have."""

    dataset_name: Name = Field(description="dataset, below workspace/datasets")
    is_3d: bool = Field(True, description="whether the movie has volumes; otherwise whatever stands at Z is ignored")
    scales: Scales = Field((1.0, 1.0, 1.0), description="physical voxel size, X, Y, Z")

    def _sizes(self, sizes: Sizes) -> tuple[int, ...]:
        """Return X, Y, Z sizes as (Z), Y, X, refusing what is below 1 on an axis that counts."""
        turned = sizes_zyx(sizes, self.is_3d)
        if min(turned) < 1:
            raise InvalidInputError(f"sizes must be at least 1, but {list(sizes)} (X, Y, Z) came")
        return turned

    def _image(self, input_size: Sizes | None, use_median: bool) -> ImageParams:
        size = None if input_size is None else self._sizes(input_size)
        return ImageParams(use_median=use_median, input_size=size)

    def _box(self, crop_box: CropBox | None) -> Box | None:
        if crop_box is None:
            return None
        return Box(sizes_zyx(crop_box[:3], self.is_3d), sizes_zyx(crop_box[3:], self.is_3d))

    def _derived_keep_axials(self) -> int:
        return n_keep_axials(voxel_size(self.scales, self.is_3d), 3 if self.is_3d else 2)


class ModelBody(MovieBody):
    """What requests that use a model have."""

    model_name: Name = Field(description="model, below workspace/models")
    n_keep_axials: KeepAxials | None = Field(
        None, description="how many of the four poolings leave Z alone, clamped to 0 to 4; by default from `scales`"
    )

    def _keep_axials(self) -> int:
        return self._derived_keep_axials() if self.n_keep_axials is None else self.n_keep_axials
