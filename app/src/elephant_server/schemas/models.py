"""Models and their versions: going back to one."""

from typing import Literal

from pydantic import BaseModel, Field

from elephant_server.schemas.answers import Completed
from elephant_server.schemas.common import Body
from elephant_server.schemas.dashboard import Query
from elephant_server.schemas.fields import LARGEST_INT, Name


class ModelRestoreBody(Body):
    """``models/restore``: go back to an earlier version of a model."""

    model_name: Name = Field(description="model, below workspace/models")
    version: int | None = Field(
        None, ge=1, le=LARGEST_INT, description="number of the version; by default the newest that is not damaged"
    )


class Restored(Completed):
    """The version that a model went back to."""

    restored: int | None = Field(None, description="number of the version that the model holds now")
    before: int | None = Field(
        None, description="number of the version that keeps what it held before: restoring that undoes it"
    )


class ModelQuery(Query):
    """A model."""

    model: str = Field(min_length=1, max_length=1000, description="its name, below workspace/models")


class EpochScore(BaseModel):
    """How good a model was after an epoch, on what was held out."""

    epoch: int = Field(description="0 before the first")
    value: float = Field(description="of the curve's figure")
    precision: float | None = Field(description="of nuclei; null where it is not known")
    recall: float | None = Field(description="of nuclei; null where it is not known")


class LearningCurve(BaseModel):
    """How good a model was, by epoch, on what was held out of a training."""

    began: float = Field(description="when the training began, seconds since 1970; tells it from others")
    saved: float = Field(description="when it saved the model last, seconds since 1970")
    dataset: str
    figure: Literal["f1", "distance_left"] = Field(description="`f1`: higher is better; `distance_left`: lower is")
    n_held_out: int = Field(description="how many nuclei, or links, were held out")
    epochs: list[int] = Field(description="those that are known, in order; 0 is before the first")
    values: list[float] = Field(description="the figure after each of them")
    best: int = Field(description="the best epoch, of equally good ones the last; 0 only where the training was undone")
    kept: EpochScore | None = Field(description="the epoch that the training left in the model's file")
    last: EpochScore | None = Field(description="the last epoch")
    last_version: int | None = Field(
        description="number of the version that holds the last epoch, where it is not kept"
    )
    said: list[str] = Field(description="what a person should know of how it went")


class LearningAnswer(BaseModel):
    """How good a model was, by epoch, on what was held out of its trainings."""

    curves: list[LearningCurve] = Field(description="of trainings with something held out, the newest first")


class GrowthPoint(BaseModel):
    """A training on a dataset."""

    model: str = Field(description="model, below workspace/models")
    saved: float = Field(description="when it saved the model last, seconds since 1970")
    method: str = Field(description="`detection` or `flow`")
    n_annotations: int = Field(description="annotations that it was trained on")
    epochs: int
    loss: float | None = Field(description="mean loss of the last epoch")
    f1: float | None = Field(description="F1 on nuclei that were held out of it; null where none were")
    distance_left: float | None = Field(
        None, description="of flow: distance left on links that were held out of it; 1 is no flow; null where none were"
    )
    n_held_out: int = Field(description="how many were held out")


class LabelsPoint(BaseModel):
    """A moment at which the annotations of a dataset changed."""

    at: float = Field(description="seconds since 1970")
    n_annotations: int = Field(description="annotations that label something then, at all timepoints")
    who: str = Field("", description="who changed them last; empty where nobody knows")


class GrowthAnswer(BaseModel):
    """How a dataset's annotations and the models trained on it grew."""

    trainings: list[GrowthPoint] = Field(description="the oldest first")
    detection: list[LabelsPoint] = Field(description="annotated nuclei over time, thinned out")
    flow: list[LabelsPoint] = Field(description="annotated links over time, thinned out")
    people: dict[str, int] = Field(description="how many updates each person gave")
    note: str = Field("", description="what is wrong with the record, in words; may be empty")
