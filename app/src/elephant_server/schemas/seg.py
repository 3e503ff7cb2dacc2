"""Bodies of ``seg/*``."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from elephant.config.detection import DetectionParams, PredictionParams, SpotParams
from elephant.config.image import ImageParams
from elephant.config.labels import LabelParams
from elephant.config.training import (
    AugmentationParams,
    DetectionTrainingParams,
    LoopParams,
    SelfSupervisedParams,
)
from elephant_server.jobs.payloads import SegPredict, SegReset, SegTrain, SegUpdate, SpotPayload
from elephant_server.schemas.base import Count, Index, Scales, Sizes, SpotBody, check_covariances, voxel_size
from elephant_server.schemas.movie import CropBox, ModelBody, MovieBody, NotNegative, Positive, Ratio, Share

# Crops of a model that is started from intensities by a request that does not say how large they are, X, Y, Z.
START_CROP = (96, 96, 16)
START_N_CROPS = 5


class SegBody(MovieBody):
    """What most requests about detection have."""

    def _start(self, n_keep_axials: int, image: ImageParams, crop: Sizes, n_crops: int) -> SelfSupervisedParams:
        return SelfSupervisedParams(
            crop_size=self._sizes(crop), n_crops=n_crops, n_keep_axials=n_keep_axials, image=image
        )


class SegModelBody(SegBody, ModelBody):
    """What requests that use a detection model have."""


class SegPredictBody(SegModelBody):
    """``seg/predict``: find the nuclei of a timepoint."""

    timepoint: Index = Field(description="timepoint, counted from 0")
    scales: Scales = Field(description="physical voxel size, X, Y, Z")
    c_ratio: Ratio = Field(0.4, description="semi-axes of a nucleus' centre over those of the nucleus")
    p_thresh: Share = Field(0.5, description="centre probability above which a voxel is a centre's")
    r_min: NotNegative = Field(0.0, description="smallest semi-axis, physical")
    r_max: Positive = Field(1e6, description="largest semi-axis, physical")
    debug: bool = Field(False, description="accepted for compatibility")
    output_prediction: bool = Field(False, description="keep the probabilities in the dataset")
    use_median: bool = Field(False, description="align the medians of the slices first")
    is_pad: bool = Field(False, description="surround tiles by replicated borders")
    use_2d: bool = Field(False, description="apply a 2D model slice by slice")
    batch_size: Count = Field(1, description="tiles that go through the network together")
    cache_maxbytes: Index | None = Field(None, description="bytes for keeping images in memory")
    use_memmap: bool = Field(False, description="accepted for compatibility")
    input_size: Sizes | None = Field(None, description="voxels, X, Y, Z, to which the image is rescaled")
    patch: Sizes | None = Field(None, description="largest tile, voxels, X, Y, Z")
    crop_box: CropBox | None = Field(
        None, description="part to predict: origin X, Y, Z, then size X, Y, Z, voxels of the stored image"
    )

    def to_payload(self) -> SegPredict:
        """Return what a worker is given."""
        image = self._image(self.input_size, self.use_median)
        prediction = PredictionParams(
            n_keep_axials=self._keep_axials(),
            image=image,
            is_pad=self.is_pad,
            use_2d=self.use_2d and self.is_3d,
            batch_size=self.batch_size,
            patch=None if self.patch is None else self._sizes(self.patch),
            crop_box=self._box(self.crop_box),
        )
        spots = SpotParams(
            voxel_size=voxel_size(self.scales, self.is_3d),
            c_ratio=self.c_ratio,
            p_thresh=self.p_thresh,
            r_min=self.r_min,
            r_max=self.r_max,
        )
        params = DetectionParams(prediction=prediction, spots=spots, output_prediction=self.output_prediction)
        start = self._start(self._keep_axials(), ImageParams(), START_CROP, START_N_CROPS)
        return SegPredict(
            dataset_name=self.dataset_name,
            model_name=self.model_name,
            is_3d=self.is_3d,
            timepoint=self.timepoint,
            params=params,
            start=start,
        )


class LabelsBody(SegBody):
    """What requests that write labels have."""

    spots: tuple[SpotBody, ...] = Field((), description="the annotated nuclei")
    c_ratio: Ratio = Field(0.4, description="semi-axes of a nucleus' centre over those of the nucleus")
    auto_bg_thresh: Share = Field(0.0, description="normalised intensity below which a voxel is background")
    is_livemode: bool = Field(False, description="whether a live session goes on")
    use_memmap: bool = Field(False, description="accepted for compatibility")

    @model_validator(mode="after")
    def _check_spots(self) -> Self:
        check_covariances(self.spots, self.is_3d)
        return self

    def _labels(self) -> LabelParams:
        return LabelParams(
            voxel_size=voxel_size(self.scales, self.is_3d), c_ratio=self.c_ratio, auto_bg_thresh=self.auto_bg_thresh
        )

    def _spots(self) -> tuple[SpotPayload, ...]:
        return tuple(spot.to_payload() for spot in self.spots)


class SegUpdateBody(LabelsBody):
    """``seg/update``: replace the labels of every timepoint that has spots, or clear all."""

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
            is_livemode=self.is_livemode,
        )


class SegTrainBody(LabelsBody, SegModelBody):
    """``seg/train``: write the labels of the spots, then train on their timepoints."""

    scales: Scales = Field(description="physical voxel size, X, Y, Z")
    crop_size: Sizes = Field(description="size of a crop, voxels, X, Y, Z")
    lr: NotNegative = Field(0.001, description="learning rate")
    batch_size: Count = Field(1, description="crops per step")
    n_crops: Count = Field(5, description="crops per labelled timepoint and epoch")
    n_epochs: Count = Field(10, description="epochs")
    aug_scale_factor_base: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.0, description="relative change of the field of view"
    )
    aug_rotation_angle: Annotated[float, Field(ge=0, le=180)] = Field(
        0.0, description="largest turn in the XY plane, degrees"
    )
    aug_contrast: Ratio = Field(1.0, description="smallest share of the contrast that is kept")
    timepoint: Index = Field(0, description="where the user looks; has no effect")
    class_weights: tuple[NotNegative, NotNegative, NotNegative] = Field(
        (1.0, 10.0, 10.0), description="weights of background, border, centre"
    )
    false_weight: NotNegative = Field(1.0, description="weight of a voxel labelled by a false annotation")
    cache_maxbytes: Index | None = Field(None, description="bytes for keeping images in memory")
    log_interval: Index = Field(0, description="steps between two lines in the log; 0: once an epoch")
    log_dir: str | None = Field(None, description="folder below workspace/logs for TensorBoard scalars")
    input_size: Sizes | None = Field(None, description="voxels, X, Y, Z, to which the image is rescaled")
    debug: bool = Field(False, description="accepted for compatibility")
    seed: Index | None = Field(None, description="start of the random numbers, for repeatable trainings")

    @model_validator(mode="after")
    def _check_something_is_asked(self) -> Self:
        if not self.spots and not self.is_livemode:
            raise ValueError("nothing to train: expected spots, but none came; annotate some nuclei first")
        return self

    def to_payload(self) -> SegTrain:
        """Return what a worker is given."""
        image = self._image(self.input_size, use_median=False)
        params = DetectionTrainingParams(
            labels=self._labels(),
            loop=LoopParams(
                lr=self.lr,
                batch_size=self.batch_size,
                n_crops=self.n_crops,
                n_epochs=self.n_epochs,
                log_interval=self.log_interval,
                seed=self.seed,
            ),
            augmentation=AugmentationParams(
                aug_scale_factor_base=self.aug_scale_factor_base,
                aug_rotation_angle=self.aug_rotation_angle,
                aug_contrast=self.aug_contrast,
            ),
            image=image,
            crop_size=self._sizes(self.crop_size),
            n_keep_axials=self._keep_axials(),
            class_weights=self.class_weights,
            false_weight=self.false_weight,
        )
        return SegTrain(
            dataset_name=self.dataset_name,
            model_name=self.model_name,
            is_3d=self.is_3d,
            spots=self._spots(),
            params=params,
            start=self._start(self._keep_axials(), image, self.crop_size, START_N_CROPS),
            cache_maxbytes=self.cache_maxbytes,
            is_livemode=self.is_livemode,
            log_dir=self.log_dir,
        )


class SegResetBody(SegModelBody):
    """``seg/reset``: start a model anew."""

    crop_size: Sizes = Field(START_CROP, description="size of a crop, voxels, X, Y, Z")
    n_crops: Count = Field(START_N_CROPS, description="crops per epoch")
    cache_maxbytes: Index | None = Field(None, description="bytes for keeping images in memory")
    url: str | None = Field(
        None, description='"Versatile" (pretrained), an address of a .pth, or null: from the dataset\'s intensities'
    )
    seed: Index | None = Field(None, description="start of the random numbers, for repeatable trainings")

    def to_payload(self, file: str | None) -> SegReset:
        """Return what a worker is given; `file` is a model that came with the request."""
        start = self._start(self._keep_axials(), ImageParams(), self.crop_size, self.n_crops)
        return SegReset(
            dataset_name=self.dataset_name,
            model_name=self.model_name,
            is_3d=self.is_3d,
            url=self.url,
            file=file,
            start=start.model_copy(update={"seed": self.seed}),
        )
