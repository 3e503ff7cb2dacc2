"""``/manual/``: the documentation, if it was built: in the checkout (``make docs``), or with the image."""

from pathlib import Path

from flask import Blueprint, Response, abort, redirect, request, send_from_directory
from werkzeug.wrappers import Response as AnyResponse

from elephant_server.services import services
from elephant_server.settings import Settings

blueprint = Blueprint("manual", __name__)

# So Sphinx begins the list of what is in a site.
_OURS = b"# Sphinx inventory version 2\n# Project: ELEPHANT server\n"


def manual_of(settings: Settings) -> Path | None:
    """Return the folder of the documentation; None if it was not built."""
    folder = settings.home / "build" / "docs"
    return folder if (folder / "index.html").is_file() and _is_ours(folder) else None


def _is_ours(folder: Path) -> bool:
    """Return whether a site is this documentation: without a checkout `home` is just where the server was started."""
    try:
        with (folder / "objects.inv").open("rb") as file:
            return file.read(len(_OURS)) == _OURS
    except OSError:  # there is none
        return False


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
