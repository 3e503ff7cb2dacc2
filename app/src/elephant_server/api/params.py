"""``params``: learning rate and number of crops of the running training."""

from flask import Blueprint, Response, jsonify

from elephant_server.api.endpoint import endpoint
from elephant_server.api.parsing import read_body
from elephant_server.jobs.records import LiveParams
from elephant_server.schemas.answers import Params
from elephant_server.schemas.state import ParamsBody
from elephant_server.services import services

blueprint = Blueprint("params", __name__)


@blueprint.get("/params")
@endpoint(Params)
def get_params() -> Response:
    """Tell the settings of the running, or the last, training."""
    return _answer(services().job_store.read_params())


@blueprint.post("/params")
@endpoint(Params, ParamsBody)
def post_params() -> Response:
    """Change the settings of the running training, from its next step or epoch on."""
    body = read_body(ParamsBody)
    return _answer(services().job_store.write_params(body.lr, body.n_crops))


def _answer(params: LiveParams) -> Response:
    return jsonify(success=True, lr=params.lr, n_crops=params.n_crops)
