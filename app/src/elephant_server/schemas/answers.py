"""What the server answers: its description, and the turn from what the core found and back."""

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, Field

from elephant import types as core
from elephant_server.schemas.fields import covariance_zyx, ellipsoids_xyz, vector_zyx, xyz


class Completed(BaseModel):
    """The end of a piece of work."""

    completed: bool = Field(description="false: it was aborted")
    error: str | None = Field(None, description="why it failed, where that happened after the answer had begun")


class FoundSpot(BaseModel):
    """A nucleus that was found."""

    t: int = Field(description="timepoint")
    pos: tuple[float, float, float] = Field(description="centre, physical, X, Y, Z")
    covariance: list[float] = Field(
        min_length=9, max_length=9, description="3 x 3 covariance, row-major over X, Y, Z, physical"
    )
    quality: float = Field(
        description="calibrated probability that it is a nucleus, 0 to 1; with `raw_quality` its mean centre "
        "probability"
    )

    def detected(self) -> core.DetectedSpot:
        """Return it as the core knows it, Z, Y, X."""
        return core.DetectedSpot(vector_zyx(self.pos), covariance_zyx(self.covariance), self.quality)


class FoundSpots(Completed):
    """The nuclei of a timepoint."""

    spots: list[FoundSpot]


def found_spots(t: int, spots: Sequence[core.DetectedSpot]) -> dict[str, Any]:
    """Return the nuclei that were found at a timepoint as they are answered."""
    return {
        "spots": [
            {"t": t, "pos": pos, "covariance": covariance, "quality": spot.quality}
            for spot, pos, covariance in zip(spots, *ellipsoids_xyz(spots), strict=True)
        ]
    }


class MovieTimepoint(BaseModel):
    """A line of the answer to ``movie/predict``: a timepoint and its nuclei."""

    t: int = Field(description="timepoint")
    spots: list[FoundSpot]
    is_known: bool = Field(description="whether it was found before, and only answered again")


class MovieEnd(Completed):
    """The last line of the answer to ``movie/predict``; without it, the answer is not whole."""

    n_timepoints: int = Field(description="how many timepoints were answered")


class EarlierSpot(BaseModel):
    """Where a nucleus was."""

    id: int = Field(description="the client's name of the spot")
    pos: tuple[float, float, float] = Field(description="earlier centre, physical, X, Y, Z")
    sqdisp: float = Field(description="squared physical distance to where it is")

    def earlier(self, name: int) -> core.EarlierSpot:
        """Return it as the core knows it, Z, Y, X, with a spot's own id."""
        return core.EarlierSpot(name, vector_zyx(self.pos), self.sqdisp)


class EarlierSpots(Completed):
    """Where nuclei were at the timepoint before, in the order of the request."""

    spots: list[EarlierSpot]


def earlier_spots(spots: Sequence[core.EarlierSpot]) -> dict[str, Any]:
    """Return where nuclei were as it is answered."""
    return {"spots": [{"id": spot.id, "pos": xyz(spot.pos), "sqdisp": spot.sqdisp} for spot in spots]}


class Message(BaseModel):
    """Words for a person."""

    message: str = Field(description="`ready`, or the first thing that is wrong")


class State(BaseModel):
    """What runs."""

    success: bool
    state: int = Field(ge=0, le=2, description="0 idle, 1 running, 2 waiting")


class Params(BaseModel):
    """Settings of the running, or the last, training."""

    success: bool
    lr: float
    n_crops: int


class Device(BaseModel):
    """A device and its memory."""

    id: str
    name: str
    mem_total: float = Field(description="MiB")
    mem_used: float = Field(description="MiB")


class Error(BaseModel):
    """Why a request was refused or failed."""

    error: str
