"""The page itself, at ``/``, the files that it loads, and the manual at ``/manual/``."""

import gzip
import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from flask import Blueprint, Response, abort, redirect, request, send_from_directory
from werkzeug.wrappers import Response as AnyResponse

from elephant_server.services import services
from elephant_server.settings import Settings

blueprint = Blueprint("page", __name__)


FOLDER = Path(__file__).parent / "static"
TYPES = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}
LATER = "later/"
VERSION_MARK, MODULES_MARK = b"{{ version }}", b"{{ modules }}"


@dataclass(frozen=True, slots=True)
class Asset:
    """A file of the page.

    Attributes
    ----------
    content, packed
        Its bytes, and the same compressed.
    mimetype
        Its media type.
    tag
        Changes with the content.
    """

    content: bytes
    packed: bytes
    mimetype: str
    tag: str


def read_assets(folder: Path = FOLDER) -> dict[str, Asset]:
    """Return the page's files by their names.

    The page names the others by a version that changes with any of them, so that browsers may keep them for good. It
    also names all modules, so that they are asked for at once and not one after the other; but for those in the folder
    ``later``, which most visits do not need.
    """
    files = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.suffix in TYPES}
    contents = {name: path.read_bytes() for name, path in files.items()}
    version = hashlib.sha256(b"".join(name.encode() + text for name, text in contents.items())).hexdigest()[:12]
    scripts = [name for name in contents if name.endswith(".js") and not name.startswith(LATER)]
    modules = "\n".join(f'<link rel="modulepreload" href="dashboard/static/{version}/{name}">' for name in scripts)
    return {name: _asset(name, text, version, modules) for name, text in contents.items()}


def _asset(name: str, content: bytes, version: str, modules: str) -> Asset:
    suffix = Path(name).suffix
    if suffix == ".html":
        content = content.replace(VERSION_MARK, version.encode()).replace(MODULES_MARK, modules.encode())
    tag = hashlib.sha256(content).hexdigest()[:16]
    return Asset(content, gzip.compress(content, 9, mtime=0), TYPES[suffix], tag)


A_YEAR = "private, max-age=31536000, immutable"
# Everything is served by this server, and nothing is written into the page's elements.
POLICY = "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'; object-src 'none'"
PAGE = "index.html"

assets = cache(read_assets)


@blueprint.get("/")
def index() -> Response:
    """Show the dashboard."""
    response = _send(assets()[PAGE])
    response.headers["Cache-Control"] = "no-cache"
    response.headers["Content-Security-Policy"] = POLICY
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response


@blueprint.get("/dashboard/static/<version>/<path:name>")
def file(version: str, name: str) -> Response:
    """Send a file of the page; its address changes with its content, so that it may be kept."""
    del version
    if name == PAGE or name not in assets():
        abort(404)
    response = _send(assets()[name])
    response.headers["Cache-Control"] = A_YEAR
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response


def _send(asset: Asset) -> Response:
    is_packed = request.accept_encodings.quality("gzip") > 0
    response = Response(asset.packed if is_packed else asset.content, mimetype=asset.mimetype)
    if is_packed:
        response.headers["Content-Encoding"] = "gzip"
    response.vary.add("Accept-Encoding")
    response.set_etag(f"{asset.tag}{'-gz' if is_packed else ''}")
    response.make_conditional(request)
    return response


# How Sphinx begins the inventory of this documentation.
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
