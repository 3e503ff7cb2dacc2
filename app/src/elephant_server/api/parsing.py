"""Reading request bodies: validated once, and refused with the reason in words for the person at the client."""

import reprlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

from flask import request
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails
from werkzeug.datastructures import FileStorage

from elephant.errors import InvalidInputError, reason_of
from elephant_server.errors import StorageError
from elephant_server.schemas.common import Body
from elephant_server.schemas.fields import MOST_SPOTS
from elephant_server.services import services
from elephant_server.uploads import kept_upload

B = TypeVar("B", bound=Body)

# A spot has 17 commas or a few more; the rest of a body is small.
_MOST_OF = {b"{": MOST_SPOTS + 1000, b"[": 2 * MOST_SPOTS + 1000, b",": 24 * MOST_SPOTS}
FORMS = ("multipart/form-data", "application/x-www-form-urlencoded")
MAX_REPORTED = 3
LONGEST_VALUE = 80
# By the kind of the problem: what was expected.
_EXPECTED = {
    "bool_type": "true or false (bool)",
    "dict_type": "an object",
    "finite_number": "a finite number",
    "float_type": "a number",
    "float_parsing": "a number",
    "greater_than": "a number above {gt}",
    "greater_than_equal": "a number of at least {ge}",
    "int_from_float": "an integer",
    "int_parsing": "an integer",
    "int_parsing_size": "an integer of usual size",
    "int_type": "an integer",
    "is_instance_of": "one of the known words",
    "less_than": "a number below {lt}",
    "less_than_equal": "a number of at most {le}",
    "literal_error": "{expected}",
    "model_type": "an object",
    "string_too_long": "at most {max_length} characters",
    "string_too_short": "at least {min_length} character",
    "string_type": "a text (string)",
    "too_long": "at most {max_length} elements",
    "too_short": "at least {min_length} elements",
    "tuple_type": "a list",
}
_GZIP = b"\x1f\x8b"
_SHORT = reprlib.Repr()
_SHORT.maxlevel, _SHORT.maxtuple, _SHORT.maxlist = 3, 10, 10
_SHORT.maxstring = _SHORT.maxother = LONGEST_VALUE
MOST_NAMED = 5


def read_body(model: type[B]) -> B:
    """Return the request's JSON as `model`.

    Raises
    ------
    InvalidInputError
        It is not a JSON object, or has an invalid field.
    """
    if request.mimetype != "application/json":
        raise InvalidInputError(
            f"expected a JSON object with Content-Type: application/json, got {_type()}: send it as such"
        )
    if request.content_encoding:
        raise InvalidInputError(
            f"expected plain JSON, got a body in the encoding {shortened(request.content_encoding)}: send it "
            "without a Content-Encoding"
        )
    return parse(model, request.get_data(cache=False))


def read_form(model: type[B]) -> B:
    """Return the fields of the request's form as `model`; the last value of a repeated field counts.

    Raises
    ------
    InvalidInputError
        It is not a form, or has an invalid field.
    StorageError
        Its parts are too large to be stored.
    """
    if request.mimetype not in FORMS:
        raise InvalidInputError(f"expected a form, {' or '.join(FORMS)}, got {_type()}: send it as such")
    load_parts()
    fields = {name: values[-1] for name, values in request.form.lists()}
    if not fields and not request.files:
        raise InvalidInputError(
            "expected the fields of a form, but none could be read: it is empty or cut off, or its parts are not "
            "separated by the boundary that its Content-Type (multipart/form-data; boundary=...) names"
        )
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        raise InvalidInputError(explain(error, model)) from None


def parse(model: type[B], text: bytes | str) -> B:
    """Return JSON text as `model`.

    Raises
    ------
    InvalidInputError
        It is not a JSON object, or has an invalid field.
    """
    _check_extent(text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass"))
    try:
        return model.model_validate_json(text)
    except ValidationError as error:
        (first, *_) = error.errors(include_url=False, include_input=False)
        if first["type"] == "json_invalid":
            raise InvalidInputError(explain_no_json(text, first["ctx"]["error"])) from None
        raise InvalidInputError(explain(error, model)) from None
    except RecursionError:
        raise InvalidInputError(explain_no_json(text, "recursion")) from None


def _check_extent(text: bytes) -> None:
    """Refuse JSON of more parts than any request has, before each of them takes hundreds of bytes of memory."""
    for sign, most in _MOST_OF.items():
        count = text.count(sign)
        if count > most:
            raise InvalidInputError(
                f"the body is too long: expected at most {MOST_SPOTS:,} spots, got JSON with {count:,} times "
                f"'{sign.decode()}'; send it in several requests"
            )


def load_parts() -> None:
    """Read the parts of the request's form, large ones onto the disk.

    Raises
    ------
    StorageError
        They are too large to be stored.
    """
    try:
        len(request.form)
    except OSError as error:
        raise StorageError(
            f"the request cannot be stored ({reason_of(error)}): make room on the server's disk"
        ) from error


def one_part(name: str) -> FileStorage | None:
    """Return the file that came as a part of the request's form; None where there is none.

    Raises
    ------
    InvalidInputError
        There is more than one.
    """
    parts = request.files.getlist(name)
    if len(parts) > 1:
        raise InvalidInputError(f"expected one part `{name}`, got {len(parts)}: send one file at a time")
    return parts[0] if parts else None


def _type() -> str:
    return repr(request.mimetype) if request.mimetype else "no type"


def explain(error: ValidationError, model: type[BaseModel] | None = None) -> str:
    """Describe the first few problems: what was expected and where, what was found, and what to do.

    Parameters
    ----------
    model
        Whose fields they are; what it says of them is repeated.
    """
    problems = error.errors(include_url=False)
    fields = {} if model is None else model.model_fields
    lines = [_explain_one(problem, fields) for problem in problems[:MAX_REPORTED]]
    more = len(problems) - len(lines)
    return "; ".join(lines) + (f"; and {more} more" if more > 0 else "")


def explain_no_json(text: bytes | str, reason: str) -> str:
    """Describe why a body is not JSON.

    Parameters
    ----------
    text
        The body.
    reason
        What the parser says of it.
    """
    shown = shortened(text)
    if not text.strip():
        why = "it is empty"
    elif isinstance(text, bytes) and text.startswith(_GZIP):
        why = "it is compressed (gzip)"
    elif "recursion" in reason:
        why = "it is nested too deeply"
    elif "out of range" in reason:
        why = f"it holds a number of thousands of digits ({reason})"
    elif "EOF" in reason:
        why = f"it is cut off ({reason})"
    else:
        why = f"it begins with {shown} ({reason})"
    return f"expected a JSON object in UTF-8, but the body is not JSON: {why}; send it again, as plain JSON"


def shortened(value: Any) -> str:
    """Return a value as text, shortened; large values are never written out in full."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, bytes):
        value = value[: LONGEST_VALUE * 2]
    try:
        text = _SHORT.repr(value)
    except ValueError:  # Python does not write out integers of more than some thousand digits
        return "a number of thousands of digits"
    return text if len(text) <= LONGEST_VALUE else text[: LONGEST_VALUE - 3] + "..."


def _explain_one(problem: ErrorDetails, fields: Mapping[str, FieldInfo]) -> str:
    place, kind = problem["loc"], problem["type"]
    where = ".".join(str(part) for part in place)
    if kind == "missing":
        return _explain_missing(place, where)
    if kind == "value_error":
        message = problem["msg"].removeprefix("Value error, ")
        return message if not where or message.startswith(where) else f"{where}: {message}"
    if kind in _EXPECTED:
        numbers = problem.get("ctx", {}).items()
        expected = _EXPECTED[kind].format(**{n: f"{v:g}" if isinstance(v, float) else v for n, v in numbers})
    else:
        expected = problem["msg"][:1].lower() + problem["msg"][1:]
    got = f"{where or 'the body'}: expected {expected}, got {shortened(problem['input'])}"
    field = fields.get(str(place[0])) if place else None
    if field is None:
        return f"{got}: send what the client sends"
    return f"{got} ({field.description}): {'change it in the client' if len(place) == 1 else 'correct it'}"


def _explain_missing(place: tuple[int | str, ...], where: str) -> str:
    last = place[-1] if place else ""
    if isinstance(last, int):
        whole = ".".join(str(part) for part in place[:-1])
        return f"{whole}: expected more than {last} elements, got only {last}: send all of them"
    return f"{where}: field required, but it is missing: recent clients send it"


@contextmanager
def read_reset(model: type[B]) -> Iterator[tuple[B, str | None]]:
    """Give the request's body as `model`, and the name of the model file that came with it.

    If the block fails, the file is removed here; otherwise the job removes it, or the view if the job is aborted.

    Raises
    ------
    InvalidInputError
        The request is neither JSON nor multipart with both parts, or has an invalid field.
    StorageError
        The model file cannot be kept.
    """
    if request.mimetype != "multipart/form-data":
        yield read_body(model), None
        return
    load_parts()
    upload = one_part("file")
    if "data" not in request.form or upload is None:
        got = ", ".join(f"`{name}`" for name in [*request.form, *request.files][:MOST_NAMED]) or "none"
        raise InvalidInputError(
            f"expected multipart with the parts `data` (JSON) and `file` (a .pth), got {got}: send both"
        )
    body = parse(model, request.form["data"])
    with kept_upload(upload, services().settings.models_dir) as path:
        yield body, path.name
