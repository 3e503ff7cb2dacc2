"""Parameters of the labels."""

from pydantic import Field

from elephant.config.base import Params, Voxel


class LabelParams(Params):
    """How spots become detection labels."""

    voxel_size: Voxel = Field(description="physical voxel size, Z, Y, X")
    c_ratio: float = Field(0.4, gt=0, le=1, description="semi-axes of a nucleus' centre over those of the nucleus")
    auto_bg_thresh: float = Field(
        0.0, ge=0, le=1, description="normalised intensity below which a voxel is background; 0: none"
    )
