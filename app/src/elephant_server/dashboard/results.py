"""``dashboard/api/results`` and ``dashboard/api/result``: what the last predictions found."""

from flask import Blueprint, Response, jsonify

from elephant.dataset.summary import image_version
from elephant.errors import InvalidInputError, NotFoundError
from elephant.io.paths import resolve_inside
from elephant_server.api.endpoint import endpoint
from elephant_server.dashboard.admission import admitted
from elephant_server.dashboard.query import read_query
from elephant_server.dashboard.schemas import ResultAnswer, ResultNuclei, ResultQuery
from elephant_server.dashboard.spots import ellipsoids
from elephant_server.jobs.results import Nuclei, Result
from elephant_server.services import services

blueprint = Blueprint("dashboard_results", __name__)


@blueprint.get("/dashboard/api/results")
@endpoint(ResultAnswer, is_list=True)
@admitted
def get_results() -> Response:
    """List what the last predictions found, the newest first."""
    return jsonify([_answer(result).model_dump() for result in services().feed.results()])


@blueprint.get("/dashboard/api/result")
@endpoint(ResultNuclei, query=ResultQuery)
@admitted
def get_result() -> Response:
    """Send the nuclei that a prediction found."""
    result = services().feed.result(read_query(ResultQuery).id)
    if result is None:
        raise NotFoundError("this result is no longer kept: predict again")
    if not _is_current(result):
        raise NotFoundError(f"the dataset {result.dataset_name} has changed since this prediction: predict again")
    answer = ResultNuclei(spots=ellipsoids(Nuclei.unpack(result.nuclei)), n_found=result.n_found)
    return jsonify(answer.model_dump())


def _answer(result: Result) -> ResultAnswer:
    return ResultAnswer(
        id=result.id,
        at=result.at,
        dataset=result.dataset_name,
        timepoint=result.timepoint,
        model=result.model_name,
        n_found=result.n_found,
        is_kept=result.is_kept,
        box=None if result.box is None else list(result.box),
        is_current=_is_current(result),
    )


def _is_current(result: Result) -> bool:
    """Return whether the dataset still has the image that was looked at."""
    try:
        folder = resolve_inside(services().settings.datasets_dir, result.dataset_name)
        return str(image_version(folder)) == result.version
    except (OSError, InvalidInputError):  # it is gone
        return False
