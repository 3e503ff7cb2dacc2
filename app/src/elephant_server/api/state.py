"""``state/*``: what runs, and the machine's memory; ``params``: settings of the running training."""

import logging
import time
from typing import Any

from flask import Blueprint, Response, jsonify, request

from elephant_server.api.endpoint import PERSON, endpoint
from elephant_server.api.parsing import read_body
from elephant_server.jobs.records import LiveParams
from elephant_server.jobs.store import JobStore
from elephant_server.schemas.answers import Device, Params, State
from elephant_server.schemas.state import ParamsBody, ProcessBody, ProcessState
from elephant_server.services import services

logger = logging.getLogger(__name__)

blueprint = Blueprint("state", __name__)
params = Blueprint("params", __name__)

ABORT_WAIT_S = 4.0
LOOK_INTERVAL_S = 0.5


@blueprint.get("/state/gpus")
@blueprint.get("/gpus", endpoint="old_gpus")
@endpoint(Device, is_list=True)
def get_gpus() -> Response:
    """List the GPUs and their memory, MiB, of all machines that compute; without one, the host's."""
    return jsonify([entry.as_json() for entry in services().machines.devices()])


@blueprint.get("/state/process")
@blueprint.get("/state", endpoint="old_get_process")
@endpoint(State)
def get_process() -> Response:
    """Tell what runs: 0 nothing, 1 a training or reset, 2 something that a training waits for."""
    return jsonify(_answer(services().job_store))


@blueprint.post("/state/process")
@blueprint.post("/state", endpoint="old_post_process")
@endpoint(State, ProcessBody)
def post_process() -> Response:
    """Abort everything (0), let a training go on (1) or hold it (2)."""
    asked = ProcessState(read_body(ProcessBody).state)
    job_store = services().job_store
    if asked is ProcessState.IDLE:
        _abort(job_store, request.environ.get(PERSON, ""))
    else:
        job_store.hold(asked is ProcessState.WAITING)
    return jsonify(_answer(job_store))


def _abort(job_store: JobStore, person: str) -> None:
    """End all jobs, and wait a moment for them so that the answer tells the new state."""
    if person:
        logger.info("%s aborted everything", person)
    end = time.monotonic() + ABORT_WAIT_S
    with job_store.watch() as wait:
        job_store.cancel_all()
        while job_store.process_state() is not ProcessState.IDLE and time.monotonic() < end:
            wait(LOOK_INTERVAL_S)


def _answer(job_store: JobStore) -> dict[str, Any]:
    return {"success": True, "state": int(job_store.process_state())}


@params.get("/params")
@endpoint(Params)
def get_params() -> Response:
    """Tell the settings of the running, or the last, training."""
    return _settings(services().job_store.read_params())


@params.post("/params")
@endpoint(Params, ParamsBody)
def post_params() -> Response:
    """Change the settings of the running training, from its next step or epoch on."""
    body = read_body(ParamsBody)
    return _settings(services().job_store.write_params(body.lr, body.n_crops))


def _settings(found: LiveParams) -> Response:
    return jsonify(success=True, lr=found.lr, n_crops=found.n_crops)
