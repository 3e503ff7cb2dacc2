"""Reading request bodies: validated once, refused with the reason."""

from typing import TypeVar

from flask import request
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from elephant.errors import InvalidInputError
from elephant_server.errors import StorageError
from elephant_server.schemas.base import Body

B = TypeVar("B", bound=Body)

MAX_REPORTED = 3
LONGEST_VALUE = 80
FORMS = ("multipart/form-data", "application/x-www-form-urlencoded")


def read_body(model: type[B]) -> B:
    """Return the request's JSON as `model`.

    Raises
    ------
    InvalidInputError
        It is no JSON object, or something in it is not as it should be.
    """
    if request.mimetype != "application/json":
        raise InvalidInputError(
            f"expected a JSON object with Content-Type: application/json, but {request.mimetype or 'no type'!r} came"
        )
    return parse(model, request.get_data(cache=False))


def read_form(model: type[B]) -> B:
    """Return the fields of the request's form as `model`, of a repeated one the last.

    Raises
    ------
    InvalidInputError
        It is no form, or something in it is not as it should be.
    StorageError
        The parts that came with it are too large to be kept.
    """
    if request.mimetype not in FORMS:
        raise InvalidInputError(f"expected a form, {' or '.join(FORMS)}, but {request.mimetype or 'no type'!r} came")
    try:
        fields = {name: values[-1] for name, values in request.form.lists()}
    except OSError as error:
        raise StorageError(f"what came cannot be kept ({error.strerror}): make room on the server's disk") from error
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        raise InvalidInputError(explain(error)) from None


def parse(model: type[B], text: bytes | str) -> B:
    """Return JSON text as `model`.

    Raises
    ------
    InvalidInputError
        It is no JSON object, or something in it is not as it should be.
    """
    try:
        return model.model_validate_json(text)
    except ValidationError as error:
        raise InvalidInputError(explain(error)) from None
    except RecursionError:
        raise InvalidInputError("the JSON is nested too deeply") from None


def explain(error: ValidationError) -> str:
    """Return what is wrong, where, and what came instead, the first few problems."""
    problems = error.errors(include_url=False)
    lines = [_explain_one(problem) for problem in problems[:MAX_REPORTED]]
    more = len(problems) - len(lines)
    return "; ".join(lines) + (f"; and {more} more" if more > 0 else "")


def _explain_one(problem: ErrorDetails) -> str:
    where = ".".join(str(part) for part in problem["loc"])
    message = problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "value_error":
        return message if not where or message.startswith(where) else f"{where}: {message}"
    value = repr(problem["input"])
    shown = value if len(value) <= LONGEST_VALUE else value[: LONGEST_VALUE - 3] + "..."
    return f"{where or 'the body'}: {message[:1].lower()}{message[1:]}, but {shown} came"
