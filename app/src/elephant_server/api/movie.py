"""``movie/predict``: many timepoints in one request."""

from flask import Blueprint, Response, request

from elephant.dataset import Dataset
from elephant_server.api.endpoint import PERSON, endpoint
from elephant_server.api.parsing import read_body
from elephant_server.jobs.movie import MoviePrediction, first_line, stream
from elephant_server.schemas.detection import MoviePredictBody
from elephant_server.services import services

blueprint = Blueprint("movie", __name__)


@blueprint.post("/movie/predict")
@endpoint(None, MoviePredictBody, file_type="application/x-ndjson", is_long=True)
def predict() -> Response:
    """Find the nuclei of many timepoints: a line of JSON for each as soon as it is done, then one with `completed`."""
    body, parts = read_body(MoviePredictBody), services()
    dataset = Dataset.open(parts.settings.datasets_dir, body.dataset_name)
    last = dataset.n_timepoints - 1 if body.t_end is None else body.t_end
    dataset.check_timepoint(body.t_start)
    dataset.check_timepoint(last)
    timepoints, person = range(body.t_start, last + 1), request.environ.get(PERSON, "")
    movie = MoviePrediction(parts.dispatcher, parts.job_store, body, timepoints, person)
    lines = stream(movie, first_line(movie), in_background=body.in_background)
    return Response(lines, mimetype="application/x-ndjson", headers={"X-Accel-Buffering": "no"})
