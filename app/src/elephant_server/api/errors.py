"""Exceptions to answers, in one place.

The client shows `error` for 500, and for 400 of some requests; for anything else it shows the status line. So a short
form of each message goes there too, and the whole message to its log window.
"""

import logging

from flask import Flask, Response, jsonify, request
from pydantic import ValidationError
from redis.exceptions import DataError, RedisError, ResponseError
from werkzeug.exceptions import HTTPException, MethodNotAllowed, NotFound, RequestEntityTooLarge

from elephant.errors import (
    ConflictError,
    DatasetError,
    ElephantError,
    InvalidInputError,
    ModelFileError,
    NotFoundError,
)
from elephant_server.api.parsing import explain, shortened
from elephant_server.errors import AlreadyRunningError, UnavailableError

logger = logging.getLogger(__name__)

LONGEST_REASON = 200
_STATUS: tuple[tuple[type[ElephantError], int], ...] = (
    (InvalidInputError, 400),
    (DatasetError, 400),
    (ModelFileError, 400),
    (NotFoundError, 404),
    (ConflictError, 409),
    (UnavailableError, 503),
    # The client shows the text of every 500, but of few other errors.
    (AlreadyRunningError, 500),
)


def register(app: Flask) -> None:
    """Answer every exception of an application with JSON."""
    app.register_error_handler(ElephantError, _answer_known)
    app.register_error_handler(ValidationError, _answer_invalid)
    app.register_error_handler(RedisError, _answer_redis)
    app.register_error_handler(HTTPException, _answer_http)
    app.register_error_handler(Exception, _answer_unexpected)


def error_response(message: str, status: int) -> Response:
    """Return a JSON object with `error`, and the message's short form as the reason phrase."""
    response = jsonify(error=message)
    response.status = f"{status} {reason_phrase(message)}"
    return response


def reason_phrase(message: str) -> str:
    """Return a message as one line of Latin-1 that fits into a status line."""
    line = " ".join(message.split())
    printable = "".join(c if c.isprintable() else " " for c in line)
    short = printable if len(printable) <= LONGEST_REASON else printable[: LONGEST_REASON - 3] + "..."
    return short.encode("latin-1", "replace").decode("latin-1")


def status_of(error: ElephantError) -> int:
    """Return the status that an error is answered with."""
    return next((status for kind, status in _STATUS if isinstance(error, kind)), 500)


def _answer_known(error: ElephantError) -> Response:
    _log(str(error))
    return error_response(str(error), status_of(error))


def _answer_invalid(error: ValidationError) -> Response:
    """Answer a body whose values are valid one by one, but not together."""
    return _answer_known(InvalidInputError(explain(error)))


def _answer_redis(error: RedisError) -> Response:
    """Answer an error of Redis: 503 while it is unavailable, 500 for a command that it refuses, which is our fault."""
    if isinstance(error, ResponseError | DataError):
        return _answer_unexpected(error)
    message = f"the state cannot be reached ({error}): Redis is down or starting, try again in some seconds"
    _log(message)
    return error_response(message, 503)


def _log(message: str) -> None:
    """Log an error to the client's log window, except those of the dashboard, which polls and shows its own."""
    is_of_dashboard = (request.blueprint or "").startswith("dashboard")
    logger.log(logging.DEBUG if is_of_dashboard else logging.ERROR, "%s: %s", request.path.strip("/"), message)


def _answer_http(error: HTTPException) -> Response:
    """Answer a request that Flask or Werkzeug refuses before a view sees it."""
    response = error_response(_in_words(error), error.code or 500)
    if isinstance(error, MethodNotAllowed):
        response.allow.update(error.valid_methods or ())
    return response


def _in_words(error: HTTPException) -> str:
    if isinstance(error, MethodNotAllowed):
        expected = " or ".join(sorted(set(error.valid_methods or ()) - {"HEAD", "OPTIONS"}))
        return f"expected {expected} at {_path()}, got {request.method}: is the address the right one?"
    if isinstance(error, NotFound):
        return f"there is nothing at the path {_path()}: check the address; /docs lists what there is"
    if isinstance(error, RequestEntityTooLarge):
        return "the form is too large: expected fields of at most 500 kB and at most 1000 parts; send less at a time"
    return f"{error.name}: {error.description}"


def _path() -> str:
    return shortened(request.path)


def _answer_unexpected(error: Exception) -> Response:
    logger.error("Unexpected error at %s", request.path, exc_info=error)
    return error_response(f"unexpected {type(error).__name__}: {error}; the server's log has the details", 500)
