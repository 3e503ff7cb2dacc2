"""What a check finds."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path


class Status(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found.

    Attributes
    ----------
    name
        What was looked at, in a word.
    status
        Whether all is well. A problem keeps something from working.
    message
        What was found.
    remedy
        What to do about it; empty where all is well.
    """

    name: str
    status: Status
    message: str
    remedy: str = ""


def ok(name: str, message: str) -> Finding:
    """Return a finding that all is well."""
    return Finding(name, Status.OK, message)


def warning(name: str, message: str, remedy: str) -> Finding:
    """Return a finding of something that could be better."""
    return Finding(name, Status.WARNING, message, remedy)


def problem(name: str, message: str, remedy: str) -> Finding:
    """Return a finding of something that does not work."""
    return Finding(name, Status.PROBLEM, message, remedy)


# A check is given the workspace, or none where there is none.
Check = Callable[[Path | None], Iterable[Finding]]
