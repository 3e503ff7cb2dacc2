"""How long a body may be, for a server without NGINX in front; ``nginx.conf`` has the same numbers."""

import re
from contextlib import suppress
from typing import Any

from flask import Flask, Response, request
from werkzeug.exceptions import ClientDisconnected
from werkzeug.wsgi import LimitedStream, get_input_stream

from elephant_server.settings import Settings

MIB = 1 << 20
SMALL = 64 << 10
_BLOCK = 1 << 18
_MODELS = re.compile(r"/((seg|flow)/reset|reset/(seg|flow))/?")
_SPOTS = re.compile(
    r"/((seg|flow)/(predict|train|update)|(predict|train|update)/(seg|flow)|download/ctc|export/ctc|upload(/image)?)/?"
)


def limit_of(path: str, settings: Settings) -> int:
    """Return the largest body, in bytes, that a request to a path may have."""
    if _MODELS.fullmatch(path):
        return settings.max_model_mib * MIB
    return settings.max_body_mib * MIB if _SPOTS.fullmatch(path) else SMALL


def too_large(settings: Settings) -> str:
    """Return what is said of a longer body."""
    return (
        f"the request is too large: spots and pieces of a movie may have {settings.max_body_mib} MiB, models "
        f"{settings.max_model_mib} MiB, everything else {SMALL >> 10} KiB; the person who started the server can "
        f"raise ELEPHANT_MAX_BODY_MIB or ELEPHANT_MAX_MODEL_MIB"
    )


def limit_bodies(app: Flask, settings: Settings) -> None:
    """Refuse longer bodies with 413 when they are read, and leave nothing of any body unread."""

    @app.before_request
    def limit() -> None:
        request.max_content_length = limit_of(request.path, settings)

    @app.after_request
    def drain(response: Response) -> Response:
        drain_body(request.environ)
        return response


def count_body(environ: dict[str, Any]) -> None:
    """Let a request's body know its end, so that what is left of it can be told."""
    environ["wsgi.input"] = get_input_stream(environ)


def drain_body(environ: dict[str, Any]) -> None:
    """Read what nobody has read: NGINX takes an answer that comes with a connection's early end for a failure."""
    stream = environ["wsgi.input"]
    if isinstance(stream, LimitedStream):
        with suppress(ClientDisconnected, OSError):
            while stream.read(_BLOCK):
                pass
