"""What all views share: their query, and admission: a few at a time, so that looking never slows down the work."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import ParamSpec, TypeVar

from flask import Response, request

from elephant.dataset import Dataset
from elephant_server.api.errors import error_response
from elephant_server.schemas.dashboard import DatasetQuery, Query
from elephant_server.services import services

P = ParamSpec("P")
Q = TypeVar("Q", bound=Query)

WAIT_S = 10.0
# Reading for the page, in this process: the quick requests of the client need the threads that are left.
N_READING, N_WAITING = 2, 2


def read_query(model: type[Q]) -> Q:
    """Return the parameters of the request's address as `model`.

    Raises
    ------
    pydantic.ValidationError
        Something in them is not as it should be.
    """
    return model.model_validate(request.args.to_dict())


def asked_dataset(query: DatasetQuery) -> Dataset:
    """Return the dataset that is asked for.

    Raises
    ------
    elephant.errors.InvalidInputError, elephant.errors.NotFoundError, elephant.errors.DatasetError
        Its name leads out of the datasets, it does not exist, or it is damaged.
    """
    return Dataset.open(services().settings.datasets_dir, query.dataset)


class BusyError(Exception):
    """Too many ask for the same kind of work."""


class Admission:
    """Lets a few at a time work and a few more wait, in this process; sends the others away.

    Parameters
    ----------
    n_working, n_waiting
        How many.
    wait_s
        How long one waits before it is sent away too.
    """

    def __init__(self, n_working: int, n_waiting: int = 0, wait_s: float = WAIT_S) -> None:
        self._admitted = threading.BoundedSemaphore(n_working + n_waiting)
        self._working = threading.BoundedSemaphore(n_working)
        self._wait_s = wait_s

    @contextmanager
    def admit(self) -> Iterator[None]:
        """Wait for admission and keep it inside the block.

        Raises
        ------
        BusyError
            Too many wait already, or it took too long.
        """
        release = self.take()
        try:
            yield
        finally:
            release()

    def take(self) -> Callable[[], None]:
        """Wait for admission; return the function that gives it back.

        Raises
        ------
        BusyError
            As for :meth:`admit`.
        """
        if not self._admitted.acquire(blocking=False):
            raise BusyError
        if not self._working.acquire(timeout=self._wait_s):
            self._admitted.release()
            raise BusyError

        def release() -> None:
            self._working.release()
            self._admitted.release()

        return release


_reading = Admission(N_READING, N_WAITING)


def admitted(view: Callable[P, Response]) -> Callable[P, Response]:
    """Make a view that reads files wait for admission; it answers 503 where too many wait."""

    @wraps(view)
    def waiting(*args: P.args, **kwargs: P.kwargs) -> Response:
        try:
            with _reading.admit():
                return view(*args, **kwargs)
        except BusyError:
            return busy()

    return waiting


def busy() -> Response:
    """Return the answer for those who are not admitted."""
    response = error_response("too many requests for this at once: try again in a few seconds", 503)
    response.headers["Retry-After"] = "3"
    return response
