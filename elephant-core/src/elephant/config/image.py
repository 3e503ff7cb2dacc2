"""Parameters of how an image is prepared for a network."""

from typing import Annotated

from pydantic import Field

from elephant.config.base import Params

Size = tuple[Annotated[int, Field(ge=1)], ...]


class ImageParams(Params):
    """What happens to a timepoint before the network sees it."""

    use_median: bool = Field(False, description="shift each slice so that its median is the volume's")
    input_size: Size | None = Field(
        None, description="voxels, (Z), Y, X, to which the whole image is rescaled; none: as stored"
    )
