"""``dataset/*`` and ``upload/*``: checking datasets, making them, and movies that come in pieces."""

import logging
from pathlib import Path

from flask import Blueprint, Response, jsonify

from elephant.dataset import check_dataset, find_movie
from elephant.dataset.readers import movies_of_other_formats
from elephant.io.paths import resolve_inside
from elephant_server.api.endpoint import BodySize, endpoint, respond, submit
from elephant_server.api.parsing import one_part, read_body, read_form
from elephant_server.jobs.submit import DATASET_GENERATE
from elephant_server.schemas.answers import Completed, Message
from elephant_server.schemas.dataset import DatasetCheckBody, DatasetGenerateBody, UploadForm
from elephant_server.services import services
from elephant_server.uploads import MovieUpload

logger = logging.getLogger(__name__)

blueprint = Blueprint("dataset", __name__)
upload = Blueprint("upload", __name__)


@blueprint.post("/dataset/check")
@endpoint(Message, DatasetCheckBody)
def check() -> Response:
    """Tell whether a dataset is ready, or the first thing that is wrong with it."""
    body = read_body(DatasetCheckBody)
    folder = resolve_inside(services().settings.datasets_dir, body.dataset_name)
    return jsonify(message=check_dataset(folder, body.shape))


@blueprint.post("/dataset/generate")
@endpoint(
    Completed,
    DatasetGenerateBody,
    no_content="There is no movie in the dataset's folder",
    is_long=True,
    begins_late=True,
)
def generate() -> Response:
    """Convert the movie in a dataset's folder; 204 where there is none."""
    body = read_body(DatasetGenerateBody)
    folder = resolve_inside(services().settings.datasets_dir, body.dataset_name)
    if find_movie(folder) is None:
        _say_what_is_there_instead(folder, body.dataset_name)
        return Response(status=204)
    job = submit(DATASET_GENERATE, body)
    return respond(job, lambda o: {"completed": not o.cancelled})


def _say_what_is_there_instead(folder: Path, name: str) -> None:
    """Log that there is a movie of another format: the client only sees that the answer is empty."""
    if others := movies_of_other_formats(folder):
        logger.warning(
            "expected an .h5 in the folder of the dataset %s, got %s: export the movie as HDF5 from BigDataViewer, or "
            "install a reader",
            name,
            others[0] if len(others) == 1 else f"{others[0]} and {len(others) - 1} more",
        )


@upload.post("/upload/image")
@upload.post("/upload", endpoint="old_image")
@endpoint(Completed, UploadForm, is_form=True, takes_upload=True, size=BodySize.LARGE, is_long=True)
def image() -> Response:
    """Take a movie in pieces: begin, go on, put it in place, or drop it."""
    form = read_form(UploadForm)
    movie = MovieUpload(services().settings.datasets_dir, form.dataset_name, form.filename)
    if form.action == "complete":
        movie.complete()
    elif form.action == "cancel":
        movie.cancel()
    else:
        part = one_part("file")
        movie.receive(None if part is None else part.stream, restart=form.action == "init")
    return jsonify(completed=True)
