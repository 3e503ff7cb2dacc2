"""``upload/*``: movies, in pieces."""

from flask import Blueprint, Response, jsonify

from elephant_server.api.endpoint import BodySize, endpoint
from elephant_server.api.parsing import one_part, read_form
from elephant_server.schemas.answers import Completed
from elephant_server.schemas.dataset import UploadForm
from elephant_server.services import services
from elephant_server.uploads import MovieUpload

blueprint = Blueprint("upload", __name__)


@blueprint.post("/upload/image")
@blueprint.post("/upload", endpoint="old_image")
@endpoint(Completed, UploadForm, is_form=True, takes_upload=True, size=BodySize.LARGE, is_long=True)
def image() -> Response:
    """Take a movie in pieces: begin, go on, put it in place, or drop it."""
    form = read_form(UploadForm)
    upload = MovieUpload(services().settings.datasets_dir, form.dataset_name, form.filename)
    if form.action == "complete":
        upload.complete()
    elif form.action == "cancel":
        upload.cancel()
    else:
        part = one_part("file")
        upload.receive(None if part is None else part.stream, restart=form.action == "init")
    return jsonify(completed=True)
