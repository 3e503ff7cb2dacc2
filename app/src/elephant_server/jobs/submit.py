"""Handing work to the workers."""

import logging
import threading
import uuid
from dataclasses import dataclass
from typing import Protocol

from redis.exceptions import RedisError

from elephant_server.errors import AlreadyRunningError, UnavailableError
from elephant_server.jobs.payloads import Payload
from elephant_server.state import Board, Kind

logger = logging.getLogger(__name__)

RENEW_INTERVAL_S = 3.0


@dataclass(frozen=True, slots=True)
class Job:
    """A piece of work that was handed over."""

    id: str
    kind: Kind
    task: str


class Sender(Protocol):
    """Puts a task before the workers of a queue."""

    def __call__(self, task: str, job_id: str, payload: str, queue: str) -> None:
        """Send it; raises where that cannot be done."""


class Dispatcher:
    """Enters jobs on the board and hands them to the workers.

    Parameters
    ----------
    board
        Where jobs are entered.
    send
        Puts a task before the workers.
    """

    def __init__(self, board: Board, send: Sender) -> None:
        self._board = board
        self._send = send
        self._keeper = QueuedJobsKeeper(board)

    def submit(self, task: str, payload: Payload, kind: Kind, queue: str) -> Job:
        """Enter a job and hand it over.

        Raises
        ------
        AlreadyRunningError
            It is a training or reset, and another one is there.
        UnavailableError
            It could not be handed over.
        """
        job = Job(uuid.uuid4().hex, kind, task)
        if not self._board.open(job.id, kind):
            raise AlreadyRunningError(
                "a process is running: expected no other training or model reset, but one is under way; "
                "wait for its end or abort it, then try again"
            )
        try:
            self._send(task, job.id, payload.model_dump_json(), queue)
        except Exception as error:
            self._board.cancel(job.id)
            raise UnavailableError(f"the work could not be handed to a worker ({error}): try again") from error
        self._keeper.add(job.id)
        return job


class QueuedJobsKeeper:
    """Renews the leases of the jobs that this process accepted, until a worker takes them.

    It does so whether or not the client still waits: a label update goes on without it.
    """

    def __init__(self, board: Board) -> None:
        self._board = board
        self._jobs: set[str] = set()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def add(self, job_id: str) -> None:
        """Keep a job's lease alive while it is queued."""
        with self._changed:
            self._jobs.add(job_id)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="queued-jobs", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: bool(self._jobs))
                jobs = list(self._jobs)
            for job_id in jobs:
                try:
                    is_queued = self._board.renew(job_id, queued=True)
                except RedisError as error:
                    logger.warning("The state cannot be reached (%s)", error)
                    continue
                if not is_queued:
                    with self._changed:
                        self._jobs.discard(job_id)
            threading.Event().wait(RENEW_INTERVAL_S)
