"""Errors of the service."""

from elephant.errors import ElephantError, StorageError

__all__ = [
    "AlreadyRunningError",
    "StackError",
    "StorageError",
    "UnavailableError",
    "UnexpectedError",
    "WorkerLostError",
]


class AlreadyRunningError(ElephantError):
    """A training or model reset was requested while another one is queued or running."""


class WorkerLostError(ElephantError):
    """The worker that ran a job died, or gave the job up."""


class UnavailableError(ElephantError):
    """A service that the server needs cannot be reached."""


class UnexpectedError(ElephantError):
    """An unexpected error; the log has the details."""


class StackError(ElephantError):
    """The server cannot start, or cannot go on; the message says why and what to do about it."""
