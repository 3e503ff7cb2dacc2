"""Bodies of ``dataset/*``."""

from typing import Annotated

from pydantic import Field

from elephant.config import ConversionParams
from elephant_server.jobs.payloads import DatasetGenerate
from elephant_server.schemas.base import Body, Name
from elephant_server.schemas.numbers import LARGEST_INT, Index, Positive

Shape = Annotated[tuple[Annotated[int, Field(ge=1, le=LARGEST_INT)], ...], Field(min_length=3, max_length=4)]


class DatasetCheckBody(Body):
    """``dataset/check``: is the dataset there, whole, and that of this movie?"""

    dataset_name: Name = Field(description="dataset, below workspace/datasets")
    shape: Shape | None = Field(None, description="T, Z, Y, X; T, Y, X for 2D")


class DatasetGenerateBody(Body):
    """``dataset/generate``: convert the .h5 that lies in the dataset's folder."""

    dataset_name: Name = Field(description="dataset, below workspace/datasets")
    is_2d: bool = Field(False, description="store timepoints as planes")
    is_uint16: bool | None = Field(None, description="store 16 bits; otherwise the values decide")
    divisor: Positive | None = Field(
        None,
        description="what all values are divided by; without it, floats that are not whole numbers from 0 to 65535 are "
        "scaled to 16 bits",
    )
    setup: Index | None = Field(
        None, description="number of the source (channel, angle) to take where the movie has several; else its first"
    )
    fill_gaps: bool = Field(
        False, description="blank images for timepoints that the movie lacks and its .xml does not list as missing"
    )

    def to_payload(self) -> DatasetGenerate:
        """Return what a worker is given."""
        dtype = "uint16" if self.is_uint16 else "auto"
        params = ConversionParams(
            divisor=self.divisor, is_2d=self.is_2d, dtype=dtype, setup=self.setup, fill_gaps=self.fill_gaps
        )
        return DatasetGenerate(dataset_name=self.dataset_name, params=params)
