"""Reading request bodies: validated once, refused with the reason."""

from typing import TypeVar

from flask import request
from pydantic import ValidationError
from werkzeug.datastructures import FileStorage

from elephant.errors import InvalidInputError, reason_of
from elephant_server.api.explaining import explain, explain_no_json, shortened
from elephant_server.errors import StorageError
from elephant_server.schemas.base import Body
from elephant_server.schemas.spots import MOST_SPOTS

B = TypeVar("B", bound=Body)

# A spot has 17 commas, or some more; other parts of a body are few.
_MOST_OF = {b"{": MOST_SPOTS + 1000, b"[": 2 * MOST_SPOTS + 1000, b",": 24 * MOST_SPOTS}
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
            f"expected a JSON object with Content-Type: application/json, but {_type()} came: send it as such"
        )
    if request.content_encoding:
        raise InvalidInputError(
            f"expected plain JSON, but a body came that is said to be {shortened(request.content_encoding)}: send it "
            "without a Content-Encoding"
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
        raise InvalidInputError(f"expected a form, {' or '.join(FORMS)}, but {_type()} came: send it as such")
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
        It is no JSON object, or something in it is not as it should be.
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
    """Refuse JSON of more parts than any request has, before memory is taken for each: hundreds of bytes for two."""
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
        They are too large to be kept.
    """
    try:
        len(request.form)
    except OSError as error:
        raise StorageError(f"what came cannot be kept ({reason_of(error)}): make room on the server's disk") from error


def one_part(name: str) -> FileStorage | None:
    """Return the file that came as a part of the request's form; None where there is none.

    Raises
    ------
    InvalidInputError
        There is more than one of them: which is meant?
    """
    parts = request.files.getlist(name)
    if len(parts) > 1:
        raise InvalidInputError(f"expected one part `{name}`, but {len(parts)} came: send one file at a time")
    return parts[0] if parts else None


def _type() -> str:
    return repr(request.mimetype) if request.mimetype else "no type"
