"""``download/*``: models and masks, as files."""

import math
import os
from pathlib import Path

from flask import Blueprint, Response, request, send_file

from elephant.dataset.dataset import check_is_there
from elephant.export import beginning_of_archive
from elephant.io.paths import open_inside, resolve_inside
from elephant.models.inspect import possible_names
from elephant_server.api.endpoint import BodySize, endpoint, submit
from elephant_server.api.parsing import read_body
from elephant_server.jobs.streaming import breakable, can_break, growing_file
from elephant_server.jobs.submit import CTC_EXPORT
from elephant_server.schemas.dataset import CtcBody, ModelDownloadBody
from elephant_server.services import services

blueprint = Blueprint("download", __name__)


@blueprint.post("/download/model")
@blueprint.post("/model/download", endpoint="old_model")
@endpoint(None, ModelDownloadBody, no_content="There is no such model", is_long=True)
def model() -> Response:
    """Send a model's file; 204 where there is none."""
    body = read_body(ModelDownloadBody)
    for name in possible_names(body.model_name):
        try:
            # Opened once: a training that replaces the file meanwhile changes nothing about this one.
            file = open_inside(services().settings.models_dir, name)
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            continue
        response = send_file(file, "application/octet-stream", as_attachment=True, download_name=Path(name).name)
        response.content_length = os.fstat(file.fileno()).st_size
        return response
    return Response(status=204)


@blueprint.post("/download/ctc")
@blueprint.post("/export/ctc", endpoint="old_ctc")
@endpoint(
    None,
    CtcBody,
    no_content="It was aborted",
    file_type="application/zip",
    size=BodySize.LARGE,
    is_long=True,
    is_streamed=True,
)
def ctc() -> Response:
    """Send a .zip with one mask per timepoint; 204 where it is aborted before the answer began."""
    body = read_body(CtcBody)
    # Here too: once an answer has begun, an error can only break it off.
    check_is_there(resolve_inside(services().settings.datasets_dir, body.dataset_name))
    with growing_file(services().settings.exports_dir, beginning_of_archive(body.first_name)) as file:
        job = submit(CTC_EXPORT, body, file.path.name)
        begin_after = body.begin_after if can_break(request.environ) else math.inf
        answer = services().follower.respond(job, file, "application/zip", begin_after)
        return breakable(answer, request.environ)
