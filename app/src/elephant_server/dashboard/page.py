"""The page itself, at ``/``, and the files that it loads."""

from functools import cache

from flask import Blueprint, Response, abort, request

from elephant_server.dashboard.assets import Asset, read_assets

blueprint = Blueprint("page", __name__)

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
