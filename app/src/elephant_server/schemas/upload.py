"""Forms of ``upload/*``."""

from typing import Literal

from pydantic import Field

from elephant_server.schemas.base import Body, Name


class UploadForm(Body):
    """``upload/image``: a step of the upload of a movie."""

    dataset_name: Name = Field(description="dataset, below workspace/datasets; it need not exist yet")
    filename: Name = Field(description="name of an .h5 or .hdf5 in the dataset's folder")
    action: Literal["init", "append", "complete", "cancel"] = Field(
        description="`init` begins with the part `file`, `append` goes on with it, `complete` puts the file in place, "
        "`cancel` drops it"
    )
