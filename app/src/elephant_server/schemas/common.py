"""What the bodies of detection and flow have in common: a movie, a model, a prediction, a training."""

from collections.abc import Sequence
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, model_validator

from elephant.config import (
    AugmentationParams,
    DetectionParams,
    DetectionTrainingParams,
    ImageParams,
    KeepAxials,
    LabelParams,
    LoopParams,
    PredictionParams,
    n_keep_axials,
)
from elephant.progress import CancelToken
from elephant.types import Box, Spot, VoxelSize
from elephant_server.schemas.fields import (
    LARGEST_BATCH,
    LARGEST_CROPS,
    LARGEST_EPOCHS,
    LARGEST_INT,
    LARGEST_LENGTH,
    LARGEST_LONG,
    LARGEST_RATE,
    LEAST_LENGTH,
    Bytes,
    CropBox,
    EllipsoidBody,
    Finite,
    Index,
    Name,
    Sizes,
    SpotList,
    Vector,
    check_spots,
    parameter,
    sizes_zyx,
    voxel_size,
)

_ABOUT = ("dataset_name", "model_name", "timepoint", "log_dir", "is_livemode")

# The context in which a worker reads a body: its spots were checked when the request was taken.
CHECKED = object()


class Body(BaseModel):
    """A JSON object from the client: unknown keys are ignored, whole numbers serve as floats, strings do not.

    It is what travels to the workers, too, which ask it for the core's parameters.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True, allow_inf_nan=False)

    def about(self) -> dict[str, Any]:
        """Return what the job is about, by name, for the dashboard."""
        return {name: getattr(self, name) for name in _ABOUT if getattr(self, name, None) is not None}

    def facts(self) -> dict[str, Any]:
        """Return what the request says of its dataset, by name, for the dashboard: the voxel size is Z, Y, X."""
        return {}


class MovieBody(Body):
    """What requests about a dataset have."""

    dataset_name: Name = Field(description="dataset, below workspace/datasets")
    is_3d: bool = Field(True, description="whether the movie has volumes; otherwise whatever stands at Z is ignored")
    scales: Vector = parameter(LabelParams, "voxel_size", (1.0, 1.0, 1.0))

    @model_validator(mode="after")
    def _check_scales(self) -> Self:
        if not all(LEAST_LENGTH <= edge <= LARGEST_LENGTH for edge in self.scales[: self._n_dims]):
            raise ValueError(
                f"scales: expected edges of voxels above 0 ({LEAST_LENGTH:g} to {LARGEST_LENGTH:g}), got "
                f"{list(self.scales)} (X, Y, Z): set the voxel size in the client's preferences"
            )
        return self

    @property
    def _n_dims(self) -> int:
        return 3 if self.is_3d else 2

    @property
    def voxel_size(self) -> VoxelSize:
        """The physical voxel size; in 2D an edge of 1 along Z."""
        return voxel_size(self.scales, self.is_3d)

    @property
    def stated_voxel_size(self) -> VoxelSize | None:
        """The voxel size of the stored image, where the request is one that states it."""
        return self.voxel_size

    def facts(self) -> dict[str, Any]:
        """Return the voxel size, where the request states it."""
        size = self.stated_voxel_size
        return {} if size is None else {"voxel_size": list(size.zyx)}

    def sizes(self, name: str, sizes: Sizes) -> tuple[int, ...]:
        """Return X, Y, Z sizes as (Z), Y, X, refusing what an axis that counts cannot have."""
        turned = sizes_zyx(sizes, self.is_3d)
        if not 1 <= min(turned) <= max(turned) <= LARGEST_INT:
            raise ValueError(
                f"{name}: expected numbers of voxels of at least 1 (at most {LARGEST_INT}), got {list(sizes)} "
                "(X, Y, Z): change it in the client's preferences"
            )
        return turned

    def derived_keep_axials(self) -> int:
        """Return the `n_keep_axials` that follows from the voxels, -1 to 31."""
        return n_keep_axials(self.voxel_size, self._n_dims)


class SpotsBody(MovieBody):
    """What requests with spots have; of which kind those are, each says itself."""

    spots: SpotList[EllipsoidBody] = ()
    _remedy: ClassVar[str] = ""

    @model_validator(mode="after")
    def _check_spots(self, info: ValidationInfo) -> Self:
        nothing = "" if self.spots else self.nothing_to_do()
        if nothing:
            raise ValueError(f"{nothing}; {self._remedy}")
        if info.context is not CHECKED:
            check_spots(self.spots, self.is_3d)
        return self

    def nothing_to_do(self) -> str:
        """Return what to say where there are no spots; empty where they may be left out."""
        return ""


class UpdateBody(SpotsBody):
    """What updates of labels have."""

    reset: bool = Field(False, description="clear the labels of all timepoints instead")

    def nothing_to_do(self) -> str:
        """Return what to say where there are no spots."""
        return "" if self.reset else "nothing to update: expected spots, or reset, got neither"

    @property
    def is_for_live_session(self) -> bool:
        """Whether a live session on the dataset, where there is one, trains on it."""
        return False

    @property
    def stated_voxel_size(self) -> VoxelSize | None:
        """The voxel size; None where labels are only cleared."""
        return None if self.reset else self.voxel_size


class ModelBody(MovieBody):
    """What requests that use a model have."""

    model_name: Name = Field(description="model, below workspace/models")
    n_keep_axials: KeepAxials | None = Field(
        None, description="how many of the four poolings leave Z alone (taken as 0 to 4); by default from `scales`"
    )
    cache_maxbytes: Bytes | None = Field(None, description="bytes for keeping images in memory; 0: none are kept")

    def keep_axials(self) -> int:
        """Return `n_keep_axials` as it was sent, else as it follows from the voxels, -1 to 31."""
        return self.derived_keep_axials() if self.n_keep_axials is None else self.n_keep_axials


class TurnBody(Body):
    """What trainings and model resets have, of which one runs at a time."""

    wait: bool = Field(
        False,
        description="wait while another training or model reset is there, instead of being refused; not for a live "
        "session, which goes on until it is aborted",
    )


class RunningBody(ModelBody):
    """What predictions and trainings have: the voxel size is not left to a default."""

    scales: Vector = parameter(LabelParams, "voxel_size")
    use_memmap: bool = Field(False, description="accepted for compatibility")
    input_size: Sizes | None = parameter(ImageParams, "input_size")
    debug: bool = Field(False, description="accepted for compatibility")

    def image(self, *, use_median: bool = False) -> ImageParams:
        """Return what happens to a timepoint before the network sees it."""
        size = None if self.input_size is None else self.sizes("input_size", self.input_size)
        return ImageParams(use_median=use_median, input_size=size)


class ScaledBody(RunningBody):
    """What predictions and trainings have of models that see a dataset at a scale of their own."""

    auto_scale: bool = parameter(ImageParams, "auto_scale")

    def image(self, *, use_median: bool = False) -> ImageParams:
        """Return what happens to a timepoint before the network sees it."""
        return super().image(use_median=use_median).model_copy(update={"auto_scale": self.auto_scale})


class NetworkBody(RunningBody):
    """What requests have that run a network over an image."""

    batch_size: int = parameter(PredictionParams, "batch_size", le=LARGEST_BATCH)
    patch: Sizes | None = parameter(PredictionParams, "patch")
    crop_box: CropBox | None = Field(
        None, description="part to predict: origin X, Y, Z, then size X, Y, Z, voxels of the stored image"
    )

    @model_validator(mode="after")
    def _check_sizes(self) -> Self:
        self.prediction()
        return self

    def prediction(self, *, use_median: bool = False, is_pad: bool = False, use_2d: bool = False) -> PredictionParams:
        """Return how the network is run over the image."""
        return PredictionParams(
            n_keep_axials=self.keep_axials(),
            image=self.image(use_median=use_median),
            is_pad=is_pad,
            use_2d=use_2d and self.is_3d,
            batch_size=self.batch_size,
            patch=None if self.patch is None else self.sizes("patch", self.patch),
            crop_box=self._box(),
        )

    def _box(self) -> Box | None:
        if self.crop_box is None:
            return None
        size = self.sizes("crop_box", self.crop_box[3:])
        origin = sizes_zyx(self.crop_box[:3], self.is_3d)
        if min(origin) < 0:
            raise ValueError(
                f"crop_box: expected an origin of at least 0 on each axis, got {list(self.crop_box)} (origin X, Y, Z, "
                "then size X, Y, Z): choose a box inside the image"
            )
        return Box(origin, size)


class PredictionBody(NetworkBody):
    """What predictions have."""

    timepoint: Index = Field(description="timepoint, counted from 0")
    output_prediction: bool = parameter(DetectionParams, "output_prediction")

    def asked(self, cancel: CancelToken) -> Sequence[Spot]:
        """Return the spots that are asked about, as the core knows them."""
        del cancel
        return ()


class TrainingBody(RunningBody, TurnBody):
    """What trainings have."""

    crop_size: Sizes = parameter(DetectionTrainingParams, "crop_size")
    lr: Finite = parameter(LoopParams, "lr", le=LARGEST_RATE)
    batch_size: int = parameter(LoopParams, "batch_size", le=LARGEST_BATCH)
    n_crops: int = parameter(LoopParams, "n_crops", le=LARGEST_CROPS)
    n_epochs: int = parameter(LoopParams, "n_epochs", 10, le=LARGEST_EPOCHS)
    aug_scale_factor_base: Finite = parameter(AugmentationParams, "aug_scale_factor_base")
    aug_rotation_angle: Finite = parameter(AugmentationParams, "aug_rotation_angle")
    log_interval: int = parameter(LoopParams, "log_interval", le=LARGEST_INT)
    log_dir: str | None = Field(None, description="folder below workspace/logs for TensorBoard scalars")
    seed: int | None = parameter(LoopParams, "seed", le=LARGEST_LONG)
    replay: Finite = parameter(LoopParams, "replay")

    @model_validator(mode="after")
    def _check_sizes(self) -> Self:
        self.crop()
        self.image()
        return self

    def nothing_to_do(self) -> str:
        """Return what to say where there are no spots."""
        return "" if self.is_live else "nothing to train: expected spots, got none"

    @property
    def is_live(self) -> bool:
        """Whether it goes on until it is aborted, an epoch for each update of labels."""
        return False

    def crop(self) -> tuple[int, ...]:
        """Return the size of a crop, (Z), Y, X."""
        return self.sizes("crop_size", self.crop_size)

    def loop(self) -> LoopParams:
        """Return the training loop."""
        return LoopParams(
            lr=self.lr,
            batch_size=self.batch_size,
            n_crops=self.n_crops,
            n_epochs=self.n_epochs,
            log_interval=self.log_interval,
            seed=self.seed,
            replay=self.replay,
        )

    def augmentation(self, aug_contrast: float = 0.0) -> AugmentationParams:
        """Return how much a crop is changed at random."""
        return AugmentationParams(
            aug_scale_factor_base=self.aug_scale_factor_base,
            aug_rotation_angle=self.aug_rotation_angle,
            aug_contrast=aug_contrast,
        )
