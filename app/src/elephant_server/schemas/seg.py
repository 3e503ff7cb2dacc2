"""Bodies of ``seg/*``."""

from typing import Self

from pydantic import Field, model_validator

from elephant.config import (
    AugmentationParams,
    DetectionParams,
    DetectionTrainingParams,
    ImageParams,
    LabelParams,
    SelfSupervisedParams,
    SpotParams,
)
from elephant_server.jobs.payloads import SegPredict, SegReset, SegTrain, SegUpdate, SpotPayload
from elephant_server.schemas.base import ModelUrl, voxel_size
from elephant_server.schemas.movie import ModelBody, MovieBody
from elephant_server.schemas.numbers import (
    Bytes,
    Index,
    NotNegative,
    Positive,
    Ratio,
    Seed,
    Share,
    Sizes,
    StartCrops,
    Weight,
)
from elephant_server.schemas.running import PredictionBody, TrainingBody
from elephant_server.schemas.spots import SpotBody, SpotList, check_spots

# Crops of a model that is started from intensities by a request that does not say how large they are, X, Y, Z.
START_CROP = (96, 96, 16)
START_N_CROPS = 5

_C_RATIO = "semi-axes of a nucleus' centre over those of the nucleus"


class SegPredictBody(PredictionBody):
    """``seg/predict``: find the nuclei of a timepoint."""

    c_ratio: Ratio = Field(0.4, description=_C_RATIO)
    p_thresh: Share = Field(0.5, description="centre probability above which a voxel is a centre's")
    r_min: NotNegative = Field(0.0, description="smallest semi-axis, physical")
    r_max: Positive = Field(1e6, description="largest semi-axis, physical")
    use_median: bool = Field(False, description="align the medians of the slices first")
    is_pad: bool = Field(False, description="surround tiles by replicated borders")
    use_2d: bool = Field(False, description="apply a 2D model slice by slice")

    def to_payload(self) -> SegPredict:
        """Return what a worker is given."""
        prediction = self._prediction(use_median=self.use_median, is_pad=self.is_pad, use_2d=self.use_2d)
        spots = SpotParams(
            voxel_size=voxel_size(self.scales, self.is_3d),
            c_ratio=self.c_ratio,
            p_thresh=self.p_thresh,
            r_min=self.r_min,
            r_max=self.r_max,
        )
        return SegPredict(
            dataset_name=self.dataset_name,
            model_name=self.model_name,
            is_3d=self.is_3d,
            timepoint=self.timepoint,
            params=DetectionParams(prediction=prediction, spots=spots, output_prediction=self.output_prediction),
            start=_start(self, START_CROP),
        )


class LabelsBody(MovieBody):
    """What requests that write labels have."""

    spots: SpotList[SpotBody] = Field((), description="the annotated nuclei")
    c_ratio: Ratio = Field(0.4, description=_C_RATIO)
    auto_bg_thresh: Share = Field(0.0, description="normalised intensity below which a voxel is background")
    use_memmap: bool = Field(False, description="accepted for compatibility")

    @model_validator(mode="after")
    def _check_spots(self) -> Self:
        check_spots(self.spots, self.is_3d)
        return self

    def _labels(self) -> LabelParams:
        return LabelParams(
            voxel_size=voxel_size(self.scales, self.is_3d), c_ratio=self.c_ratio, auto_bg_thresh=self.auto_bg_thresh
        )

    def _spots(self) -> tuple[SpotPayload, ...]:
        return tuple(spot.to_payload(self.is_3d) for spot in self.spots)


class SegUpdateBody(LabelsBody):
    """``seg/update``: replace the labels of every timepoint that has spots, or clear all."""

    is_livemode: bool | None = Field(
        None, description="whether a live session on the dataset trains on it; by default where there is one"
    )
    reset: bool = Field(False, description="clear the labels of all timepoints instead")

    @model_validator(mode="after")
    def _check_something_is_asked(self) -> Self:
        if not self.reset and not self.spots:
            raise ValueError("nothing to update: expected spots, or reset, but none came; annotate some nuclei first")
        return self

    def to_payload(self) -> SegUpdate:
        """Return what a worker is given."""
        if self.reset:
            return SegUpdate(dataset_name=self.dataset_name)
        return SegUpdate(
            dataset_name=self.dataset_name,
            spots=self._spots(),
            params=self._labels(),
            is_3d=self.is_3d,
            is_livemode=self.is_livemode is not False,
        )


class SegTrainBody(TrainingBody, LabelsBody):
    """``seg/train``: write the labels of the spots, then train on their timepoints."""

    is_livemode: bool = Field(
        False, description="go on until aborted, an epoch for each update of labels; `n_epochs` is ignored"
    )
    aug_contrast: Share = Field(0.0, description="smallest share of the contrast that is kept; 0: no change")
    timepoint: Index = Field(0, description="where the user looks; has no effect")
    class_weights: tuple[Weight, Weight, Weight] = Field(
        (1.0, 10.0, 10.0), description="weights of background, border, centre"
    )
    false_weight: Weight = Field(10.0, description="weight of a voxel labelled by a false annotation")

    @model_validator(mode="after")
    def _check_something_is_asked(self) -> Self:
        if not self.spots and not self.is_livemode:
            raise ValueError("nothing to train: expected spots, but none came; annotate some nuclei first")
        if not any(self.class_weights):
            raise ValueError(f"class_weights: expected one above 0, but {list(self.class_weights)} came")
        return self

    def to_payload(self) -> SegTrain:
        """Return what a worker is given."""
        image = self._image(self.input_size, use_median=False)
        params = DetectionTrainingParams(
            labels=self._labels(),
            loop=self._loop(),
            augmentation=AugmentationParams(
                aug_scale_factor_base=self.aug_scale_factor_base,
                aug_rotation_angle=self.aug_rotation_angle,
                aug_contrast=self.aug_contrast,
            ),
            image=image,
            crop_size=self.sizes("crop_size", self.crop_size),
            n_keep_axials=self.keep_axials(),
            class_weights=self.class_weights,
            false_weight=self.false_weight,
        )
        return SegTrain(
            dataset_name=self.dataset_name,
            model_name=self.model_name,
            is_3d=self.is_3d,
            spots=self._spots(),
            params=params,
            start=_start(self, self.crop_size, image=image),
            cache_maxbytes=self.cache_maxbytes,
            is_livemode=self.is_livemode,
            log_dir=self.log_dir,
        )


class SegResetBody(ModelBody):
    """``seg/reset``: start a model anew."""

    crop_size: Sizes = Field(START_CROP, description="size of a crop, voxels, X, Y, Z")
    n_crops: StartCrops = Field(
        START_N_CROPS, description="crops per epoch of a start from intensities; 0: the weights stay random"
    )
    cache_maxbytes: Bytes | None = Field(None, description="bytes for keeping images in memory; 0: none are kept")
    url: ModelUrl | None = Field(
        None, description='"Versatile" (pretrained), an address of a .pth, or null: from the dataset\'s intensities'
    )
    seed: Seed | None = Field(None, description="start of the random numbers, for repeatable trainings")

    @model_validator(mode="after")
    def _check_crops(self) -> Self:
        self.sizes("crop_size", self.crop_size)
        return self

    def to_payload(self, file: str | None) -> SegReset:
        """Return what a worker is given; `file` is a model that came with the request."""
        start = _start(self, self.crop_size, self.n_crops)
        return SegReset(
            dataset_name=self.dataset_name,
            model_name=self.model_name,
            is_3d=self.is_3d,
            url=self.url,
            file=file,
            start=start.model_copy(update={"seed": self.seed}),
            cache_maxbytes=self.cache_maxbytes,
        )


def _start(
    body: ModelBody, crop: Sizes, n_crops: int = START_N_CROPS, image: ImageParams | None = None
) -> SelfSupervisedParams:
    """Return how a model is started that is not there yet."""
    return SelfSupervisedParams(
        crop_size=body.sizes("crop_size", crop),
        n_crops=n_crops,
        n_keep_axials=body.keep_axials(),
        image=image or ImageParams(),
    )
