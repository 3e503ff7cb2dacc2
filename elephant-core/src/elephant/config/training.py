"""Parameters of a training."""

from typing import Annotated

from pydantic import Field

from elephant.config.anisotropy import KeptPoolings
from elephant.config.base import Params
from elephant.config.image import ImageParams, Size
from elephant.config.labels import LabelParams

Positive = Annotated[int, Field(ge=1)]
NotNegative = Annotated[int, Field(ge=0)]
Weight = Annotated[float, Field(ge=0)]


class AugmentationParams(Params):
    """How much a crop is changed at random."""

    flip: bool = Field(True, description="turn every axis around with a probability of one half")
    aug_scale_factor_base: float = Field(
        0.0, ge=0, lt=1, description="relative change of the field of view along the finest axis; less along others"
    )
    aug_rotation_angle: float = Field(0.0, ge=0, le=180, description="largest turn in the XY plane, degrees")
    aug_contrast: float = Field(
        0.0,
        ge=0,
        le=1,
        description="smallest share of the contrast between foreground and background that is kept; 0: no change",
    )


class LoopParams(Params):
    """The training loop."""

    lr: float = Field(1e-3, ge=0, description="learning rate of Adam")
    batch_size: Positive = Field(1, description="crops per step")
    n_crops: Positive = Field(5, description="crops per labelled timepoint and epoch")
    n_epochs: NotNegative = Field(1, description="passes over the labelled timepoints; 0: only write the labels")
    log_interval: int = Field(0, ge=0, description="steps between two lines in the log; 0: one an epoch")
    seed: int | None = Field(None, ge=0, description="start of the random numbers; none: different each time")


class DetectionTrainingParams(Params):
    """A training of the detection network."""

    labels: LabelParams
    loop: LoopParams = LoopParams()
    augmentation: AugmentationParams = AugmentationParams()
    image: ImageParams = ImageParams()
    crop_size: Size = Field(description="voxels, (Z), Y, X; cut to the image where it is smaller")
    n_keep_axials: KeptPoolings = Field(0, description="how many of the four poolings leave Z alone")
    class_weights: tuple[Weight, Weight, Weight] = Field(
        (1.0, 10.0, 10.0), description="weights of background, border and centre in the NLL"
    )
    false_weight: Weight = Field(10.0, description="weight of a voxel labelled by a false annotation")


class SelfSupervisedParams(Params):
    """A start from the intensities of a dataset alone."""

    crop_size: Size = Field(description="voxels, (Z), Y, X; cut to the image where it is smaller")
    n_crops: NotNegative = Field(5, description="crops per epoch; 0: the weights stay random")
    n_keep_axials: KeptPoolings = Field(0, description="how many of the four poolings leave Z alone")
    image: ImageParams = ImageParams()
    learning_rates: tuple[float, ...] = Field((1e-2, 1e-3, 1e-4), description="learning rate of each epoch")
    seed: int | None = Field(None, ge=0, description="start of the random numbers; none: different each time")
