"""Doing one job in a worker: its lease, its end, its outcome."""

import logging
import threading
from collections.abc import Callable
from typing import Any

from redis.exceptions import RedisError

from elephant.errors import Cancelled, ElephantError
from elephant_server.errors import UnexpectedError
from elephant_server.jobs.context import JobControl
from elephant_server.state import Board, Outcome

logger = logging.getLogger(__name__)

RENEW_INTERVAL_S = 3.0

Work = Callable[[JobControl], dict[str, Any]]

_current: JobControl | None = None


def run_job(board: Board, job_id: str, work: Work) -> None:
    """Do a job that was handed over, and leave its outcome on the board.

    A job that is no longer on the board, because it was aborted while it waited, is left alone.
    """
    global _current  # noqa: PLW0603 - the process does one job at a time, and its end is asked for by a signal
    if not board.take(job_id):
        logger.info("A job was given up before it began")
        return
    control = JobControl(board, job_id)
    _current = control
    renewer = _Renewer(board, job_id)
    renewer.start()
    try:
        outcome = _outcome_of(work, control)
    finally:
        renewer.stop()
        _current = None
    board.finish(job_id, outcome)


def end_current_job() -> None:
    """Make the job of this process, if there is one, end at its next check."""
    if _current is not None:
        _current.end()


def _outcome_of(work: Work, control: JobControl) -> Outcome:
    try:
        return Outcome(result=work(control))
    except Cancelled as reason:
        logger.info("Ended: %s", reason)
        return Outcome(cancelled=True)
    except ElephantError as error:
        return Outcome(error=type(error).__name__, message=str(error))
    except Exception as error:
        logger.exception("Unexpected error")
        message = f"{type(error).__name__}: {error}; this is a fault of the server, its log has the details"
        return Outcome(error=UnexpectedError.__name__, message=message)


class _Renewer:
    """Renews a running job's lease from a thread of its own."""

    def __init__(self, board: Board, job_id: str) -> None:
        self._board = board
        self._job_id = job_id
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lease", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopped.wait(RENEW_INTERVAL_S):
            try:
                self._board.renew(self._job_id, queued=False)
            except RedisError as error:
                logger.warning("The lease of the running job could not be renewed: %s", error)
