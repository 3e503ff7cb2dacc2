"""Progress reporters and cancel tokens, which long-running functions take."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol


class ProgressReporter(Protocol):
    """Receives the progress of a job."""

    def progress(self, stage: str, done: int, total: int, **values: float) -> None:
        """Report that `done` of `total` units of `stage` are finished.

        Parameters
        ----------
        stage
            The unit that is counted: ``"timepoint"``, ``"step"``, ``"tile"``.
        done, total
            Finished units, 1 to `total`.
        values
            Values of the unit just finished, by name, such as losses.
        """


class CancelToken(Protocol):
    """Tells a job whether to stop."""

    def check(self) -> None:
        """Return if the job may go on; block while it is paused.

        Raises
        ------
        elephant.errors.Cancelled
            The job must stop.
        """


class NoReporter:
    """A :class:`ProgressReporter` that reports nothing."""

    def progress(self, stage: str, done: int, total: int, **values: float) -> None:
        """Do nothing."""


class NeverCancelled:
    """A :class:`CancelToken` that never cancels."""

    def check(self) -> None:
        """Return at once."""


_token: ContextVar[CancelToken | None] = ContextVar("cancel token", default=None)


@contextmanager
def cancelled_by(token: CancelToken) -> Iterator[None]:
    """Let a token also stop what waits for other machines within the block, however deep inside.

    Reading an image takes no token: from a disk it takes no time.
    """
    before = _token.set(token)
    try:
        yield
    finally:
        _token.reset(before)


def current_token() -> CancelToken:
    """Return the token of the block around, or one that never cancels."""
    return _token.get() or NeverCancelled()
