"""Who is teaching, and by which request: what the entries written within a block say of it."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Author:
    """Who teaches.

    Attributes
    ----------
    who
        A person's name; None where nobody is known.
    request
        What was asked for, such as ``seg/update`` or ``elephant train``.
    """

    who: str | None = None
    request: str | None = None


_author: ContextVar[Author] = ContextVar("author of annotations", default=Author())  # noqa: B039 - it is frozen


@contextmanager
def recorded_as(request: str, who: str | None = None) -> Iterator[None]:
    """Name the request, and the person where one is known, in all entries that are written within the block."""
    before = _author.set(Author(who, request))
    try:
        yield
    finally:
        _author.reset(before)


def current_author() -> Author:
    """Return who teaches in the block around."""
    return _author.get()
