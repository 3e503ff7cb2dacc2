"""``dashboard/api/learning``: how good a model was, by epoch, on what was held out of its trainings."""

from flask import Blueprint, Response, jsonify

from elephant.errors import NotFoundError
from elephant.io.paths import resolve_inside
from elephant.models.provenance import HeldOutScore, ProvenanceEntry
from elephant_server.api.endpoint import endpoint
from elephant_server.dashboard.models import provenance_known
from elephant_server.dashboard.views import admitted, read_query
from elephant_server.schemas.models import EpochScore, LearningAnswer, LearningCurve, ModelQuery
from elephant_server.services import services

blueprint = Blueprint("dashboard_learning", __name__)

MOST_CURVES, MOST_POINTS = 10, 200


@blueprint.get("/dashboard/api/learning")
@endpoint(LearningAnswer, query=ModelQuery)
@admitted
def get_learning() -> Response:
    """Tell how good a model was, by epoch, on what was held out of its trainings; the newest training first."""
    name = read_query(ModelQuery).model
    path = resolve_inside(services().settings.models_dir, name)
    if not path.is_file():
        raise NotFoundError(f"there is no model {name}: check its name")
    judged = [entry for entry in provenance_known(path).entries if entry.curve]
    answer = LearningAnswer(curves=[_curve(entry) for entry in reversed(judged[-MOST_CURVES:])])
    return jsonify(answer.model_dump())


def _curve(entry: ProvenanceEntry) -> LearningCurve:
    """Return the curve of a training; the epochs that are named are in it, though it may have been thinned."""
    last_score = entry.held_out if entry.last is None else entry.last_held_out
    kept = _epoch(entry.epochs, entry.held_out)
    last = _epoch(entry.last_epochs, last_score) if entry.last is not None else kept
    named = {one.epoch: one.value for one in (kept, last) if one is not None}
    is_as_before = kept is not None and kept.epoch == 0
    points = sorted((dict(entry.curve[-MOST_POINTS:]) | named).items())
    sign = 1 if entry.curve_of == "f1" else -1
    best, _ = max(points, key=lambda point: (point[0] > 0 or is_as_before, sign * point[1], point[0]))
    return LearningCurve(
        began=entry.began,
        saved=entry.saved,
        dataset=entry.dataset or "",
        figure=entry.curve_of,
        n_held_out=0 if entry.held_out is None else entry.held_out.n_nuclei,
        epochs=[epoch for epoch, _ in points],
        values=[value for _, value in points],
        best=best,
        kept=kept,
        last=last,
        last_version=entry.last,
        said=list(entry.said),
    )


def _epoch(epoch: int, score: HeldOutScore | None) -> EpochScore | None:
    """Return how good an epoch was; none where it was not judged."""
    if score is None:
        return None
    return EpochScore(epoch=epoch, value=score.value, precision=score.precision, recall=score.recall)
