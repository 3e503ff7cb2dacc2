"""The facts of an endpoint, in one place.

The description of the API, the limits of bodies, the admission of long requests and NGINX's locations are made from
them.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any, TypeVar

from flask import Flask, Response, current_app, request
from pydantic import BaseModel
from werkzeug.routing import Rule

from elephant_server.jobs.responses import FIRST_BYTE_AFTER_S, Answer
from elephant_server.jobs.submit import B, Job, Task
from elephant_server.schemas.dataset import LATE_FIRST_BYTE_AFTER_S
from elephant_server.services import services
from elephant_server.settings import Settings

View = TypeVar("View", bound=Callable[..., Any])
_ATTRIBUTE = "elephant_endpoint"
# Who asks, by the name beside the token, in the environment of a request. It is set for every request whose token was
# checked, and no header can set it.
PERSON = "elephant.person"


class BodySize(Enum):
    """How long a request's body may be."""

    SMALL = "all else"
    LARGE = "spots and pieces of a movie"
    MODEL = "models"

    def most_bytes(self, settings: Settings) -> int:
        """Return the length of the longest body."""
        if self is BodySize.SMALL:
            return 64 << 10
        return (settings.max_body_mib if self is BodySize.LARGE else settings.max_model_mib) << 20


@dataclass(frozen=True, slots=True)
class Endpoint:
    """What a view takes and gives; decorates the view.

    Attributes
    ----------
    answer
        The body with 200; `is_list` where it is a list of these. None where it is a file.
    body
        The JSON object that it takes, where it takes one.
    no_content
        What 204 means, where it is an answer.
    conflict
        What 409 means, where it is an answer.
    takes_upload
        Whether the same body also comes as the part `data` of a multipart request with a part `file`.
    is_form
        Whether the body is a form instead of JSON, multipart where it has a part `file`.
    file_type
        Media type of the answer where it is a file.
    query
        The parameters of the address, where it takes some.
    size
        How long the body may be.
    is_long
        Whether it holds a thread for longer than a moment, while a job is done or a body arrives.
    begins_late
        Whether the answer to a long one begins as late as can be, since a failure cannot be told once it has begun.
    is_streamed
        Whether the answer is a file of unknown length, which has to break where its job fails.
    is_described
        Whether the description of the API lists it.
    """

    answer: type[BaseModel] | None
    body: type[BaseModel] | None = None
    is_list: bool = False
    no_content: str | None = None
    conflict: str | None = None
    takes_upload: bool = False
    is_form: bool = False
    file_type: str = "application/octet-stream"
    query: type[BaseModel] | None = None
    size: BodySize = BodySize.SMALL
    is_long: bool = False
    begins_late: bool = False
    is_streamed: bool = False
    is_described: bool = True

    def __call__(self, view: View) -> View:
        """Attach these facts to a view."""
        setattr(view, _ATTRIBUTE, self)
        return view


endpoint = Endpoint


def endpoints(app: Flask) -> Iterator[tuple[Rule, Endpoint]]:
    """Yield the rules of an application whose views have facts, with these facts."""
    for rule in app.url_map.iter_rules():
        facts = getattr(app.view_functions[rule.endpoint], _ATTRIBUTE, None)
        if facts is not None:
            yield rule, facts


def asked_endpoint() -> Endpoint | None:
    """Return the facts of the current request's view; None if it has none."""
    view = current_app.view_functions.get(request.endpoint or "")
    return getattr(view, _ATTRIBUTE, None)


def submit(task: Task[B], body: B, file: str | None = None) -> Job:
    """Hand work over in the name of the person who asks; see :meth:`.Dispatcher.submit`."""
    return services().dispatcher.submit(task, body, file, request.environ.get(PERSON, ""))


def respond(job: Job, answer: Answer, *, drop_if_alone: bool = False) -> Response:
    """Wait for a job and answer the present request; see :meth:`.LongPollResponder.respond`."""
    facts = asked_endpoint()
    is_late = facts is not None and facts.begins_late
    first_byte_after_s = LATE_FIRST_BYTE_AFTER_S if is_late else FIRST_BYTE_AFTER_S
    return services().responder.respond(job, answer, first_byte_after_s, drop_if_alone=drop_if_alone)
