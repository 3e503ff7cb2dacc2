"""``review``: where a person should look next, and what that person says of it."""

from typing import Any

from flask import Blueprint, Response, jsonify, request

from elephant.dataset import Dataset
from elephant.review.answers import read_answers
from elephant_server.api.endpoint import BodySize, endpoint, respond, submit
from elephant_server.api.parsing import read_body
from elephant_server.jobs.records import Outcome
from elephant_server.jobs.submit import REVIEW, REVIEW_ANSWERS
from elephant_server.schemas.answers import Completed
from elephant_server.schemas.review import (
    KeptAnswers,
    KeptQuery,
    ReviewAnswer,
    ReviewAnswersBody,
    ReviewBody,
    kept_answers,
)
from elephant_server.services import services

blueprint = Blueprint("review", __name__)

_NOTHING: dict[str, Any] = {"places": [], "timepoints": [], "n_places": 0}


@blueprint.post("/review")
@endpoint(ReviewAnswer, ReviewBody, is_long=True)
def review() -> Response:
    """List the places of some timepoints where errors are expected, the worst first."""

    def answer(outcome: Outcome) -> dict[str, Any]:
        return (outcome.result or _NOTHING) | {"completed": not outcome.cancelled}

    return respond(submit(REVIEW, read_body(ReviewBody)), answer, drop_if_alone=True)


@blueprint.post("/review/answers")
@endpoint(Completed, ReviewAnswersBody, size=BodySize.LARGE, is_long=True)
def answers() -> Response:
    """Keep what a person says of places with the dataset, and write it into its labels."""
    job = submit(REVIEW_ANSWERS, read_body(ReviewAnswersBody))
    return respond(job, lambda outcome: {"completed": not outcome.cancelled})


@blueprint.get("/review/answers")
@endpoint(KeptAnswers, query=KeptQuery)
def kept() -> Response:
    """Send the answers that are kept with a dataset, as annotations."""
    query = KeptQuery.model_validate(request.args.to_dict())
    dataset = Dataset.open(services().settings.datasets_dir, query.dataset_name)
    return jsonify(kept_answers(read_answers(dataset)).model_dump())
