"""The contract of the bulletin: what the server tells whoever looks at it, its last lines and how far each job is.

Nothing is decided by it. It may be lost at any time, and nobody who works waits for it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from elephant_server.state.results import Result

Fields = dict[str, Any]

# Of so many jobs, and of so many datasets, it is known what was said of them; none of longer ago matters.
MOST_KEPT = 50


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the log.

    Attributes
    ----------
    at
        When it was written, seconds since 1970.
    level
        ``INFO``, ``WARNING`` and so on.
    text
        What it says.
    id
        Its place among all lines; empty where it has none yet.
    """

    at: float
    level: str
    text: str
    id: str = ""


@dataclass(frozen=True, slots=True)
class News:
    """What is put on the bulletin at once.

    Attributes
    ----------
    lines
        New lines, the oldest first.
    jobs
        By the id of a job what is known of it; fields that were put there before and are not named stay.
    datasets
        By the name of a dataset what requests said of it; as for jobs.
    results
        What predictions found, the oldest first.
    """

    lines: Sequence[Line] = ()
    jobs: Mapping[str, Fields] | None = None
    datasets: Mapping[str, Fields] | None = None
    results: Sequence[Result] = ()


class ActivityFeed(Protocol):
    """The last lines of the log, what is known of jobs and datasets, and what the last predictions found."""

    def put(self, news: News) -> None:
        """Add to it; the oldest lines, jobs and results are let go."""

    def lines(self, after: str = "") -> list[Line]:
        """Return the lines that it still has, or those after the one with this id, the oldest first."""

    def wait_for_lines(self, after: str, timeout_s: float) -> list[Line]:
        """Return the lines after an id, as soon as there are any; none after so many seconds."""

    def last_id(self) -> str:
        """Return the id of the newest line; one that comes before all where there is none."""

    def jobs(self, ids: Sequence[str]) -> list[Fields]:
        """Return what is known of jobs, in their order."""

    def latest_job(self) -> str:
        """Return the id of the job that began last, empty where there was none: it may have come and gone unseen."""

    def dataset(self, name: str) -> Fields:
        """Return what requests said of a dataset."""

    def results(self) -> list[Result]:
        """Return what the last predictions found, without the nuclei, the newest first."""

    def result(self, result_id: str) -> Result | None:
        """Return what a prediction found; none where that was let go."""
