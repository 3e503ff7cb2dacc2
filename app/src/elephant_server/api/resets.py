"""Reading a request that starts a model anew, perhaps with a model file."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

from flask import request

from elephant.errors import InvalidInputError
from elephant_server.api.parsing import load_parts, one_part, parse, read_body
from elephant_server.schemas.common import Body
from elephant_server.services import services
from elephant_server.uploads import kept_upload

B = TypeVar("B", bound=Body)

MOST_NAMED = 5


@contextmanager
def read_reset(model: type[B]) -> Iterator[tuple[B, str | None]]:
    """Give the request's body as `model`, and the name of the model file that came with it.

    Whoever takes the request inside the block removes the file; where the block fails, it is removed here.

    Raises
    ------
    InvalidInputError
        The request is neither JSON nor multipart with both parts, or something in it is not as it should be.
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
