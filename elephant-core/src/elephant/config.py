"""Frozen, validated parameters of each stage, named as the protocol names them."""

from collections.abc import Iterable
from math import frexp
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from elephant.types import Box, VoxelSize


class Params(BaseModel):
    """Parameters of one stage: frozen, finite, unknown names refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, arbitrary_types_allowed=True)


def _as_voxel_size(value: object) -> object:
    if isinstance(value, tuple | list) and len(value) == 3:
        return VoxelSize(*(float(v) for v in value))
    return value


Voxel = Annotated[VoxelSize, BeforeValidator(_as_voxel_size)]


N_POOLINGS = 4
LEAST_KEEP_AXIALS, MOST_KEEP_AXIALS = -1, 31  # what the client sends


def n_keep_axials(voxel_size: VoxelSize, n_dims: int) -> int:
    """Return `n_keep_axials` as the client derives it from the voxel size.

    With the anisotropy a = Z / X: -1 if a < 0.75, 0 if 0.75 <= a < 2, otherwise the exponent of the nearest power of
    two, ties upwards, at most 31. In 2D it is 0.

    Parameters
    ----------
    voxel_size
        Voxel size of the network's input.
    n_dims
        3 or 2.
    """
    anisotropy = voxel_size.z / voxel_size.x
    if n_dims == 2 or 0.75 <= anisotropy < 2:
        return 0
    if anisotropy < 0.75:
        return LEAST_KEEP_AXIALS
    mantissa, exponent = frexp(anisotropy)  # anisotropy = mantissa * 2^exponent with 0.5 <= mantissa < 1
    return min(exponent if mantissa >= 0.75 else exponent - 1, MOST_KEEP_AXIALS)


def kept_poolings(n_keep_axials: int) -> int:
    """Return how many of the four poolings leave Z unchanged: `n_keep_axials`, at least 0 and at most 4."""
    return min(max(n_keep_axials, 0), N_POOLINGS)


def keep_axials_of(voxel_size: VoxelSize, shape: tuple[int, ...], input_size: tuple[int, ...] | None = None) -> int:
    """Return the `n_keep_axials` for the voxels of a network's input.

    Parameters
    ----------
    voxel_size
        Voxel size of the stored image.
    shape, input_size
        Size of the stored image, and of the network's input, voxels, (Z), Y, X.
    """
    seen = shape if input_size is None else input_size
    edges = [edge * a / b for edge, a, b in zip(voxel_size.last(len(shape)), shape, seen, strict=True)]
    return n_keep_axials(VoxelSize(*([1.0] * (3 - len(edges)) + edges)), len(shape))


KeepAxials = Annotated[int, Field(ge=LEAST_KEEP_AXIALS, le=MOST_KEEP_AXIALS)]
KeptPoolings = Annotated[KeepAxials, AfterValidator(kept_poolings)]


Size = tuple[Annotated[int, Field(ge=1)], ...]


class ImageParams(Params):
    """Preparation of a timepoint for the network."""

    use_median: bool = Field(False, description="shift each slice so that its median is the volume's")
    input_size: Size | None = Field(
        None, description="voxels, (Z), Y, X, size to which the whole image is rescaled; none: as stored"
    )
    auto_scale: bool = Field(
        True,
        description="see the image at the scale that was chosen for the model and this dataset, unless `input_size` "
        "asks for another; only detection models that start from the shipped weights have one",
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


class ConversionParams(Params):
    """Conversion of a movie: values, axes, and which part of it."""

    divisor: float | None = Field(
        None,
        gt=0,
        description="divisor of all values, which are then rounded down; without it, floats that are not whole numbers "
        "from 0 to 65535 are scaled to 16 bits, and all other values stay as they are",
    )
    is_2d: bool = Field(False, description="store timepoints as planes; only for movies with a single plane")
    dtype: Literal["uint8", "uint16", "auto"] = Field(
        "auto", description="stored type; auto: uint8 if every divided value is at most 255, otherwise uint16"
    )
    value_range: tuple[float, float] | None = Field(
        None,
        description="smallest and largest value, which become 0 and 65535 (255 of uint8); values outside are clipped",
    )
    setup: int | None = Field(
        None,
        ge=0,
        le=2**31 - 1,
        description="number of the source (channel, angle) to use if the movie has several; by default the first",
    )
    channel: str | None = Field(
        None, min_length=1, max_length=1000, description="name of the source to use, in place of its number"
    )
    weights: tuple[float, ...] | None = Field(
        None,
        min_length=1,
        max_length=1000,
        description="weights with which the sources are added up, one for each in the order of their numbers; by "
        "default one source is used",
    )
    level: int = Field(
        0, ge=0, le=1000, description="level of the movie's resolution pyramid to use; 0: full resolution"
    )
    axes: str | None = Field(
        None,
        pattern="^[TCZtcz]{0,3}[Yy][Xx]$",
        description="axes in the order of the file, such as TZYX, for a movie that does not say them itself",
    )
    t_start: int | None = Field(
        None, ge=0, le=2**31 - 1, description="first timepoint to use, which becomes timepoint 0; by default the first"
    )
    t_end: int | None = Field(
        None, ge=0, le=2**31 - 1, description="last timepoint to use, inclusive; by default the last"
    )
    voxel_size: Voxel | None = Field(
        None, description="physical voxel size, Z, Y, X; by default that of the movie, at the level that is used"
    )
    unit: str | None = Field(None, max_length=50, description="unit of the voxel size, such as micrometer")
    reader: str | None = Field(
        None, max_length=200, description="name of the reader, where several that are installed claim the movie"
    )
    fill_gaps: bool = Field(
        False,
        description="store blank images for timepoints that are missing in the movie and not listed as missing in its "
        ".xml",
    )


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


Positive = Annotated[int, Field(ge=1)]
NotNegative = Annotated[int, Field(ge=0)]
Weight = Annotated[float, Field(ge=0)]


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


HeldOutShare = Annotated[
    float,
    Field(
        ge=0,
        le=0.5,
        description="share of the annotations, where there are at least 8, that is held out: the model is judged by "
        "them after each epoch, and its best epoch is kept; 0: none, and the last epoch is kept",
    ),
]


# With ten times as much, the false nuclei that a model found before a training stayed, whatever was annotated.
KEEP_KNOWN = 0.1


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
        f"knows is kept; 0: none; by default {KEEP_KNOWN:g} for a model that began with trained weights, and 0 for "
        "others",
    )
    held_out: HeldOutShare = 0.2


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


class DisplacementParams(Params):
    """Normalisation of the displacements of a flow and of its labels."""

    voxel_size: Voxel = Field(description="physical voxel size, Z, Y, X")
    max_displacement: float = Field(gt=0, description="largest displacement along X and Y, voxels")
    n_keep_axials: KeepAxials = Field(
        0,
        description="the largest displacement along Z is max_displacement / 2^n_keep_axials, even with values above 4",
    )

    def norm(self, n_dims: int) -> tuple[float, ...]:
        """Return the displacement that an output of 1 stands for, in voxels of the stored image, X, Y(, Z).

        That is D, D, D / 2^n_keep_axials with D = `max_displacement`, even if the image is rescaled.
        """
        largest = self.max_displacement
        return (largest, largest, largest / 2**self.n_keep_axials)[:n_dims]


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
    held_out: HeldOutShare = 0.2


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


class LinkerParams(Params):
    """How lineages are made; all that is not set is estimated from the movie."""

    max_gap: int = Field(default=2, ge=0, le=5, description="timepoints in a row at which a nucleus may be missing")
    n_children: int = Field(default=2, ge=1, le=2, description="how many children a spot may have: 2 allows divisions")
    max_distance: float | None = Field(
        default=None,
        gt=0,
        description="largest distance, physical, of a spot from where its motion would take it in one timepoint",
    )


class TimeRange(Params):
    """Consecutive timepoints."""

    t_start: int = Field(0, ge=0, description="first timepoint")
    t_end: int = Field(ge=0, description="last timepoint, inclusive")

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        if self.t_end < self.t_start:
            raise ValueError(
                f"expected t_end of at least t_start, got t_end {self.t_end} and t_start {self.t_start}: "
                "choose a later end"
            )
        return self

    @property
    def timepoints(self) -> range:
        """The chosen timepoints, in order."""
        return range(self.t_start, self.t_end + 1)

    def timepoints_with(self, others: Iterable[int]) -> list[int]:
        """Return the chosen timepoints together with others, each once, in order."""
        return sorted({*self.timepoints, *others})


class CtcParams(TimeRange):
    """The timepoints to export as masks."""

    voxel_size: Voxel = Field(description="physical voxel size, Z, Y, X")


DEFAULT_C_RATIO = 0.4
# Defaults at a terminal or in a notebook; sizes in the order Z, Y, X.
DEFAULT_CROP_SIZE = (16, 96, 96)
DEFAULT_N_EPOCHS = 10
DEFAULT_MAX_DISPLACEMENT = 80.0


def mask_name(t: int, last: int) -> str:
    """Return the file name of a mask, with as many digits as the last timepoint needs, at least three."""
    return f"mask{t:0{max(3, len(str(last)))}d}.tif"


class AnnotationParams(Params):
    """What a person says about a file of annotations that the file does not say itself."""

    radius: Annotated[float, Field(gt=0)] | None = Field(
        None, description="radius of nuclei for which a file gives none, in the unit of the voxel size"
    )
    spots_unit: Literal["auto", "pixel", "physical"] = Field(
        "auto",
        description="what positions in files of other programs are measured in: pixel, physical (the unit of the voxel "
        "size), or auto: as the file says",
    )
    first_frame: Annotated[int, Field(ge=0)] | None = Field(
        None,
        description="number of the movie's first timepoint in files of other programs; by default as they say, or 0",
    )
    spots_format: str | None = Field(
        None, description="format of the files, such as trackmate; by default recognised by content and name"
    )


class EvaluationParams(Params):
    """How found nuclei are compared with true ones."""

    distance: float | None = Field(
        None,
        gt=0,
        description="largest distance between the centres of a true nucleus and a found one that are the same, in the "
        "unit of the positions; by default the median radius of the true nuclei, to three digits",
    )
    overlap: float | None = Field(
        None,
        gt=0,
        le=1,
        description="match by overlap instead: the least share that the intersection of two ellipsoids has of their "
        "union",
    )
    truth_covers: Literal["movie", "timepoints", "box", "nuclei"] = Field(
        "timepoints",
        description="what the truth is complete for: the movie; the timepoints at which it has nuclei; at these, the "
        "box around its nuclei; or nothing but its nuclei, so that there is no precision",
    )
    division_tolerance: int = Field(
        1, ge=0, le=1000, description="how many timepoints earlier or later a division may be found"
    )
