"""Parameters of linking over time: labels, training and prediction of the flow."""

from typing import Self

from pydantic import Field, model_validator

from elephant.config.anisotropy import KeepAxials, KeptPoolings, kept_poolings
from elephant.config.base import Params, Voxel
from elephant.config.detection import PredictionParams
from elephant.config.image import ImageParams, Size
from elephant.config.training import AugmentationParams, LoopParams, Weight


class DisplacementParams(Params):
    """What the displacements of a flow, and of its labels, are measured in."""

    voxel_size: Voxel = Field(description="physical voxel size, Z, Y, X")
    max_displacement: float = Field(gt=0, description="the most that X and Y can change, voxels")
    n_keep_axials: KeepAxials = Field(
        0, description="the most that Z can change is max_displacement / 2^n_keep_axials, also beyond the four poolings"
    )

    def norm(self, n_dims: int) -> tuple[float, ...]:
        """Return the voxels of the stored image that a displacement of 1 stands for, X, Y(, Z).

        That is D, D, D / 2^n_keep_axials with D = `max_displacement`, whatever size the image is rescaled to.
        """
        largest = self.max_displacement
        return (largest, largest, largest / 2**self.n_keep_axials)[:n_dims]


class FlowTrainingParams(Params):
    """A training of the flow network; displacements are in voxels of the stored image."""

    displacement: DisplacementParams
    loop: LoopParams = LoopParams()
    augmentation: AugmentationParams = AugmentationParams()
    image: ImageParams = ImageParams()
    crop_size: Size = Field(description="voxels, (Z), Y, X; cut to the image where it is smaller")
    dim_weights: tuple[Weight, Weight, Weight] = Field(
        (1.0, 1.0, 1.0), description="what the errors along X, Y and Z weigh; all 0: equally"
    )


class FlowParams(Params):
    """A prediction of where spots were."""

    displacement: DisplacementParams
    prediction: PredictionParams
    output_prediction: bool = Field(False, description="keep the flow in the dataset")

    @model_validator(mode="after")
    def _check_keep_axials(self) -> Self:
        if kept_poolings(self.displacement.n_keep_axials) != self.prediction.n_keep_axials:
            raise ValueError("the displacements and the network need the same n_keep_axials")
        return self


class FlowStart(Params):
    """A new flow network."""

    n_dims: int = Field(ge=2, le=3, description="number of axes")
    n_keep_axials: KeptPoolings = Field(0, description="how many of the four poolings leave Z alone")
    seed: int | None = Field(None, ge=0, description="start of the random numbers; none: different each time")
