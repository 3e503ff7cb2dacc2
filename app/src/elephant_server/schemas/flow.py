"""Bodies of ``flow/*``."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from elephant.config.detection import PredictionParams
from elephant.config.flow import DisplacementParams, FlowParams, FlowStart, FlowTrainingParams
from elephant.config.training import AugmentationParams, LoopParams
from elephant.types import Tag
from elephant_server.jobs.flow_payloads import FlowPredict, FlowReset, FlowTrain, FlowUpdate, LinkPayload
from elephant_server.jobs.payloads import SpotPayload
from elephant_server.schemas.base import (
    Body,
    Count,
    EllipsoidBody,
    Index,
    KeepAxials,
    Name,
    Scales,
    Sizes,
    Vector,
    check_covariances,
    voxel_size,
    zyx,
)
from elephant_server.schemas.movie import CropBox, ModelBody, MovieBody, NotNegative, Positive

MAX_DISPLACEMENT = 80.0
_DISPLACEMENT = "the most that X and Y can change, voxels"


class LinkBody(EllipsoidBody):
    """A nucleus at `t` + 1 and where it came from."""

    t: Index = Field(description="the earlier timepoint, counted from 0")
    displacement: Vector = Field(description="the earlier position minus `pos`, physical, X, Y, Z")

    def to_payload(self) -> LinkPayload:
        """Return it in the order Z, Y, X."""
        return LinkPayload(
            t=self.t, pos=zyx(self.pos), covariance=self.covariance[::-1], displacement=zyx(self.displacement)
        )


class LaterSpotBody(EllipsoidBody):
    """A nucleus that is asked where it was."""

    id: int = Field(description="the client's name of the spot")

    def to_payload(self, t: int) -> SpotPayload:
        """Return it in the order Z, Y, X."""
        return SpotPayload(t=t, pos=zyx(self.pos), covariance=self.covariance[::-1], tag=Tag.UNLABELED, id=self.id)


class FlowPredictBody(ModelBody):
    """``flow/predict``: find where spots were at the timepoint before."""

    timepoint: Index = Field(description="timepoint of the spots, counted from 0")
    scales: Scales = Field(description="physical voxel size, X, Y, Z")
    spots: tuple[LaterSpotBody, ...] = Field((), description="the nuclei at the timepoint")
    max_displacement: Positive = Field(MAX_DISPLACEMENT, description=_DISPLACEMENT)
    output_prediction: bool = Field(False, description="keep the flow in the dataset")
    batch_size: Count = Field(1, description="tiles that go through the network together")
    cache_maxbytes: Index | None = Field(None, description="bytes for keeping images in memory")
    use_memmap: bool = Field(False, description="accepted for compatibility")
    input_size: Sizes | None = Field(None, description="voxels, X, Y, Z, to which the image is rescaled")
    patch: Sizes | None = Field(None, description="largest tile, voxels, X, Y, Z")
    crop_box: CropBox | None = Field(
        None, description="part to predict: origin X, Y, Z, then size X, Y, Z, voxels; other spots where they are"
    )
    debug: bool = Field(False, description="accepted for compatibility")

    @model_validator(mode="after")
    def _check_spots(self) -> Self:
        check_covariances(self.spots, self.is_3d)
        return self

    def to_payload(self) -> FlowPredict:
        """Return what a worker is given."""
        prediction = PredictionParams(
            n_keep_axials=self._keep_axials(),
            image=self._image(self.input_size, use_median=False),
            batch_size=self.batch_size,
            patch=None if self.patch is None else self._sizes(self.patch),
            crop_box=self._box(self.crop_box),
        )
        params = FlowParams(
            displacement=_displacement(self, self.max_displacement, self._keep_axials()),
            prediction=prediction,
            output_prediction=self.output_prediction,
        )
        return FlowPredict(
            dataset_name=self.dataset_name,
            model_name=self.model_name,
            timepoint=self.timepoint,
            spots=tuple(spot.to_payload(self.timepoint) for spot in self.spots),
            params=params,
            start=_start(self.is_3d, self._keep_axials()),
        )


class LinksBody(MovieBody):
    """What requests that write flow labels have."""

    spots: tuple[LinkBody, ...] = Field((), description="the links")
    max_displacement: Positive = Field(MAX_DISPLACEMENT, description=_DISPLACEMENT)
    use_memmap: bool = Field(False, description="accepted for compatibility")

    @model_validator(mode="after")
    def _check_spots(self) -> Self:
        check_covariances(self.spots, self.is_3d)
        return self

    def _links(self) -> tuple[LinkPayload, ...]:
        return tuple(spot.to_payload() for spot in self.spots)


class FlowUpdateBody(LinksBody):
    """``flow/update``: replace the flow labels of every timepoint at which links begin, or clear all."""

    n_keep_axials: KeepAxials | None = Field(
        None, description="how many of the four poolings leave Z alone, clamped to 0 to 4; by default from `scales`"
    )
    reset: bool = Field(False, description="clear the flow labels of all timepoints instead")

    @model_validator(mode="after")
    def _check_something_is_asked(self) -> Self:
        if not self.reset and not self.spots:
            raise ValueError("nothing to update: expected spots, or reset, but none came; link some nuclei first")
        return self

    def to_payload(self) -> FlowUpdate:
        """Return what a worker is given."""
        if self.reset:
            return FlowUpdate(dataset_name=self.dataset_name)
        keep = self._derived_keep_axials() if self.n_keep_axials is None else self.n_keep_axials
        params = _displacement(self, self.max_displacement, keep)
        return FlowUpdate(dataset_name=self.dataset_name, links=self._links(), params=params)


class FlowTrainBody(LinksBody, ModelBody):
    """``flow/train``: write the flow labels of the links, then train on their timepoints."""

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
    dim_weights: Vector = Field((1.0, 1.0, 1.0), description="what the errors along X, Y, Z weigh")
    cache_maxbytes: Index | None = Field(None, description="bytes for keeping images in memory")
    log_interval: Index = Field(0, description="steps between two lines in the log; 0: once an epoch")
    log_dir: str | None = Field(None, description="folder below workspace/logs for TensorBoard scalars")
    input_size: Sizes | None = Field(None, description="voxels, X, Y, Z, to which the image is rescaled")
    debug: bool = Field(False, description="accepted for compatibility")
    seed: Index | None = Field(None, description="start of the random numbers, for repeatable trainings")

    @model_validator(mode="after")
    def _check_something_is_asked(self) -> Self:
        if not self.spots:
            raise ValueError("nothing to train: expected spots, but none came; link some nuclei first")
        counted = self.dim_weights[: 3 if self.is_3d else 2]
        if min(counted) < 0 or not any(counted):
            raise ValueError(
                f"dim_weights: expected at least 0 along the axes that count, and one above 0, not {self.dim_weights}"
            )
        return self

    def to_payload(self) -> FlowTrain:
        """Return what a worker is given."""
        params = FlowTrainingParams(
            displacement=_displacement(self, self.max_displacement, self._keep_axials()),
            loop=LoopParams(
                lr=self.lr,
                batch_size=self.batch_size,
                n_crops=self.n_crops,
                n_epochs=self.n_epochs,
                log_interval=self.log_interval,
                seed=self.seed,
            ),
            augmentation=AugmentationParams(
                aug_scale_factor_base=self.aug_scale_factor_base, aug_rotation_angle=self.aug_rotation_angle
            ),
            image=self._image(self.input_size, use_median=False),
            crop_size=self._sizes(self.crop_size),
            dim_weights=self.dim_weights if self.is_3d else (*self.dim_weights[:2], 0.0),
        )
        return FlowTrain(
            dataset_name=self.dataset_name,
            model_name=self.model_name,
            links=self._links(),
            params=params,
            start=_start(self.is_3d, self._keep_axials(), self.seed),
            cache_maxbytes=self.cache_maxbytes,
            log_dir=self.log_dir,
        )


class FlowResetBody(Body):
    """``flow/reset``: start a flow model anew."""

    model_name: Name = Field(description="model, below workspace/models")
    n_keep_axials: KeepAxials = Field(0, description="how many of the four poolings leave Z alone, clamped to 0 to 4")
    is_3d: bool = Field(True, description="whether it is for movies of volumes")
    url: str | None = Field(None, description='"Versatile" (pretrained), an address of a .pth, or null: random weights')
    seed: Index | None = Field(None, description="start of the random numbers, for repeatable trainings")

    def to_payload(self, file: str | None) -> FlowReset:
        """Return what a worker is given; `file` is a model that came with the request."""
        start = _start(self.is_3d, self.n_keep_axials, self.seed)
        return FlowReset(model_name=self.model_name, url=self.url, file=file, start=start)


def _displacement(body: MovieBody, largest: float, keep_axials: int) -> DisplacementParams:
    return DisplacementParams(
        voxel_size=voxel_size(body.scales, body.is_3d), max_displacement=largest, n_keep_axials=keep_axials
    )


def _start(is_3d: bool, keep_axials: int, seed: int | None = None) -> FlowStart:
    return FlowStart(n_dims=3 if is_3d else 2, n_keep_axials=keep_axials, seed=seed)
