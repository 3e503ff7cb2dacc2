"""Queries and answers of the dashboard."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from elephant.config import SpotParams
from elephant_server.schemas.answers import Device
from elephant_server.schemas.fields import parameter

Axis = Literal["xy", "xz", "yz"]
# Two numbers that Redis can count on from: it has 64 bits for each.
_LINE_ID = re.compile(r"([0-9]{1,19})-([0-9]{1,19})")
_LARGEST_PART = 2**63 - 1


def _line_id(value: str) -> str:
    match = _LINE_ID.fullmatch(value)
    if value and not (match and all(int(part) <= _LARGEST_PART for part in match.groups())):
        raise ValueError(f"expected the id of a line, such as 1719239105123-0, got {value[:40]!r}")
    return value


class Query(BaseModel):
    """Parameters of an address."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


class DatasetQuery(Query):
    """A dataset."""

    dataset: str = Field(min_length=1, max_length=1000, description="its name")


class PlaneQuery(DatasetQuery):
    """A plane of a dataset."""

    layer: Literal["image", "labels", "probabilities"] = Field("image", description="array to show")
    t: int = Field(ge=0, le=10**6, description="timepoint, counted from 0")
    axis: Axis = Field("xy", description="which plane; 2D data has only xy")
    index: int = Field(0, ge=0, le=10**6, description="voxel along the axis perpendicular to the plane")
    most: int = Field(
        1024, ge=16, le=4096, description="longest edge; larger planes are subsampled to every n-th voxel"
    )


class MovieQuery(Query):
    """A source of a movie."""

    folder: str = Field("", max_length=4096, description="folder of the movie, as listed")
    movie: str = Field(min_length=1, max_length=1000, description="name of the movie in the folder, as listed")
    source: int | None = Field(None, ge=0, le=2**31 - 1, description="number of the source; by default the first")


class PreviewQuery(MovieQuery):
    """A preview of a source."""

    most: int = Field(160, ge=16, le=512, description="longest edge in pixels")


class SpotsQuery(DatasetQuery):
    """Spots in the kept probabilities of a timepoint."""

    t: int = Field(ge=0, le=10**6, description="timepoint, counted from 0")
    axis: Axis = Field("xy", description="in large volumes, only the surroundings of this plane are searched")
    index: int = Field(0, ge=0, le=10**6, description="voxel along the axis perpendicular to the plane")
    voxel_size: str = Field("1,1,1", max_length=100, description="physical voxel size, X, Y, Z")
    p_thresh: float = parameter(SpotParams, "p_thresh")
    c_ratio: float = parameter(SpotParams, "c_ratio")
    r_min: float = parameter(SpotParams, "r_min", le=1e6)
    r_max: float = parameter(SpotParams, "r_max", le=1e6)


class RunQuery(Query):
    """A folder of logs."""

    run: str = Field(min_length=1, max_length=1000, description="its name")


class LogQuery(Query):
    """Lines of the log."""

    after: Annotated[str, AfterValidator(_line_id)] = Field("", description="id of the last line that the page has")


class JobStatus(BaseModel):
    """A job and its progress."""

    id: str
    kind: str = Field(description="`training` or `interactive`")
    phase: str = Field(description="`queued` or `running`")
    task: str
    person: str = Field("", description="who asked for it, by the name beside the token; empty where nobody knows")
    dataset_name: str | None = None
    model_name: str | None = None
    timepoint: int | None = None
    log_dir: str | None = None
    is_livemode: bool | None = None
    started: float | None = Field(None, description="seconds since 1970")
    stage: str | None = Field(None, description="what is counted")
    done: int | None = None
    total: int | None = None
    remaining_s: float | None = None
    values: dict[str, float] = Field(default_factory=dict, description="values of the last unit, such as losses")


class Status(BaseModel):
    """What the server does."""

    state: int = Field(ge=0, le=2, description="0 idle, 1 running, 2 waiting")
    is_held: bool = Field(description="a person holds the training")
    jobs: list[JobStatus]
    latest_job: str = Field(description="id of the job that began last, which may already have finished")
    latest_result: str = Field("", description="id of the newest result")
    computed_ahead: int = Field(0, description="timepoints that were computed before anybody asked for them")
    answered_at_once: int = Field(0, description="predictions that were answered with what was found before")
    known: str = Field("", description="both in words; empty where there is nothing to say")
    devices: list[Device]
    now: float = Field(description="the server's clock, seconds since 1970")
    version: str
    has_manual: bool = Field(False, description="whether the documentation is at `/manual/`")


class LogLine(BaseModel):
    """A line of the log."""

    id: str
    at: float = Field(description="seconds since 1970")
    level: str
    text: str


class Names(BaseModel):
    """Names, in order."""

    names: list[str]


class DatasetAnswer(BaseModel):
    """What a dataset's folder holds."""

    name: str
    n_timepoints: int
    shape: list[int] = Field(description="(Z), Y, X")
    dtype: str
    array_bytes: int
    other_bytes: int = Field(description="the movie, most of all")
    labelled: list[int] = Field(description="timepoints with labels")
    predicted: list[int] = Field(description="timepoints with stored probabilities")
    flow_labelled: list[int]
    flow_predicted: list[int]
    voxel_size: list[float] | None = Field(
        description="Z, Y, X: the dataset's, or else that of the last request, or else that of the .xml"
    )
    unit: str = Field(description="unit of the voxel size; empty if unknown")
    spots: dict[str, float] = Field(description="settings of the last search for spots")
    blank_timepoints: list[int] = Field(description="timepoints without an image in the movie")
    version: str = Field(description="changes when the image is made again")
    made_from: str = Field(description="the movie and its source, in words; empty if unknown")
    movie: "MoviePlace | None" = Field(description="the movie, where it may be listed; none if elsewhere or unknown")
    setup: int | None = Field(description="number of the movie's source; none if unknown")
    in_place: bool = Field(description="images are read from the movie, of which the dataset holds no copy")
    notice: str = Field(description="how the dataset differs from its movie, in words; empty if it does not")


class MoviePlace(BaseModel):
    """Where a movie lies."""

    folder: str = Field(description="empty for the folder of the datasets, otherwise its path")
    movie: str = Field(description="name in the folder")


class MoviesAnswer(BaseModel):
    """The movies that datasets can be made from."""

    movies: list[MoviePlace]
    folders: list[str] = Field(description="the folders that the settings allow")
    is_complete: bool = Field(description="false: there are more, or looking for them took too long")


class SourceAnswer(BaseModel):
    """A source of a movie."""

    id: int = Field(description="its number")
    name: str = Field(description="such as that of its channel; may be empty")
    shape: list[int] | None = Field(description="Z, Y, X, in voxels; none if unknown")
    voxel_size: list[float] | None = Field(description="Z, Y, X; none if unknown")
    unit: str = Field(description="unit of the voxel size; empty if unknown")


class LevelAnswer(BaseModel):
    """A resolution of a source."""

    shape: list[int] = Field(description="Z, Y, X, in voxels")
    voxel_size: list[float] | None = Field(description="Z, Y, X; none if unknown")


class MovieAnswer(BaseModel):
    """A movie, and one of its sources in detail."""

    sources: list[SourceAnswer]
    source: int = Field(description="number of the source that the rest is about")
    levels: list[LevelAnswer] = Field(description="at least full resolution, which is first")
    n_timepoints: int
    dtype: str
    blank_timepoints: list[int] = Field(description="timepoints without an image")
    needs_filling: bool = Field(description="some of these are not listed as missing by the movie itself")
    can_be_in_place: bool = Field(description="whether its images can be read in place")


class VersionAnswer(BaseModel):
    """What a model's file held before."""

    number: int
    saved: float = Field(description="seconds since 1970")
    n_bytes: int
    is_interim: bool = Field(description="saved during a long training rather than before one")
    is_last: bool = Field(False, description="the last epoch of a training of which an earlier one was better")
    text: str | None = Field(description="the work that produced it, in words; none if unknown")
    n_annotations: int = Field(0, description="annotations that it was trained on last")
    epochs: int = Field(0, description="epochs of the last training")
    loss: float | None = Field(None, description="mean loss of its last epoch")
    f1: float | None = Field(None, description="F1 on nuclei that were held out of it; none if none were")
    distance_left: float | None = Field(None, description="of flow: distance left on held-out links; 1 is no flow")
    n_held_out: int = Field(0, description="how many were held out")


class WorkAnswer(BaseModel):
    """A piece of work that changed a model."""

    what: str = Field(description="kind of work")
    text: str = Field(description="the work in words")
    details: str = Field(description="more details; may be empty")
    began: float = Field(description="seconds since 1970")
    saved: float = Field(description="when it saved the model last, seconds since 1970")
    source: str | None = Field(description="where the weights came from")
    dataset: str | None
    timepoints: list[int]
    annotated: str | None = Field(description="what it was trained on: `spots` or `links`")
    n_annotations: int
    epochs: int
    steps: int
    f1: float | None = Field(None, description="F1 on nuclei that were held out; none if none were")
    distance_left: float | None = Field(None, description="of flow: distance left on held-out links; 1 is no flow")
    n_held_out: int = Field(0, description="how many were held out")
    lr: float | None
    loss: float | None = Field(description="mean of the last epoch")
    before: int | None = Field(description="number of the version that holds the previous weights")
    is_in: bool = Field(description="whether its work is part of the current weights, as far as is known")


class ModelAnswer(BaseModel):
    """A model file."""

    name: str
    kind: str | None = Field(description="`detection` or `flow`; none if unknown")
    n_dims: int | None
    n_members: int | None = Field(description="number of networks, more than one for an ensemble")
    n_bytes: int
    saved: float = Field(description="seconds since 1970")
    generations: list[VersionAnswer]
    held: WorkAnswer | None = Field(description="the work that produced its weights; none if unknown")
    history: list[WorkAnswer] = Field(description="its provenance, the newest first")


class RunAnswer(BaseModel):
    """A folder of logs."""

    name: str
    title: str = Field(description="display name: the folder's, or the model's")
    is_named: bool = Field(description="false: no request named a folder, so it is the model's own")
    changed: float = Field(description="seconds since 1970")
    n_trainings: int


class Curve(BaseModel):
    """The values of a scalar over the steps, thinned out by means."""

    tag: str
    steps: list[int]
    values: list[float | None]


class CurvesAnswer(BaseModel):
    """The curves of a folder of logs."""

    curves: list[Curve]
    starts: list[int] = Field(description="first step of each training")
    is_complete: bool = Field(description="false: more remains to be read, ask again")


class ResultQuery(Query):
    """A result."""

    id: str = Field(min_length=1, max_length=100, description="its id")


class ResultAnswer(BaseModel):
    """What a prediction found."""

    id: str
    at: float = Field(description="seconds since 1970")
    dataset: str
    timepoint: int
    model: str
    n_found: int = Field(description="number of nuclei")
    is_kept: bool = Field(description="the probabilities are stored in the dataset, too")
    box: list[int] | None = Field(description="first voxel and size, Z, Y, X each, if only a part was predicted")
    is_current: bool = Field(description="false: the dataset has been converted again since, or deleted")


class ResultNuclei(BaseModel):
    """The nuclei of a result."""

    spots: list["FoundEllipsoid"]
    n_found: int = Field(description="may exceed the number listed, since only the best are kept")


class FoundEllipsoid(BaseModel):
    """A nucleus, in voxels."""

    pos: list[float] = Field(description="Z, Y, X")
    covariance: list[float] = Field(description="row-major, Z, Y, X; the surface is at one sigma")
    quality: float


class TruthFiles(BaseModel):
    """Files in a dataset's folder that may hold true nuclei."""

    names: list[str]


class EvaluationQuery(ResultQuery):
    """A result, and a file of true nuclei in the folder of its dataset."""

    truth: str = Field(min_length=1, max_length=1000, description="name of the file")
    voxel_size: str = Field("1,1,1", max_length=100, description="physical voxel size, X, Y, Z")


class EvaluationAnswer(BaseModel):
    """What a prediction found, compared with true nuclei; only those of the part that was predicted count."""

    distance: float = Field(description="largest distance of a match, physical: the median radius of the true nuclei")
    n_true: int
    n_found: int
    n_matched: int
    precision: float
    recall: float
    f1: float
    missed: list[FoundEllipsoid] = Field(description="true nuclei that were not found; quality is 1")
    wrong: list[int] = Field(description="found nuclei that are no true one: their places in the result")


class FoundEllipsoids(BaseModel):
    """The nuclei of a timepoint."""

    spots: list[FoundEllipsoid]
    n_found: int = Field(description="may exceed the number listed, since only the best are listed")
    first: int = Field(description="first voxel searched along the axis")
    end: int = Field(description="the voxel after the last one searched")
    is_whole: bool = Field(description="the whole timepoint was searched")
