"""What all request bodies have in common."""

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from elephant.models.pretrained import VERSATILE
from elephant.types import VoxelSize
from elephant_server.schemas.numbers import Sizes, Vector

Name = Annotated[str, Field(min_length=1, max_length=1000)]


def _an_address(url: str) -> str:
    """Accept what names a model: whether it may be asked, and what it answers, is seen later."""
    try:
        parts = urlsplit(url)
        is_one = parts.scheme in ("http", "https") and bool(parts.hostname) and url.isprintable() and " " not in url
    except ValueError:
        is_one = False
    if url != VERSATILE and not is_one:
        raise ValueError(
            f'expected "{VERSATILE}", null, or the address of a .pth that starts with http:// or https://, but '
            f"{url[:80]!r} came: check the address, or upload the file"
        )
    return url


ModelUrl = Annotated[str, Field(max_length=2000), AfterValidator(_an_address)]


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
