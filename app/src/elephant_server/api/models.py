"""``models/restore``: going back to an earlier version of a model."""

from typing import Any

from flask import Blueprint, Response

from elephant.io.paths import resolve_inside
from elephant_server.api.endpoint import endpoint, respond, submit
from elephant_server.api.parsing import read_body
from elephant_server.jobs.records import Outcome
from elephant_server.jobs.submit import MODEL_RESTORE
from elephant_server.schemas.models import ModelRestoreBody, Restored
from elephant_server.services import services

blueprint = Blueprint("models", __name__)


@blueprint.post("/models/restore")
@endpoint(Restored, ModelRestoreBody, is_long=True, begins_late=True)
def restore() -> Response:
    """Go back to an earlier version of a model; what it held before is kept as a version."""
    body = read_body(ModelRestoreBody)
    resolve_inside(services().settings.models_dir, body.model_name)
    return respond(submit(MODEL_RESTORE, body), _answer)


def _answer(outcome: Outcome) -> dict[str, Any]:
    return {"completed": not outcome.cancelled} | (outcome.result or {})
