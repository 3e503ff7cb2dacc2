"""Limits of request bodies, for a server without NGINX in front."""

from contextlib import suppress
from typing import Any

from flask import Flask, Response, request
from werkzeug.exceptions import ClientDisconnected
from werkzeug.wsgi import LimitedStream, get_input_stream

from elephant_server.api.endpoint import BodySize, endpoints
from elephant_server.settings import Settings

_BLOCK = 1 << 18


class BodyLimits:
    """The largest bodies that an application accepts.

    Parameters
    ----------
    app
        The application, whose endpoints declare the limits.
    settings
        The settings of the limits.
    """

    def __init__(self, app: Flask, settings: Settings) -> None:
        self._settings = settings
        self._most = {rule.rule: facts.size.most_bytes(settings) for rule, facts in endpoints(app)}
        self.small = BodySize.SMALL.most_bytes(settings)

    def of(self, path: str) -> int:
        """Return the length, in bytes, of the largest body that a request to a path may have."""
        return self._most.get(path) or self._most.get(path.removesuffix("/"), self.small)

    def too_large(self) -> str:
        """Return the error message for a longer body."""
        return (
            f"the request is too large: spots and pieces of a movie may have {self._settings.max_body_mib} MiB, models "
            f"{self._settings.max_model_mib} MiB, everything else {self.small >> 10} KiB; the person who started "
            "the server can raise ELEPHANT_MAX_BODY_MIB or ELEPHANT_MAX_MODEL_MIB"
        )


def limit_bodies(app: Flask, settings: Settings) -> None:
    """Refuse longer bodies with 413 when they are read, and read every body to its end."""
    limits = BodyLimits(app, settings)

    @app.before_request
    def limit() -> None:
        request.max_content_length = limits.of(request.path)

    @app.after_request
    def drain(response: Response) -> Response:
        drain_body(request.environ)
        return response


def count_body(environ: dict[str, Any]) -> None:
    """Make a request's body know its length, so that the unread part is known."""
    environ["wsgi.input"] = get_input_stream(environ)


def drain_body(environ: dict[str, Any]) -> None:
    """Read the rest of a body: NGINX treats an answer on a connection that closes early as a failure."""
    stream = environ["wsgi.input"]
    if isinstance(stream, LimitedStream):
        with suppress(ClientDisconnected, OSError):
            while stream.read(_BLOCK):
                pass
