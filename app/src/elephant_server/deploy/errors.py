"""Errors that keep the server from starting."""

from elephant.errors import ElephantError


class StackError(ElephantError):
    """The server cannot start, or cannot go on; the message says why and what to do about it."""
