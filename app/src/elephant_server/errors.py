"""Errors of the service."""

from elephant.errors import ElephantError, StorageError

__all__ = ["AlreadyRunningError", "StorageError", "UnavailableError", "UnexpectedError", "WorkerLostError"]


class AlreadyRunningError(ElephantError):
    """A training or model reset was asked for while another one is there."""


class WorkerLostError(ElephantError):
    """The worker that a piece of work was given to died, or gave it up."""


class UnavailableError(ElephantError):
    """A service that the server needs cannot be reached."""


class UnexpectedError(ElephantError):
    """Something went wrong that nobody foresaw; the log has the details."""
