"""``seg/*``: detection."""

from typing import Any

from flask import Blueprint, Response

from elephant_server.api.endpoint import BodySize, endpoint, respond
from elephant_server.api.parsing import read_body, read_reset
from elephant_server.jobs.records import Outcome
from elephant_server.jobs.submit import SEG_PREDICT, SEG_RESET, SEG_TRAIN, SEG_UPDATE
from elephant_server.schemas.answers import Completed, FoundSpots
from elephant_server.schemas.detection import SegPredictBody, SegResetBody, SegTrainBody, SegUpdateBody
from elephant_server.services import services

blueprint = Blueprint("seg", __name__)


@blueprint.post("/seg/predict")
@blueprint.post("/predict/seg", endpoint="old_predict")
@endpoint(FoundSpots, SegPredictBody, size=BodySize.LARGE, is_long=True)
def predict() -> Response:
    """Find the nuclei of a timepoint."""
    job = services().dispatcher.submit(SEG_PREDICT, read_body(SegPredictBody))
    return respond(job, _spots, drop_if_alone=True)


@blueprint.post("/seg/train")
@blueprint.post("/train/seg", endpoint="old_train")
@endpoint(Completed, SegTrainBody, size=BodySize.LARGE, is_long=True)
def train() -> Response:
    """Write labels and train on them."""
    body = read_body(SegTrainBody)
    job = services().dispatcher.submit(SEG_TRAIN, body)
    if body.is_livemode:
        # From now on, not from when a worker begins: no update between is lost.
        services().job_store.open_live(job.id)
    return respond(job, _completed)


@blueprint.post("/seg/update")
@blueprint.post("/update/seg", endpoint="old_update")
@endpoint(Completed, SegUpdateBody, size=BodySize.LARGE, is_long=True)
def update() -> Response:
    """Write or clear labels."""
    job = services().dispatcher.submit(SEG_UPDATE, read_body(SegUpdateBody))
    return respond(job, _completed)


@blueprint.post("/seg/reset")
@blueprint.post("/reset/seg", endpoint="old_reset")
@endpoint(Completed, SegResetBody, takes_upload=True, size=BodySize.MODEL, is_long=True, begins_late=True)
def reset() -> Response:
    """Start a model anew: pretrained, from an address, from a file sent along, or from the dataset's intensities."""
    with read_reset(SegResetBody) as (body, file):
        job = services().dispatcher.submit(SEG_RESET, body, file)
        return respond(job, _completed)


def _completed(outcome: Outcome) -> dict[str, Any]:
    return {"completed": not outcome.cancelled}


def _spots(outcome: Outcome) -> dict[str, Any]:
    return {"spots": (outcome.result or {}).get("spots", []), **_completed(outcome)}
