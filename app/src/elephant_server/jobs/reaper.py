"""What becomes of jobs that nobody does: dropping the dead, calling workers again, and removing orphan files.

A worker that does not respond would block its queue: it is ended, and whatever started it starts it again. Workers on
other machines, or in other containers, are ended there by the launcher.

Every HTTP process watches the job store. It measures by its own monotonic clock how long a job's beats stand still, and
only while it can read the job store, so that neither a clock that is set nor an absence of Redis makes a job look dead.
"""

import logging
import threading
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from redis.exceptions import RedisError

from elephant_server.errors import WorkerLostError
from elephant_server.jobs.records import JobEntry, Outcome
from elephant_server.jobs.silence import end_silent
from elephant_server.jobs.store import JobStore
from elephant_server.jobs.submit import Workers
from elephant_server.jobs.worker_registry import is_gone

logger = logging.getLogger(__name__)

LEFT_AFTER_S = 20.0

_Look = tuple[Path, int, int]  # the file, when it was changed, its size


class OrphanFiles:
    """Finds files in a folder of passing files that nothing will use any more.

    A file is made before the job that needs it is entered, so that one which stays as it is while there is no such job
    was left. How long it stays is measured here: clocks that are set do not matter.

    Parameters
    ----------
    folder
        Where the passing files are.
    tasks
        Names of the tasks that need them.
    left_after_s
        For how many seconds a file must stay as it is.
    clock
        Seconds that pass, whatever the time of the day.
    """

    def __init__(
        self,
        folder: Path,
        tasks: Collection[str],
        left_after_s: float = LEFT_AFTER_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folder = folder
        self._tasks = frozenset(tasks)
        self._left_after_s = left_after_s
        self._clock = clock
        self._since: dict[_Look, float] = {}

    def remove(self, running: Iterable[str]) -> None:
        """Look once, while the tasks `running` are queued or run, and remove what nothing needs."""
        now = self._clock()
        self._since = {look: self._since.get(look, now) for look in self._looks()}
        if not self._tasks.isdisjoint(running):
            return
        for (path, *_), since in self._since.items():
            if now - since > self._left_after_s:
                with suppress(OSError):
                    path.unlink()
                    logger.info("Removed %s, which a process had left", path.name)

    def _looks(self) -> list[_Look]:
        found = []
        with suppress(OSError):
            for path in self._folder.iterdir():
                with suppress(OSError):
                    known = path.lstat()
                    found.append((path, known.st_mtime_ns, known.st_size))
        return found


LEASE_S = 10.0
# What was aborted ends within seconds; on a slow machine one layer of a network may take a minute.
ABORT_S = 120.0
REAP_INTERVAL_S = 1.0
# A worker that was ended is there again within seconds; to load PyTorch from a slow disk takes a minute.
UNSERVED_S = 120.0


class Reaper:
    """Watches the job store.

    Parameters
    ----------
    job_store
        Where the jobs are.
    workers
        Who is called again where a call was lost.
    orphans
        Files that are looked at in passing.
    lease_s
        Seconds after which a job that nobody renews is dropped.
    clock
        Seconds that pass, whatever the time of the day.
    """

    def __init__(
        self,
        job_store: JobStore,
        workers: Workers,
        orphans: Sequence[OrphanFiles] = (),
        lease_s: float = LEASE_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._job_store = job_store
        self._workers = workers
        self._orphans = orphans
        self._lease_s = lease_s
        self._clock = clock
        self._since: dict[JobEntry, float] = {}
        self._aborted: dict[str, float] = {}
        self._unserved: dict[str, float] = {}

    def start(self) -> None:
        """Look every second from a thread of its own until the process ends."""
        threading.Thread(target=self._run, name="reaper", daemon=True).start()

    def reap(self) -> None:
        """Look at all jobs once: drop those that are dead, and call workers for those that wait.

        Raises
        ------
        redis.exceptions.RedisError
            The job store cannot be reached; the next look begins anew.
        """
        try:
            entries = self._job_store.entries()
            now = self._clock()
            self._since = {entry: self._since.get(entry, now) for entry in entries}
            self._aborted = {
                e.id: self._aborted.get(e.id, now) for e in entries if e.is_cancelled and e.phase == "running"
            }
            for entry in entries:
                self._judge(entry, now)
            end_silent(self._job_store)
            self._see_to([entry for entry in entries if entry.phase == "queued"], now)
        except RedisError:
            self._since, self._aborted, self._unserved = {}, {}, {}
            raise
        for orphans in self._orphans:
            orphans.remove(entry.task for entry in entries)

    def _judge(self, entry: JobEntry, now: float) -> None:
        """Drop a job that will not end by itself."""
        if entry.phase == "running" and is_gone(entry.owner):
            self._drop(entry, "its worker died", died(entry.task))
        elif now - self._since[entry] > self._lease_s:
            if entry.phase == "running":
                self._drop(entry, "its worker does not answer", silent(entry.task, self._lease_s))
            else:
                self._drop(entry, "nobody keeps it in its queue", left(entry.task))
        elif now - self._aborted.get(entry.id, now) > ABORT_S:
            self._drop(entry, f"it did not end within {ABORT_S:.0f} s after it was aborted", Outcome(cancelled=True))

    def _see_to(self, queued: Sequence[JobEntry], now: float) -> None:
        """Drop the jobs for which there has been no worker for long, and call again where no call waits.

        A call that finds nothing to do costs nothing, so it does not matter who lost the last one, or whether it was
        only just taken.
        """
        queues = {entry.kind.queue for entry in queued}
        self._unserved = {q: self._unserved.get(q, now) for q in queues if not self._workers.is_served(q)}
        for entry in queued:
            if now - self._unserved.get(entry.kind.queue, now) > UNSERVED_S:
                self._drop(entry, f"there is no worker for the queue {entry.kind.queue}", unserved(entry.task))
        for queue in sorted(queues):
            if not self._workers.is_called(queue):
                self._workers.call(queue)

    def _drop(self, entry: JobEntry, reason: str, outcome: Outcome) -> None:
        if self._job_store.drop(entry, outcome):
            logger.error("%s was given up: %s", entry.task, reason)

    def _run(self) -> None:
        pause = threading.Event()
        while not pause.wait(REAP_INTERVAL_S):
            try:
                self.reap()
            except RedisError as error:
                logger.debug("The state cannot be reached (%s)", error)
            except Exception:
                # Nobody else would drop the dead: whatever it was, the next look may succeed.
                logger.exception("The jobs could not be looked at")


def drop_dead(job_store: JobStore, queue: str) -> None:
    """Drop the running jobs of a queue whose workers have all ended."""
    for entry in job_store.entries():
        if entry.phase == "running" and entry.kind.queue == queue and job_store.drop(entry, died(entry.task)):
            logger.error("%s was given up: its worker died", entry.task)


def died(task: str) -> Outcome:
    """Return the outcome of a job that died with its worker."""
    return _lost(
        f"the worker that did {_short(task)} died before it was done, and is started again: try once more; if it "
        "happens again, look into the server's log"
    )


def silent(task: str, seconds: float) -> Outcome:
    """Return the outcome of a job whose worker does not answer."""
    return _lost(
        f"the worker that did {_short(task)} does not answer: there was no sign of it for {seconds:.0f} s, so the work "
        "was given up and the worker is ended and started again. Try once more; if it happens again, look into the "
        "server's log, and see whether the machine or its GPU hangs"
    )


def left(task: str) -> Outcome:
    """Return the outcome of a job that waited for a worker when the process that had accepted it ended."""
    return _lost(f"{_short(task)} was lost while it waited for a worker, since the server was started again: try again")


def unserved(task: str) -> Outcome:
    """Return the outcome of a job for which there is no worker."""
    return _lost(
        f"{_short(task)} could not begin: for {UNSERVED_S:.0f} s there has been no worker that could do it. It was "
        "given up; see in the server's log why its workers do not start, then try again"
    )


def _short(task: str) -> str:
    return task.removeprefix("elephant.")


def _lost(message: str) -> Outcome:
    return Outcome(error=WorkerLostError.__name__, message=message)
