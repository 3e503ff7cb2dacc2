"""Waiting for what a job says, through a short absence of Redis.

When Redis is back it is empty: a running job is entered again by its worker within seconds, a queued one is lost.
"""

import time
from collections.abc import Callable
from typing import TypeVar

from redis.exceptions import RedisError

from elephant_server.errors import UnavailableError, WorkerLostError
from elephant_server.jobs.submit import Job
from elephant_server.state import Board

LOOK_INTERVAL_S = 2.0
AWAY_S = 12.0
MISSING_S = 8.0
PAUSE_S = 0.5

T = TypeVar("T")


class Patience:
    """Looks for one job, and says when there is nothing to wait for any more.

    Parameters
    ----------
    board
        Where the job is.
    job
        The job.
    away_s, missing_s
        For how many seconds Redis may be away, and the job may be missing.
    """

    def __init__(self, board: Board, job: Job, away_s: float = AWAY_S, missing_s: float = MISSING_S) -> None:
        self._board = board
        self._job = job
        self._limits = {"away": away_s, "missing": missing_s}
        self._since: dict[str, float] = {}

    def look(self, wait: Callable[[str, float], T], timeout_s: float) -> T | None:
        """Return what `wait` finds for the job within some seconds; None where that is nothing yet.

        Raises
        ------
        WorkerLostError
            The job is gone, and left no outcome.
        UnavailableError
            Redis stays away.
        """
        try:
            found = wait(self._job.id, min(timeout_s, LOOK_INTERVAL_S))
            if found is not None or self._board.is_alive(self._job.id):
                self._since.clear()
            elif self._lasts("missing"):
                raise WorkerLostError(
                    f"{self._job.task.removeprefix('elephant.')} was lost, because Redis was started again or its "
                    "worker died: try once more; if it happens again, look into the server's log"
                )
        except RedisError as error:
            if self._lasts("away"):
                raise UnavailableError(
                    f"the state cannot be reached any more ({error}): Redis is down or starting, try again. A training "
                    "or a label update that has begun goes on"
                ) from error
            time.sleep(min(PAUSE_S, timeout_s))
            return None
        return found

    def _lasts(self, trouble: str) -> bool:
        """Take note of a trouble, and tell whether it lasts for too long."""
        begin = self._since.setdefault(trouble, time.monotonic())
        return time.monotonic() - begin > self._limits[trouble]
