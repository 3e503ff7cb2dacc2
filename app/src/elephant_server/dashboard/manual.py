"""``/manual/``: the documentation, where it was made in the checkout (``make docs``)."""

from pathlib import Path

from flask import Blueprint, Response, abort, redirect, request, send_from_directory
from werkzeug.wrappers import Response as AnyResponse

from elephant_server.services import services
from elephant_server.settings import Settings

blueprint = Blueprint("manual", __name__)


def manual_of(settings: Settings) -> Path | None:
    """Return the folder of the documentation; None where it was not made."""
    folder = settings.home / "build" / "docs"
    # Its sources say that it is ours: without a checkout `home` is just where the server was started.
    is_ours = (settings.home / "docs" / "_documenting").is_dir()
    return folder if is_ours and (folder / "index.html").is_file() else None


@blueprint.get("/manual/")
@blueprint.get("/manual/<path:name>")
def page(name: str = "index.html") -> AnyResponse:
    """Send a page of the documentation, or a file that one needs."""
    folder = manual_of(services().settings)
    if folder is None:
        abort(404)
    if request.path == "/manual":  # its links are relative
        return redirect("manual/")
    answer: Response = send_from_directory(folder, name)
    answer.headers["Cache-Control"] = "no-cache"
    return answer
