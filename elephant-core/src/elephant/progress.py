"""What long work is given: progress reporters, and cancel tokens."""

from typing import Protocol


class ProgressReporter(Protocol):
    """Receives how far a piece of work has come."""

    def progress(self, stage: str, done: int, total: int, **values: float) -> None:
        """Take note that `done` of `total` units of `stage` are finished.

        Parameters
        ----------
        stage
            What is counted: ``"timepoint"``, ``"step"``, ``"tile"``.
        done, total
            Finished units, 1 to `total`.
        values
            Numbers that belong to the unit just finished, a loss by its name for instance.
        """


class CancelToken(Protocol):
    """Tells work whether it must end."""

    def check(self) -> None:
        """Return if the work may go on; blocks while it is held.

        Raises
        ------
        elephant.errors.Cancelled
            The work must end.
        """


class NoReporter:
    """A :class:`ProgressReporter` that keeps quiet."""

    def progress(self, stage: str, done: int, total: int, **values: float) -> None:
        """Do nothing."""


class NeverCancelled:
    """A :class:`CancelToken` that lets everything go on."""

    def check(self) -> None:
        """Return at once."""
