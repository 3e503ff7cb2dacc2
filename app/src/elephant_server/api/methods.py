"""``seg/*``, detection, and ``flow/*``, linking over time: the same four requests, each with its bodies."""

from collections.abc import Callable
from typing import Any

from flask import Blueprint, Response
from pydantic import BaseModel

from elephant_server.api.endpoint import BodySize, Endpoint, respond, submit
from elephant_server.api.parsing import read_body, read_reset
from elephant_server.jobs.records import Outcome
from elephant_server.jobs.submit import (
    FLOW_PREDICT,
    FLOW_RESET,
    FLOW_TRAIN,
    FLOW_UPDATE,
    SEG_PREDICT,
    SEG_RESET,
    SEG_TRAIN,
    SEG_UPDATE,
    Task,
)
from elephant_server.schemas.answers import Completed, EarlierSpots, FoundSpots
from elephant_server.schemas.detection import SegPredictBody
from elephant_server.schemas.flow import FlowPredictBody
from elephant_server.services import services
from elephant_server.uploads import discard_upload

seg = Blueprint("seg", __name__)
flow = Blueprint("flow", __name__)

View = Callable[[], Response]


def _predict(task: Task[Any]) -> View:
    def view() -> Response:
        body = read_body(task.body)
        job = submit(task, body)
        return respond(job, lambda outcome: answer_of(body, outcome), drop_if_alone=True)

    return view


def answer_of(body: SegPredictBody | FlowPredictBody, outcome: Outcome) -> dict[str, Any]:
    """Return the answer to a prediction: the client reads spots in any case, also where the work was aborted."""
    return (outcome.result or body.no_answer()) | _completed(outcome)


def _train(task: Task[Any]) -> View:
    def view() -> Response:
        body = read_body(task.body)
        job = submit(task, body)
        if body.is_live:
            # From now on, not from when a worker begins: no update between is lost.
            services().job_store.open_live(job.id)
        return respond(job, _completed)

    return view


def _update(task: Task[Any]) -> View:
    return lambda: respond(submit(task, read_body(task.body)), _completed)


def _reset(task: Task[Any]) -> View:
    def view() -> Response:
        models = services().settings.models_dir

        def completed(outcome: Outcome) -> dict[str, Any]:
            if outcome.cancelled:  # perhaps before it began: then no worker removes the file
                discard_upload(models, file)
            return _completed(outcome)

        with read_reset(task.body) as (body, file):
            return respond(submit(task, body, file), completed)

    return view


def _completed(outcome: Outcome) -> dict[str, Any]:
    return {"completed": not outcome.cancelled}


def _add(to: Blueprint, action: str, summary: str, view: View, facts: Endpoint) -> None:
    """Add a view under its path, and under the one that old clients know."""
    view.__doc__ = summary
    facts(view)
    to.add_url_rule(f"/{to.name}/{action}", action, view, methods=["POST"])
    to.add_url_rule(f"/{action}/{to.name}", f"old_{action}", view, methods=["POST"])


def _facts(task: Task[Any], answer: type[BaseModel] = Completed, **others: Any) -> Endpoint:
    return Endpoint(answer, task.body, is_long=True, **{"size": BodySize.LARGE, **others})


_UPLOADS: dict[str, Any] = {"takes_upload": True, "size": BodySize.MODEL, "begins_late": True}

_add(seg, "predict", "Find the nuclei of a timepoint.", _predict(SEG_PREDICT), _facts(SEG_PREDICT, FoundSpots))
_add(seg, "train", "Write labels and train on them.", _train(SEG_TRAIN), _facts(SEG_TRAIN))
_add(seg, "update", "Write or clear labels.", _update(SEG_UPDATE), _facts(SEG_UPDATE))
_add(
    seg,
    "reset",
    "Start a model anew: pretrained, from an address, from a file sent along, or from the dataset's intensities.",
    _reset(SEG_RESET),
    _facts(SEG_RESET, **_UPLOADS),
)
_add(
    flow,
    "predict",
    "Find where spots were at the timepoint before.",
    _predict(FLOW_PREDICT),
    _facts(FLOW_PREDICT, EarlierSpots),
)
_add(flow, "train", "Write flow labels and train on them.", _train(FLOW_TRAIN), _facts(FLOW_TRAIN))
_add(flow, "update", "Write or clear flow labels.", _update(FLOW_UPDATE), _facts(FLOW_UPDATE))
_add(
    flow,
    "reset",
    "Start a flow model anew: pretrained, from an address, from a file sent along, or from random weights.",
    _reset(FLOW_RESET),
    _facts(FLOW_RESET, **_UPLOADS),
)
