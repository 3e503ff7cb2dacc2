"""``flow/*``: linking over time."""

from typing import Any

from flask import Blueprint, Response

from elephant_server.api.endpoint import BodySize, endpoint, respond
from elephant_server.api.parsing import read_body, read_reset
from elephant_server.jobs.records import Outcome
from elephant_server.jobs.submit import FLOW_PREDICT, FLOW_RESET, FLOW_TRAIN, FLOW_UPDATE
from elephant_server.schemas.answers import Completed, EarlierSpots
from elephant_server.schemas.flow import FlowPredictBody, FlowResetBody, FlowTrainBody, FlowUpdateBody
from elephant_server.services import services

blueprint = Blueprint("flow", __name__)


@blueprint.post("/flow/predict")
@blueprint.post("/predict/flow", endpoint="old_predict")
@endpoint(EarlierSpots, FlowPredictBody, size=BodySize.LARGE, is_long=True)
def predict() -> Response:
    """Find where spots were at the timepoint before."""
    body = read_body(FlowPredictBody)
    job = services().dispatcher.submit(FLOW_PREDICT, body)
    return respond(job, lambda outcome: _spots(outcome, body), drop_if_alone=True)


@blueprint.post("/flow/train")
@blueprint.post("/train/flow", endpoint="old_train")
@endpoint(Completed, FlowTrainBody, size=BodySize.LARGE, is_long=True)
def train() -> Response:
    """Write flow labels and train on them."""
    job = services().dispatcher.submit(FLOW_TRAIN, read_body(FlowTrainBody))
    return respond(job, _completed)


@blueprint.post("/flow/update")
@blueprint.post("/update/flow", endpoint="old_update")
@endpoint(Completed, FlowUpdateBody, size=BodySize.LARGE, is_long=True)
def update() -> Response:
    """Write or clear flow labels."""
    job = services().dispatcher.submit(FLOW_UPDATE, read_body(FlowUpdateBody))
    return respond(job, _completed)


@blueprint.post("/flow/reset")
@blueprint.post("/reset/flow", endpoint="old_reset")
@endpoint(Completed, FlowResetBody, takes_upload=True, size=BodySize.MODEL, is_long=True, begins_late=True)
def reset() -> Response:
    """Start a flow model anew: pretrained, from an address, from a file sent along, or from random weights."""
    with read_reset(FlowResetBody) as (body, file):
        job = services().dispatcher.submit(FLOW_RESET, body, file)
        return respond(job, _completed)


def _completed(outcome: Outcome) -> dict[str, Any]:
    return {"completed": not outcome.cancelled}


def _spots(outcome: Outcome, body: FlowPredictBody) -> dict[str, Any]:
    """Answer for every spot also where the work was aborted: the client reads them in any case."""
    unmoved = [{"id": spot.id, "pos": list(spot.pos), "sqdisp": 0.0} for spot in body.spots]
    return {"spots": (outcome.result or {}).get("spots", unmoved), **_completed(outcome)}
