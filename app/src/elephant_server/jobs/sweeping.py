"""Dropping jobs whose worker has ended, or that nobody renews any more.

Every HTTP process watches the board. It measures by its own monotonic clock how long a job's beats stand still, and
only while it can read the board, so that neither a clock that is set nor an absence of Redis makes a job look dead.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence

from redis.exceptions import RedisError

from elephant_server.errors import WorkerLostError
from elephant_server.jobs.leftovers import Leftovers
from elephant_server.state import Board, Entry, Outcome
from elephant_server.state.owners import is_gone

logger = logging.getLogger(__name__)

LEASE_S = 10.0
SWEEP_INTERVAL_S = 1.0


class Sweeper:
    """Watches the board.

    Parameters
    ----------
    board
        Where the jobs are.
    leftovers
        Files that are looked at in passing.
    lease_s
        Seconds after which a job that nobody renews is dropped.
    clock
        Seconds that pass, whatever the time of the day.
    """

    def __init__(
        self,
        board: Board,
        leftovers: Sequence[Leftovers] = (),
        lease_s: float = LEASE_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._board = board
        self._leftovers = leftovers
        self._lease_s = lease_s
        self._clock = clock
        self._since: dict[Entry, float] = {}

    def start(self) -> None:
        """Sweep from a thread of its own until the process ends."""
        threading.Thread(target=self._run, name="sweeper", daemon=True).start()

    def sweep(self) -> None:
        """Look at all jobs once, and drop those that are dead.

        Raises
        ------
        redis.exceptions.RedisError
            The board cannot be reached; the next look begins anew.
        """
        try:
            entries = self._board.entries()
        except RedisError:
            self._since = {}
            raise
        now = self._clock()
        self._since = {entry: self._since.get(entry, now) for entry in entries}
        for entry, since in self._since.items():
            has_ended = entry.phase == "running" and is_gone(entry.owner)
            if (has_ended or now - since > self._lease_s) and self._board.drop(entry, lost(entry.task)):
                logger.error("%s was given up: its worker %s", entry.task, "died" if has_ended else "does not answer")
        for leftovers in self._leftovers:
            leftovers.sweep(entry.task for entry in entries)

    def _run(self) -> None:
        pause = threading.Event()
        while not pause.wait(SWEEP_INTERVAL_S):
            try:
                self.sweep()
            except RedisError as error:
                logger.debug("The state cannot be reached (%s)", error)
            except Exception:
                # Nobody else would drop the dead: whatever it was, the next look may succeed.
                logger.exception("The jobs could not be looked at")


def lost(task: str) -> Outcome:
    """Return the outcome of a job that died with its worker."""
    message = (
        f"the worker that did {task.removeprefix('elephant.')} died before it was done, and is started again: "
        "try once more; if it happens again, look into the server's log"
    )
    return Outcome(error=WorkerLostError.__name__, message=message)
