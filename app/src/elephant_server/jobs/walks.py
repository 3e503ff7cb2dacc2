"""Walks over time: which predictions were asked for lately, and which are likely to be asked for next.

Who asks for a timepoint, then for one beside it with the same settings, walks in that direction. A client that links
backwards asks for nuclei and for links in turn: both are walks then. No clock plays a part, only the order of requests.
"""

import json
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from typing import NamedTuple

from elephant_server.jobs.store_memory import Document, Effects, Store
from elephant_server.schemas.detection import SegPredictBody
from elephant_server.schemas.flow import FlowPredictBody

MOST_REMEMBERED = 8
_BESIDE = 3  # how many requests ago the other half of a walk in turns was asked for at most
_NAME = "walks"

PredictBody = SegPredictBody | FlowPredictBody


@dataclass(frozen=True, slots=True)
class Request:
    """A prediction that was asked for.

    Attributes
    ----------
    task
        Name of its task.
    person
        Who asked; empty where nobody knows.
    dataset_name, timepoint
        Where.
    settings
        All else that it said, but for spots, as a text.
    """

    task: str
    person: str
    dataset_name: str
    timepoint: int
    settings: str

    @classmethod
    def of(cls, task: str, person: str, body: PredictBody) -> "Request":
        """Return the request of a body."""
        return cls(task, person, body.dataset_name, body.timepoint, settings_of(body))

    def is_like(self, other: "Request") -> bool:
        """Tell whether it is the same request, but for the timepoint."""
        return (self.task, self.person, self.settings) == (other.task, other.person, other.settings)


class Step(NamedTuple):
    """A prediction that is likely to be asked for.

    Attributes
    ----------
    task
        Name of its task.
    timepoint
        Which timepoint; it need not exist.
    settings
        As of :class:`Request`.
    """

    task: str
    timepoint: int
    settings: str


def settings_of(body: PredictBody) -> str:
    """Return all that a prediction is asked for with, but for the timepoint and spots, as a text."""
    return body.model_dump_json(exclude={"timepoint", "spots"})


def next_steps(requests: Sequence[Request], n_timepoints: int) -> list[Step]:
    """Return what is likely to be asked for next, the likeliest first.

    Parameters
    ----------
    requests
        What was asked for, the oldest first.
    n_timepoints
        How far to look.
    """
    if not requests:
        return []
    newest = requests[-1]
    beside = [
        request
        for request in requests[-1 - _BESIDE : -1]
        if (request.person, request.dataset_name) == (newest.person, newest.dataset_name)
        and request.task != newest.task
    ]
    # What is asked for in turns goes on with the one that was not asked for last.
    walks = [(walk, _direction(requests, walk)) for walk in (*beside[-1:], newest)]
    return [
        Step(walk.task, walk.timepoint + distance * direction, walk.settings)
        for distance in range(1, n_timepoints + 1)
        for walk, direction in walks
        if direction and walk.timepoint + distance * direction >= 0
    ]


def _direction(requests: Sequence[Request], last: Request) -> int:
    """Return 1 or -1 where a request goes on from the one like it before; 0 where it does not."""
    like = [request for request in requests if request.is_like(last)]
    step = like[-1].timepoint - like[-2].timepoint if len(like) > 1 else 0
    return step if abs(step) == 1 else 0


class Walks:
    """The last requests for predictions, which all workers share.

    Over Redis every method may raise :class:`redis.exceptions.RedisError`.

    Parameters
    ----------
    store
        Where they are kept.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def add(self, request: Request) -> None:
        """Take note of a request."""

        def change(document: Document, _: Effects) -> None:
            document["requests"] = [*document.get("requests", []), astuple(request)][-MOST_REMEMBERED:]

        self._store.update(_NAME, change)

    def requests(self) -> list[Request]:
        """Return the last requests, the oldest first."""
        return [Request(*values) for values in self._store.read(_NAME).get("requests", [])]


def body_of(kind: type[PredictBody], step: Step) -> PredictBody:
    """Return a body that asks for a step, without spots."""
    return kind.model_validate_json(json.dumps({**json.loads(step.settings), "timepoint": step.timepoint}))
