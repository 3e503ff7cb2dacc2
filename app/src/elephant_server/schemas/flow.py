"""Bodies of ``flow/*``."""

from typing import Self

from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass

from elephant.config import (
    AugmentationParams,
    DisplacementParams,
    FlowParams,
    FlowStart,
    FlowTrainingParams,
    KeepAxials,
)
from elephant.types import Tag
from elephant_server.jobs.flow_payloads import FlowPredict, FlowReset, FlowTrain, FlowUpdate, LinkPayload
from elephant_server.jobs.payloads import SpotPayload
from elephant_server.schemas.base import Body, ModelUrl, Name, voxel_size, zyx
from elephant_server.schemas.movie import MovieBody
from elephant_server.schemas.numbers import Index, Positive, Seed, Vector, Whole
from elephant_server.schemas.running import PredictionBody, TrainingBody
from elephant_server.schemas.spots import SPOT_CONFIG, EllipsoidBody, SpotList, check_spots

MAX_DISPLACEMENT = 80.0
LARGEST_WEIGHT = 1e6
_DISPLACEMENT = "the most that X and Y can change, voxels"


@dataclass(frozen=True, slots=True, config=SPOT_CONFIG)
class LinkBody(EllipsoidBody):
    """A nucleus at `t` + 1 and where it came from."""

    t: Index = Field(description="the earlier timepoint, counted from 0")
    displacement: Vector = Field(description="the earlier position minus `pos`, physical, X, Y, Z")

    @property
    def lengths(self) -> Vector:
        """What else must lie within the movie, X, Y, Z, physical."""
        return self.displacement

    def to_payload(self, is_3d: bool) -> LinkPayload:
        """Return it in the order Z, Y, X."""
        covariance, displacement = self.covariance_zyx(is_3d), zyx(self.displacement)
        return LinkPayload(t=self.t, pos=zyx(self.pos), covariance=covariance, displacement=displacement)


@dataclass(frozen=True, slots=True, config=SPOT_CONFIG)
class LaterSpotBody(EllipsoidBody):
    """A nucleus that is asked where it was."""

    id: Whole = Field(description="the client's name of the spot")

    def to_payload(self, t: int, is_3d: bool) -> SpotPayload:
        """Return it in the order Z, Y, X."""
        covariance = self.covariance_zyx(is_3d)
        return SpotPayload(t=t, pos=zyx(self.pos), covariance=covariance, tag=Tag.UNLABELED, id=self.id)


class FlowPredictBody(PredictionBody):
    """``flow/predict``: find where spots were at the timepoint before; those outside of `crop_box` where they are."""

    spots: SpotList[LaterSpotBody] = Field((), description="the nuclei at the timepoint")
    max_displacement: Positive = Field(MAX_DISPLACEMENT, description=_DISPLACEMENT)

    @model_validator(mode="after")
    def _check_spots(self) -> Self:
        check_spots(self.spots, self.is_3d)
        return self

    def to_payload(self) -> FlowPredict:
        """Return what a worker is given."""
        params = FlowParams(
            displacement=_displacement(self, self.max_displacement, self.keep_axials()),
            prediction=self._prediction(),
            output_prediction=self.output_prediction,
        )
        return FlowPredict(
            dataset_name=self.dataset_name,
            model_name=self.model_name,
            timepoint=self.timepoint,
            spots=tuple(spot.to_payload(self.timepoint, self.is_3d) for spot in self.spots),
            params=params,
            start=_start(self.is_3d, self.keep_axials()),
        )


class LinksBody(MovieBody):
    """What requests that write flow labels have."""

    spots: SpotList[LinkBody] = Field((), description="the links")
    max_displacement: Positive = Field(MAX_DISPLACEMENT, description=_DISPLACEMENT)
    use_memmap: bool = Field(False, description="accepted for compatibility")

    @model_validator(mode="after")
    def _check_spots(self) -> Self:
        check_spots(self.spots, self.is_3d)
        return self

    def _links(self) -> tuple[LinkPayload, ...]:
        return tuple(spot.to_payload(self.is_3d) for spot in self.spots)


class FlowUpdateBody(LinksBody):
    """``flow/update``: replace the flow labels of every timepoint at which links begin, or clear all."""

    n_keep_axials: KeepAxials | None = Field(
        None, description="Z is given over max_displacement / 2^n_keep_axials; by default from `scales`"
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
        return FlowUpdate(dataset_name=self.dataset_name, links=self._links(), params=params, is_3d=self.is_3d)


class FlowTrainBody(TrainingBody, LinksBody):
    """``flow/train``: write the flow labels of the links, then train on their timepoints."""

    dim_weights: Vector = Field((1.0, 1.0, 1.0), description="what the errors along X, Y, Z weigh; all 0: equally")

    @model_validator(mode="after")
    def _check_something_is_asked(self) -> Self:
        if not self.spots:
            raise ValueError("nothing to train: expected spots, but none came; link some nuclei first")
        counted = self.dim_weights[: 3 if self.is_3d else 2]
        if not 0 <= min(counted) <= max(counted) <= LARGEST_WEIGHT:
            raise ValueError(
                f"dim_weights: expected 0 to {LARGEST_WEIGHT:g} along the axes that count, but "
                f"{list(self.dim_weights)} came (X, Y, Z)"
            )
        return self

    def to_payload(self) -> FlowTrain:
        """Return what a worker is given."""
        params = FlowTrainingParams(
            displacement=_displacement(self, self.max_displacement, self.keep_axials()),
            loop=self._loop(),
            augmentation=AugmentationParams(
                aug_scale_factor_base=self.aug_scale_factor_base, aug_rotation_angle=self.aug_rotation_angle
            ),
            image=self._image(self.input_size, use_median=False),
            crop_size=self.sizes("crop_size", self.crop_size),
            dim_weights=self.dim_weights if self.is_3d else (*self.dim_weights[:2], 0.0),
        )
        return FlowTrain(
            dataset_name=self.dataset_name,
            model_name=self.model_name,
            links=self._links(),
            params=params,
            start=_start(self.is_3d, self.keep_axials(), self.seed),
            cache_maxbytes=self.cache_maxbytes,
            log_dir=self.log_dir,
        )


class FlowResetBody(Body):
    """``flow/reset``: start a flow model anew."""

    model_name: Name = Field(description="model, below workspace/models")
    n_keep_axials: KeepAxials = Field(0, description="how many of the four poolings leave Z alone (taken as 0 to 4)")
    is_3d: bool = Field(True, description="whether it is for movies of volumes")
    url: ModelUrl | None = Field(
        None, description='"Versatile" (pretrained), an address of a .pth, or null: random weights'
    )
    seed: Seed | None = Field(None, description="start of the random numbers, for repeatable trainings")

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
