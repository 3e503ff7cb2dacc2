"""Parameters of labels, of trainings, and of how a model begins."""

from pydantic import Field

from elephant.config.base import (
    DisplacementParams,
    ImageParams,
    KeptPoolings,
    NotNegative,
    Params,
    Positive,
    Size,
    Voxel,
    Weight,
)


class LabelParams(Params):
    """Making detection labels from spots."""

    voxel_size: Voxel = Field(description="physical voxel size, Z, Y, X")
    c_ratio: float = Field(
        0.4, gt=0, le=1, description="semi-axes of a nucleus' centre divided by those of the nucleus"
    )
    auto_bg_thresh: float = Field(
        0.0, ge=0, le=1, description="normalised intensity below which a voxel is background; 0: none"
    )


class AugmentationParams(Params):
    """Random augmentation of crops."""

    flip: bool = Field(True, description="flip every axis with a probability of one half")
    aug_scale_factor_base: float = Field(
        0.0, ge=0, lt=1, description="relative change of the field of view along the finest axis; less along others"
    )
    aug_rotation_angle: float = Field(0.0, ge=0, le=180, description="largest rotation in the XY plane, degrees")
    aug_contrast: float = Field(
        0.0,
        ge=0,
        le=1,
        description="smallest fraction of the contrast between foreground and background that is kept; 0: no change",
    )


class LoopParams(Params):
    """The training loop."""

    lr: float = Field(1e-3, ge=0, description="learning rate of Adam")
    batch_size: Positive = Field(1, description="crops per step")
    n_crops: Positive = Field(5, description="crops per labelled timepoint and epoch")
    n_epochs: NotNegative = Field(1, description="passes over the labelled timepoints; 0: only write the labels")
    replay: float = Field(
        0.25,
        ge=0,
        le=1,
        description="crops of timepoints that were labelled before, and are not trained on now, for each crop of those "
        "that are, so that they are not forgotten; 0: none",
    )
    log_interval: int = Field(0, ge=0, description="steps between two lines in the log; 0: one per epoch")
    seed: int | None = Field(None, ge=0, description="random seed; none: different each time")


class DetectionTrainingParams(Params):
    """Training the detection network."""

    labels: LabelParams
    loop: LoopParams = LoopParams()
    augmentation: AugmentationParams = AugmentationParams()
    image: ImageParams = ImageParams()
    crop_size: Size = Field(description="voxels, (Z), Y, X; at most the size of the image")
    n_keep_axials: KeptPoolings = Field(0, description="how many of the four poolings leave Z unchanged")
    class_weights: tuple[Weight, Weight, Weight] = Field(
        (1.0, 10.0, 10.0), description="weights of background, border and centre in the NLL"
    )
    false_weight: Weight = Field(10.0, description="weight of a voxel labelled by a false annotation")
    keep_known: Weight | None = Field(
        None,
        description="weight of predicting as before the training where nothing is annotated, so that what the model "
        "knows is kept; 0: none; by default 1 for a model that began with trained weights, and 0 for others",
    )
    held_out: float = Field(
        0.2,
        ge=0,
        le=0.5,
        description="share of the annotations, where there are at least 8, that is held out: the model is judged by "
        "them after each epoch, and its best epoch is kept; 0: none, and the last epoch is kept",
    )


class StartParams(Params):
    """A new model: of detection from the intensities of a dataset, of flow from random weights."""

    n_dims: int = Field(
        3, ge=2, le=3, description="number of axes of the network: 2 for one that sees a volume slice by slice"
    )
    n_keep_axials: KeptPoolings = Field(0, description="how many of the four poolings leave Z unchanged")
    crop_size: Size = Field((16, 96, 96), description="voxels, (Z), Y, X; at most the size of the image")
    n_crops: NotNegative = Field(5, description="crops per epoch; 0: the weights stay random")
    image: ImageParams = ImageParams()
    voxel_size: Voxel | None = Field(None, description="physical voxel size, Z, Y, X; none: not known")
    learning_rates: tuple[float, ...] = Field((1e-2, 1e-3, 1e-4), description="learning rate of each epoch")
    seed: int | None = Field(None, ge=0, description="random seed; none: different each time")


class FlowTrainingParams(Params):
    """Training the flow network; displacements are in voxels of the stored image."""

    displacement: DisplacementParams
    loop: LoopParams = LoopParams()
    augmentation: AugmentationParams = AugmentationParams()
    image: ImageParams = ImageParams()
    crop_size: Size = Field(description="voxels, (Z), Y, X; at most the size of the image")
    dim_weights: tuple[Weight, Weight, Weight] = Field(
        (1.0, 1.0, 1.0), description="weights of the errors along X, Y and Z; all 0: equal"
    )
    relative_lr: bool | None = Field(
        None,
        description="whether the learning rate of each layer is multiplied by the size of its weights, so that a "
        "trained network changes little at a time; by default for a model that began with trained weights",
    )
    held_out: float = Field(
        0.2,
        ge=0,
        le=0.5,
        description="share of the annotations, where there are at least 8, that is held out: the model is judged by "
        "them after each epoch, and its best epoch is kept; 0: none, and the last epoch is kept",
    )


# At a terminal or in a notebook.
DEFAULT_CROP_SIZE = (16, 96, 96)  # Z, Y, X
DEFAULT_N_EPOCHS = 10
