"""Bodies of ``seg/*``."""

from collections.abc import Sequence
from typing import Any, Self

from pydantic import Field, JsonValue, model_validator

from elephant.config import (
    AugmentationParams,
    DetectionParams,
    DetectionTrainingParams,
    ImageParams,
    LabelParams,
    PredictionParams,
    SpotParams,
    StartParams,
    TimeRange,
)
from elephant.progress import CancelToken
from elephant.types import DetectedSpot, Spot, VoxelSize
from elephant_server.schemas.answers import found_spots
from elephant_server.schemas.common import (
    ModelBody,
    NetworkBody,
    PredictionBody,
    ScaledBody,
    SpotsBody,
    TrainingBody,
    TurnBody,
    UpdateBody,
)
from elephant_server.schemas.fields import (
    FARTHEST,
    LARGEST_CROPS,
    LARGEST_LONG,
    LEAST_LENGTH,
    LEAST_RATIO,
    Finite,
    Index,
    ModelUrl,
    Sizes,
    SpotBody,
    SpotList,
    Weight,
    parameter,
    turned,
)

# Crops of a model that is started from intensities by a request that does not say how large they are, X, Y, Z.
START_CROP = (96, 96, 16)


class DetectingBody(ScaledBody, NetworkBody):
    """What requests have that find nuclei."""

    c_ratio: Finite = parameter(SpotParams, "c_ratio", ge=LEAST_RATIO)
    p_thresh: Finite = parameter(SpotParams, "p_thresh")
    r_min: Finite = parameter(SpotParams, "r_min", le=FARTHEST)
    r_max: Finite = parameter(SpotParams, "r_max", ge=LEAST_LENGTH, le=FARTHEST)
    use_median: bool = parameter(ImageParams, "use_median")
    is_pad: bool = parameter(PredictionParams, "is_pad")
    use_2d: bool = parameter(PredictionParams, "use_2d")

    def detection(self, *, output_prediction: bool = False, raw_quality: bool = False) -> DetectionParams:
        """Return how the nuclei are found."""
        return DetectionParams(
            prediction=self.prediction(use_median=self.use_median, is_pad=self.is_pad, use_2d=self.use_2d),
            spots=SpotParams(
                voxel_size=self.voxel_size,
                c_ratio=self.c_ratio,
                p_thresh=self.p_thresh,
                r_min=self.r_min,
                r_max=self.r_max,
            ),
            output_prediction=output_prediction,
            raw_quality=raw_quality,
        )

    def facts(self) -> dict[str, Any]:
        """Return the voxel size, and how spots are asked for."""
        return super().facts() | self.model_dump(include={"p_thresh", "c_ratio", "r_min", "r_max"})


class FindingBody(DetectingBody):
    """What requests have that answer with nuclei, found by a model or by a method of another package."""

    raw_quality: bool = parameter(DetectionParams, "raw_quality")
    method: str | None = Field(
        None,
        min_length=1,
        max_length=200,
        description="name of a method that another package adds, which finds the nuclei in place of the model; of the "
        "other parameters only `scales`, `crop_box` and `use_median` count then",
    )
    method_params: dict[str, JsonValue] | None = Field(
        None, description="parameters of `method` by name; those that are left out have their defaults"
    )

    @model_validator(mode="after")
    def _check_method(self) -> Self:
        if self.method_params is not None and self.method is None:
            raise ValueError("method_params: expected `method`, whose parameters they are, got none: name the method")
        return self


class SegPredictBody(FindingBody, PredictionBody):
    """``seg/predict``: find the nuclei of a timepoint."""

    def params(self) -> DetectionParams:
        """Return how the nuclei are found."""
        return self.detection(output_prediction=self.output_prediction, raw_quality=self.raw_quality)

    def answer(self, found: Sequence[DetectedSpot]) -> dict[str, Any]:
        """Return the nuclei that were found as they are answered."""
        return found_spots(self.timepoint, found)

    def no_answer(self) -> dict[str, Any]:
        """Return what is answered where the work was aborted."""
        return {"spots": []}


class MoviePredictBody(FindingBody):
    """``movie/predict``: find the nuclei of many timepoints; asked again, it goes on where it was."""

    t_start: Index = parameter(TimeRange, "t_start")
    t_end: Index | None = Field(None, description="last timepoint, inclusive; by default the last of the movie")
    output_prediction: bool = parameter(DetectionParams, "output_prediction")
    in_background: bool = Field(
        False, description="go on when the client goes away; what was found by then is answered when it asks again"
    )

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        if self.t_end is not None:
            TimeRange(t_start=self.t_start, t_end=self.t_end)
        return self

    def at(self, timepoint: int) -> SegPredictBody:
        """Return the request for one of its timepoints."""
        same = {name: getattr(self, name) for name in SegPredictBody.model_fields if name != "timepoint"}
        return SegPredictBody(**same, timepoint=timepoint)


class LabelsBody(SpotsBody):
    """What requests that write labels have."""

    spots: SpotList[SpotBody] = Field((), description="the annotated nuclei")
    c_ratio: Finite = parameter(LabelParams, "c_ratio", ge=LEAST_RATIO)
    auto_bg_thresh: Finite = parameter(LabelParams, "auto_bg_thresh")
    use_memmap: bool = Field(False, description="accepted for compatibility")
    _remedy = "annotate some nuclei first"

    def labels(self) -> LabelParams:
        """Return how the spots become labels."""
        return LabelParams(voxel_size=self.voxel_size, c_ratio=self.c_ratio, auto_bg_thresh=self.auto_bg_thresh)

    def annotations(self, cancel: CancelToken) -> list[Spot]:
        """Return the spots as the core knows them."""
        return [
            Spot(spot.t, centre, covariance, spot.tag, spot.id)
            for spot, centre, covariance in turned(self.spots, self.is_3d, cancel)
        ]


class SegUpdateBody(LabelsBody, UpdateBody):
    """``seg/update``: replace the labels of every timepoint that has spots, or clear all."""

    is_livemode: bool | None = Field(
        None, description="whether a live session on the dataset trains on it; by default where there is one"
    )

    @property
    def is_for_live_session(self) -> bool:
        """Whether a live session on the dataset, where there is one, trains on it."""
        return not self.reset and self.is_livemode is not False

    def about(self) -> dict[str, Any]:
        """Return what the job is about."""
        return super().about() | {"is_livemode": self.is_for_live_session}


class SegTrainBody(ScaledBody, TrainingBody, LabelsBody):
    """``seg/train``: write the labels of the spots, then train on their timepoints."""

    is_livemode: bool = Field(
        False, description="go on until aborted, an epoch for each update of labels; `n_epochs` is ignored"
    )
    aug_contrast: Finite = parameter(AugmentationParams, "aug_contrast")
    timepoint: Index = Field(0, description="where the user looks; has no effect")
    class_weights: tuple[Weight, Weight, Weight] = parameter(DetectionTrainingParams, "class_weights")
    false_weight: Weight = parameter(DetectionTrainingParams, "false_weight")
    keep_known: Weight | None = parameter(DetectionTrainingParams, "keep_known")
    held_out: Finite = parameter(DetectionTrainingParams, "held_out")

    @model_validator(mode="after")
    def _check_weights(self) -> Self:
        if not any(self.class_weights):
            raise ValueError(f"class_weights: expected one above 0, got {list(self.class_weights)}")
        return self

    @property
    def is_live(self) -> bool:
        """Whether it is a live session."""
        return self.is_livemode

    def params(self) -> DetectionTrainingParams:
        """Return the training."""
        return DetectionTrainingParams(
            labels=self.labels(),
            loop=self.loop(),
            augmentation=self.augmentation(self.aug_contrast),
            image=self.image(),
            crop_size=self.crop(),
            n_keep_axials=self.keep_axials(),
            class_weights=self.class_weights,
            false_weight=self.false_weight,
            keep_known=self.keep_known,
            held_out=self.held_out,
        )

    def about(self) -> dict[str, Any]:
        """Return what the job is about: where the user looks is not."""
        return {name: value for name, value in super().about().items() if name != "timepoint"}


class SegResetBody(ModelBody, TurnBody):
    """``seg/reset``: start a model anew."""

    crop_size: Sizes = parameter(StartParams, "crop_size", START_CROP)
    n_crops: int = parameter(StartParams, "n_crops", le=LARGEST_CROPS)
    url: ModelUrl | None = Field(
        None, description='"Versatile" (pretrained), an address of a .pth, or null: from the dataset\'s intensities'
    )
    seed: int | None = parameter(StartParams, "seed", le=LARGEST_LONG)
    auto_scale: bool = parameter(ImageParams, "auto_scale")

    @model_validator(mode="after")
    def _check_crops(self) -> Self:
        self.sizes("crop_size", self.crop_size)
        return self

    @property
    def stated_voxel_size(self) -> VoxelSize | None:
        """None: it decides the poolings alone."""
        return None

    def start(self) -> StartParams:
        """Return how the model is started."""
        return StartParams(
            n_dims=3 if self.is_3d else 2,
            n_keep_axials=self.keep_axials(),
            crop_size=self.sizes("crop_size", self.crop_size),
            n_crops=self.n_crops,
            image=ImageParams(auto_scale=self.auto_scale),
            voxel_size=self.voxel_size,
            seed=self.seed,
        )
