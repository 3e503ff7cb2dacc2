"""Parameters of predictions."""

from typing import Self

from pydantic import Field, model_validator

from elephant.config.base import DisplacementParams, ImageParams, KeptPoolings, Params, Size, Voxel, kept_poolings
from elephant.types import Box


class SpotParams(Params):
    """Extracting spots from probabilities."""

    voxel_size: Voxel = Field(description="physical voxel size, Z, Y, X")
    c_ratio: float = Field(
        0.4, gt=0, le=1, description="semi-axes of a nucleus' centre divided by those of the nucleus"
    )
    p_thresh: float = Field(0.5, ge=0, le=1, description="centre probability above which a voxel belongs to a centre")
    r_min: float = Field(0.0, ge=0, description="smallest semi-axis of a nucleus, physical; smaller ones are dropped")
    r_max: float = Field(
        1e6, gt=0, description="largest semi-axis of a nucleus, physical; larger ones are reduced to it"
    )


class PredictionParams(Params):
    """Running a network over an image."""

    n_keep_axials: KeptPoolings = Field(0, description="how many of the four poolings leave Z unchanged")
    image: ImageParams = ImageParams()
    is_pad: bool = Field(False, description="pad each tile with replicated borders")
    use_2d: bool = Field(False, description="apply a 2D network slice by slice to a volume")
    batch_size: int = Field(1, ge=1, description="tiles or slices that go through the network together")
    patch: Size | None = Field(None, description="largest tile, voxels, (Z), Y, X; none: the whole image at once")
    crop_box: Box | None = Field(None, description="part of the stored image to predict, voxels, (Z), Y, X")


class DetectionParams(Params):
    """Detecting nuclei at one timepoint."""

    prediction: PredictionParams
    spots: SpotParams
    output_prediction: bool = Field(False, description="store the probabilities in the dataset")
    raw_quality: bool = Field(
        False,
        description="give each spot its mean centre probability as quality, in place of the calibrated probability "
        "that it is a nucleus",
    )


class FlowParams(Params):
    """Predicting the earlier positions of spots."""

    displacement: DisplacementParams
    prediction: PredictionParams
    output_prediction: bool = Field(False, description="store the flow in the dataset")

    @model_validator(mode="after")
    def _check_keep_axials(self) -> Self:
        if kept_poolings(self.displacement.n_keep_axials) != self.prediction.n_keep_axials:
            raise ValueError("expected the same n_keep_axials for the displacements and the network")
        return self


# At a terminal or in a notebook.
DEFAULT_C_RATIO = 0.4
DEFAULT_MAX_DISPLACEMENT = 80.0
