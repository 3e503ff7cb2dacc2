"""Parameters of a prediction and of the spots taken from it."""

from pydantic import Field

from elephant.config.anisotropy import KeptPoolings
from elephant.config.base import Params, Voxel
from elephant.config.image import ImageParams, Size
from elephant.types import Box


class SpotParams(Params):
    """How probabilities become spots."""

    voxel_size: Voxel = Field(description="physical voxel size, Z, Y, X")
    c_ratio: float = Field(0.4, gt=0, le=1, description="semi-axes of a nucleus' centre over those of the nucleus")
    p_thresh: float = Field(0.5, ge=0, le=1, description="centre probability above which a voxel is a centre's")
    r_min: float = Field(0.0, ge=0, description="smallest semi-axis of a nucleus, physical; smaller ones are dropped")
    r_max: float = Field(1e6, gt=0, description="largest semi-axis of a nucleus, physical; larger ones are cut")


class PredictionParams(Params):
    """How a network is run over an image."""

    n_keep_axials: KeptPoolings = Field(0, description="how many of the four poolings leave Z alone")
    image: ImageParams = ImageParams()
    is_pad: bool = Field(False, description="surround each tile by replicated borders")
    use_2d: bool = Field(False, description="apply a 2D network slice by slice to a volume")
    batch_size: int = Field(1, ge=1, description="tiles or slices that go through the network together")
    patch: Size | None = Field(None, description="largest tile, voxels, (Z), Y, X; none: the whole image at once")
    crop_box: Box | None = Field(None, description="part of the stored image to predict, voxels, (Z), Y, X")


class DetectionParams(Params):
    """A detection at one timepoint."""

    prediction: PredictionParams
    spots: SpotParams
    output_prediction: bool = Field(False, description="keep the probabilities in the dataset")
