"""Bodies of ``dataset/*``, and the form of ``upload/image``."""

from typing import Annotated, Literal

from pydantic import Field

from elephant.config import ConversionParams
from elephant_server.schemas.common import Body
from elephant_server.schemas.fields import FARTHEST, LARGEST_INT, LEAST_LENGTH, Finite, Name, parameter

Shape = Annotated[tuple[Annotated[int, Field(ge=1, le=LARGEST_INT)], ...], Field(min_length=3, max_length=4)]


class DatasetCheckBody(Body):
    """``dataset/check``: is the dataset there, whole, and that of this movie?"""

    dataset_name: Name = Field(description="dataset, below workspace/datasets")
    shape: Shape | None = Field(None, description="T, Z, Y, X; T, Y, X for 2D")


class DatasetGenerateBody(Body):
    """``dataset/generate``: convert the movie that lies in the dataset's folder."""

    dataset_name: Name = Field(description="dataset, below workspace/datasets")
    is_2d: bool = parameter(ConversionParams, "is_2d")
    is_uint16: bool | None = Field(None, description="store 16 bits; otherwise the values decide")
    divisor: Finite | None = parameter(ConversionParams, "divisor", ge=LEAST_LENGTH, le=FARTHEST)
    setup: int | None = parameter(ConversionParams, "setup")
    fill_gaps: bool = parameter(ConversionParams, "fill_gaps")

    def conversion(self) -> ConversionParams:
        """Return what is made of the movie."""
        return ConversionParams(
            divisor=self.divisor,
            is_2d=self.is_2d,
            dtype="uint16" if self.is_uint16 else "auto",
            setup=self.setup,
            fill_gaps=self.fill_gaps,
        )


class UploadForm(Body):
    """``upload/image``: a step of the upload of a movie."""

    dataset_name: Name = Field(description="dataset, below workspace/datasets; it need not exist yet")
    filename: Name = Field(description="name of an .h5 or .hdf5 in the dataset's folder")
    action: Literal["init", "append", "complete", "cancel"] = Field(
        description="`init` begins with the part `file`, `append` goes on with it, `complete` puts the file in place, "
        "`cancel` drops it"
    )
