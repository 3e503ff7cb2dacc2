"""Views that say what they take and give, so that the description of the API is made from them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel

View = TypeVar("View", bound=Callable[..., Any])
ATTRIBUTE = "elephant_description"


@dataclass(frozen=True, slots=True)
class Description:
    """What a view takes and gives.

    Attributes
    ----------
    answer
        The body with 200; `is_list` where it is a list of these. None where it is a file.
    body
        The JSON object that it takes, where it takes one.
    no_content
        What 204 means, where it is an answer.
    takes_upload
        Whether the same body also comes as the part `data` of a multipart request with a part `file`.
    is_form
        Whether the body is a form instead of JSON, multipart where it has a part `file`.
    file_type
        Media type of the answer where it is a file.
    query
        The parameters of the address, where it takes some.
    """

    answer: type[BaseModel] | None
    body: type[BaseModel] | None = None
    is_list: bool = False
    no_content: str | None = None
    takes_upload: bool = False
    is_form: bool = False
    file_type: str = "application/octet-stream"
    query: type[BaseModel] | None = None


def described(
    answer: type[BaseModel] | None,
    body: type[BaseModel] | None = None,
    *,
    is_list: bool = False,
    no_content: str | None = None,
    takes_upload: bool = False,
    is_form: bool = False,
    file_type: str = "application/octet-stream",
    query: type[BaseModel] | None = None,
) -> Callable[[View], View]:
    """Say what a view takes and gives; see :class:`Description`."""
    description = Description(answer, body, is_list, no_content, takes_upload, is_form, file_type, query)

    def mark(view: View) -> View:
        setattr(view, ATTRIBUTE, description)
        return view

    return mark
