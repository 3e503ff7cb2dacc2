"""What bodies of all predictions, and of all trainings, have in common."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from elephant.config import LoopParams, PredictionParams
from elephant_server.schemas.movie import ScaledModelBody
from elephant_server.schemas.numbers import (
    BatchSize,
    Bytes,
    CropBox,
    Crops,
    Epochs,
    Finite,
    Index,
    LearningRate,
    Seed,
    Sizes,
)


class RunningBody(ScaledModelBody):
    """What predictions and trainings have."""

    batch_size: BatchSize = Field(1, description="tiles, or crops, that go through the network together")
    cache_maxbytes: Bytes | None = Field(None, description="bytes for keeping images in memory; 0: none are kept")
    use_memmap: bool = Field(False, description="accepted for compatibility")
    input_size: Sizes | None = Field(None, description="voxels, X, Y, Z, to which the image is rescaled")
    debug: bool = Field(False, description="accepted for compatibility")


class PredictionBody(RunningBody):
    """What predictions have."""

    timepoint: Index = Field(description="timepoint, counted from 0")
    output_prediction: bool = Field(False, description="keep what the network gives in the dataset")
    patch: Sizes | None = Field(None, description="largest tile, voxels, X, Y, Z")
    crop_box: CropBox | None = Field(
        None, description="part to predict: origin X, Y, Z, then size X, Y, Z, voxels of the stored image"
    )

    @model_validator(mode="after")
    def _check_sizes(self) -> Self:
        self._prediction()
        return self

    def _prediction(self, *, use_median: bool = False, is_pad: bool = False, use_2d: bool = False) -> PredictionParams:
        """Return how the network is run over the image."""
        return PredictionParams(
            n_keep_axials=self.keep_axials(),
            image=self._image(self.input_size, use_median),
            is_pad=is_pad,
            use_2d=use_2d and self.is_3d,
            batch_size=self.batch_size,
            patch=None if self.patch is None else self.sizes("patch", self.patch),
            crop_box=self._box(self.crop_box),
        )


class TrainingBody(RunningBody):
    """What trainings have."""

    crop_size: Sizes = Field(description="size of a crop, voxels, X, Y, Z")
    lr: LearningRate = Field(0.001, description="learning rate")
    n_crops: Crops = Field(5, description="crops per labelled timepoint and epoch")
    n_epochs: Epochs = Field(10, description="epochs; 0: only write the labels, and start a model that is not there")
    aug_scale_factor_base: Annotated[Finite, Field(ge=0, lt=1)] = Field(
        0.0, description="relative change of the field of view"
    )
    aug_rotation_angle: Annotated[Finite, Field(ge=0, le=180)] = Field(
        0.0, description="largest turn in the XY plane, degrees"
    )
    log_interval: Index = Field(0, description="steps between two lines in the log; 0: once an epoch")
    log_dir: str | None = Field(None, description="folder below workspace/logs for TensorBoard scalars")
    seed: Seed | None = Field(None, description="start of the random numbers, for repeatable trainings")

    @model_validator(mode="after")
    def _check_sizes(self) -> Self:
        self.sizes("crop_size", self.crop_size)
        self._image(self.input_size, use_median=False)
        return self

    def _loop(self) -> LoopParams:
        return LoopParams(
            lr=self.lr,
            batch_size=self.batch_size,
            n_crops=self.n_crops,
            n_epochs=self.n_epochs,
            log_interval=self.log_interval,
            seed=self.seed,
        )
