"""``movie/track`` and ``movie/lineage``: lineages of whole movies, and what a person says of them."""

from typing import Any

from flask import Blueprint, Response, jsonify, request

from elephant.dataset import Dataset
from elephant.errors import InvalidInputError
from elephant.lineages import read_lineage
from elephant_server.api.endpoint import BodySize, endpoint, respond, submit
from elephant_server.api.packing import packed
from elephant_server.api.parsing import read_body
from elephant_server.api.tracks import voxel_size_of
from elephant_server.jobs.lines import JobLines
from elephant_server.jobs.records import Outcome
from elephant_server.jobs.submit import LINEAGE_CORRECT, MOVIE_TRACK
from elephant_server.schemas.lineage_answers import (
    CorrectedAnswer,
    LineageAnswer,
    LineageSpotsAnswer,
    lineage_answer,
    lineage_spots_answer,
    track_end,
)
from elephant_server.schemas.lineages import (
    CorrectionBody,
    LineageQuery,
    LineageSpotsQuery,
    MovieTrackBody,
    TrackJobBody,
)
from elephant_server.services import services

blueprint = Blueprint("lineages", __name__)

_CONFLICT = "Another correction came first, or the movie is being tracked"


@blueprint.post("/movie/track")
@endpoint(None, MovieTrackBody, conflict=_CONFLICT, file_type="application/x-ndjson", size=BodySize.LARGE, is_long=True)
def track() -> Response:
    """Join spots to lineages and keep them: a line of JSON for each window that is solved, then one with all links."""
    body = _filled(read_body(MovieTrackBody))
    dataset = _dataset(body.dataset_name)
    # From the files: all that a job leaves goes through the state, which nothing may hold up.
    lines = JobLines(services().job_store, submit(MOVIE_TRACK, body), lambda _: track_end(read_lineage(dataset)))
    content = lines.stream(lines.first())
    return Response(content, mimetype="application/x-ndjson", headers={"X-Accel-Buffering": "no"})


@blueprint.get("/movie/lineage")
@endpoint(LineageAnswer, query=LineageQuery)
def lineage() -> Response:
    """Send the lineages of a dataset, and what is doubtful of them; 404 where nothing was tracked."""
    query = LineageQuery.model_validate(request.args.to_dict())
    return packed(jsonify(lineage_answer(read_lineage(_dataset(query.dataset_name)))))


@blueprint.get("/movie/lineage/spots")
@endpoint(LineageSpotsAnswer, query=LineageSpotsQuery)
def spots() -> Response:
    """Send the spots of a timepoint with their tracks."""
    query = LineageSpotsQuery.model_validate(request.args.to_dict())
    dataset = _dataset(query.dataset_name)
    dataset.check_timepoint(query.timepoint)
    return packed(jsonify(lineage_spots_answer(read_lineage(dataset), query.timepoint)))


@blueprint.post("/movie/lineage/corrections")
@endpoint(CorrectedAnswer, CorrectionBody, conflict=_CONFLICT, size=BodySize.LARGE, is_long=True)
def corrections() -> Response:
    """Keep what a person says of links and spots, solve again what follows from it, and send what has changed."""

    def answer(outcome: Outcome) -> dict[str, Any]:
        if outcome.cancelled:
            raise InvalidInputError("the correction was aborted: nothing was changed; send it again")
        return outcome.result or {}

    return respond(submit(LINEAGE_CORRECT, read_body(CorrectionBody)), answer)


def _dataset(name: str) -> Dataset:
    return Dataset.open(services().settings.datasets_dir, name)


def _filled(body: MovieTrackBody) -> TrackJobBody:
    """Return what is to be done, with what the request left to what is known of the dataset.

    Raises
    ------
    InvalidInputError
        A flow model needs a voxel size, and none is known.
    """
    dataset = _dataset(body.dataset_name)
    voxel = body.voxel_size if "scales" in body.model_fields_set else voxel_size_of(dataset, body.dataset_name)
    if voxel is None and body.model_name is not None:
        raise InvalidInputError(
            f"the voxel size of {body.dataset_name} is not known, and a flow model needs it: send `scales`"
        )
    given = {name: getattr(body, name) for name in MovieTrackBody.model_fields}
    given["is_3d"] = body.is_3d if "is_3d" in body.model_fields_set else dataset.is_3d
    given["scales"] = body.scales if voxel is None else voxel.zyx[::-1]
    return TrackJobBody(**given, knows_scales=voxel is not None)
