"""Bodies and answers of ``review``: where a person should look next, and what that person says."""

from collections.abc import Sequence
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.dataclasses import dataclass

from elephant.config import DetectionParams, LabelParams, TimeRange
from elephant.progress import CancelToken
from elephant.review.answers import Answer
from elephant_server.schemas.answers import Completed
from elephant_server.schemas.common import SpotsBody
from elephant_server.schemas.detection import DetectingBody
from elephant_server.schemas.fields import (
    LEAST_RATIO,
    SPOT_CONFIG,
    EllipsoidBody,
    Finite,
    Index,
    Name,
    SpotList,
    parameter,
    turned,
)

MOST_PLACES = 10_000
Kind = Literal["spot", "missed"]


class ReviewBody(DetectingBody):
    """``review``: list the places of some timepoints where errors are expected, worst first."""

    t_start: Index = parameter(TimeRange, "t_start")
    t_end: Index = parameter(TimeRange, "t_end")
    n_places: int = Field(200, ge=1, le=MOST_PLACES, description="how many places the list has at most")

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        TimeRange(t_start=self.t_start, t_end=self.t_end)
        return self

    def params(self) -> DetectionParams:
        """Return how the nuclei are found."""
        return self.detection()

    def about(self) -> dict[str, Any]:
        """Return what the job is about."""
        return super().about() | {"timepoint": self.t_start}


class ReviewPlace(BaseModel):
    """A spot that may be wrong, or a place where a nucleus may be missing."""

    look: int = Field(description="number of the look, from 1; places of one look are near each other")
    t: int = Field(description="timepoint")
    pos: tuple[float, float, float] = Field(description="centre, physical, X, Y, Z")
    covariance: list[float] = Field(min_length=9, max_length=9, description="3 x 3, row-major over X, Y, Z, physical")
    kind: Kind = Field(description="`spot`, or `missed` where none was found")
    probability: float = Field(description="that a nucleus is there, 0 to 1")
    errors: float = Field(description="number of errors that are expected there")
    why: str = Field(description="what speaks for an error")
    log_odds: float = Field(description="what the model says before any correction; it goes back with an answer")


class ReviewTimepoint(BaseModel):
    """What is expected of a timepoint."""

    t: int = Field(description="timepoint")
    n_spots: int = Field(description="number of spots that were found")
    wrong: float = Field(description="number of them that are expected to be wrong")
    missed: float = Field(description="number of nuclei that are expected to be missing")


class ReviewAnswer(Completed):
    """Where to look next."""

    places: list[ReviewPlace] = Field(description="the worst first")
    timepoints: list[ReviewTimepoint] = Field(description="all that were asked for, the worst first")
    n_places: int = Field(description="number of places in all, of which the worst are listed")


@dataclass(frozen=True, slots=True, config=SPOT_CONFIG)
class AnswerBody(EllipsoidBody):
    """What a person says of a place."""

    t: Index = Field(description="timepoint, counted from 0")
    kind: Kind = Field(description="as it was listed")
    is_nucleus: bool = Field(description="whether a nucleus is there")
    log_odds: Finite | None = Field(None, description="as it was listed")


class ReviewAnswersBody(SpotsBody):
    """``review/answers``: keep what a person says with the dataset, and write it into the labels."""

    spots: SpotList[AnswerBody] = Field((), description="the places, and whether a nucleus is there")
    model_name: Name | None = Field(None, description="the model that was reviewed, which learns how reliable it is")
    c_ratio: Finite = parameter(LabelParams, "c_ratio", ge=LEAST_RATIO)
    _remedy = "judge some places first"

    def nothing_to_do(self) -> str:
        """Return what to say where there are no answers."""
        return "nothing to keep: expected spots, got none"

    def labels(self) -> LabelParams:
        """Return how the answers become labels."""
        return LabelParams(voxel_size=self.voxel_size, c_ratio=self.c_ratio)

    def answers(self, cancel: CancelToken) -> list[Answer]:
        """Return the answers as the core knows them."""
        return [
            Answer(
                t=spot.t,
                pos=tuple(centre.tolist()),
                covariance=tuple(covariance.ravel().tolist()),
                kind=spot.kind,
                is_nucleus=spot.is_nucleus,
                log_odds=spot.log_odds,
                model=self.model_name or "",
            )
            for spot, centre, covariance in turned(self.spots, self.is_3d, cancel)
        ]


class KeptAnswer(BaseModel):
    """An answer as an annotation."""

    t: int = Field(description="timepoint")
    pos: tuple[float, float, float] = Field(description="centre, physical, X, Y, Z")
    covariance: list[float] = Field(min_length=9, max_length=9, description="3 x 3, row-major over X, Y, Z, physical")
    tag: str = Field(description="`tp` or `fp` of a spot, `fn` or `tn` of a place without one")


class KeptQuery(BaseModel):
    """A dataset."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    dataset_name: Name = Field(description="dataset, below workspace/datasets")


class KeptAnswers(BaseModel):
    """The answers that are kept with a dataset."""

    spots: list[KeptAnswer]


def kept_answers(answers: Sequence[Answer]) -> KeptAnswers:
    """Return answers as annotations, which `elephant train --spots` and the client's import read."""
    return KeptAnswers(
        spots=[
            KeptAnswer(t=one.t, pos=one.pos[::-1], covariance=list(one.covariance[::-1]), tag=one.tag.value)
            for one in answers
        ]
    )
