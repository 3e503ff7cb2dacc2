"""What all parameters have in common."""

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict

from elephant.types import VoxelSize


class Params(BaseModel):
    """Parameters of one stage: frozen, finite, unknown names refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, arbitrary_types_allowed=True)


def _as_voxel_size(value: object) -> object:
    if isinstance(value, tuple | list) and len(value) == 3:
        return VoxelSize(*(float(v) for v in value))
    return value


Voxel = Annotated[VoxelSize, BeforeValidator(_as_voxel_size)]
