"""Dropping jobs whose worker has ended or does not respond, ending such workers, and removing orphan files.

A worker that does not respond would block its queue: it is ended, and whatever started it starts it again. Workers on
other machines, or in other containers, are ended there by the launcher.

Every HTTP process watches the job store. It measures by its own monotonic clock how long a job's beats stand still, and
only while it can read the job store, so that neither a clock that is set nor an absence of Redis makes a job look dead.

Each process has a name from which others on the same machine can tell that it has ended. The name holds the machine's
boot, the namespace of process numbers, the number, and when the process started in ticks since the boot: numbers are
reused, ticks are not, and no clock that can be set plays a part. Without Linux' ``/proc`` a name says nothing, and a
process counts as running until its lease ends.
"""

import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from redis.exceptions import RedisError

from elephant_server.errors import WorkerLostError
from elephant_server.jobs.records import JobEntry, Outcome
from elephant_server.jobs.store import JobStore

_PROC = Path("/proc")
_STATE, _START = 0, 19  # positions behind the name of the program in /proc/<pid>/stat
_ENDED = ("Z", "X")
_PROGRAM = b"elephant_server.worker"  # in the command of every worker, and of nothing else that may be ended


def this_process() -> str:
    """Return the name of this process; empty where there is none."""
    return _name(os.getpid())


def is_gone(owner: str) -> bool:
    """Tell whether a process is known to have ended; False where that cannot be known from here."""
    place, _, number = owner.rpartition("/")
    pid, _, _start = number.partition("-")
    if not pid.isdigit() or place != _place():
        return False
    return _name(int(pid)) != owner


def end_worker(owner: str) -> bool:
    """End a worker that does not answer, if it is a process of this machine; False where it is not.

    The kernel keeps it from meeting another process that was given the same number meanwhile. Nothing but a worker is
    ended, whoever wrote the name.
    """
    number = owner.rpartition("/")[2].partition("-")[0]
    pid = int(number) if number.isdecimal() else 0
    if not pid or pid == os.getpid() or _name(pid) != owner:
        return False
    try:
        handle = os.pidfd_open(pid)
    except (OSError, AttributeError):  # it has ended, or the system has no such thing
        return False
    try:
        # Looked at once more, now that the handle stands for one process alone.
        if _name(pid) != owner or _PROGRAM not in (_PROC / str(pid) / "cmdline").read_bytes():
            return False
        signal.pidfd_send_signal(handle, signal.SIGKILL)
    except OSError:
        return False
    else:
        return True
    finally:
        with suppress(OSError):
            os.close(handle)


def _name(pid: int) -> str:
    try:
        text = (_PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    # The name of the program is in brackets, and may hold brackets and spaces.
    values = text.rpartition(")")[2].split()
    return "" if values[_STATE] in _ENDED else f"{_place()}/{pid}-{values[_START]}"


def _place() -> str:
    try:
        boot = (_PROC / "sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
        return f"{boot}/{(_PROC / 'self/ns/pid').readlink().name}"
    except OSError:
        return ""


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

    def sweep(self, running: Iterable[str]) -> None:
        """Look once, while the tasks `running` are queued or run."""
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
SWEEP_INTERVAL_S = 1.0


class Reaper:
    """Watches the job store.

    Parameters
    ----------
    job_store
        Where the jobs are.
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
        orphans: Sequence[OrphanFiles] = (),
        lease_s: float = LEASE_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._job_store = job_store
        self._orphans = orphans
        self._lease_s = lease_s
        self._clock = clock
        self._since: dict[JobEntry, float] = {}
        self._aborted: dict[str, float] = {}

    def start(self) -> None:
        """Sweep from a thread of its own until the process ends."""
        threading.Thread(target=self._run, name="reaper", daemon=True).start()

    def sweep(self) -> None:
        """Look at all jobs once, and drop those that are dead.

        Raises
        ------
        redis.exceptions.RedisError
            The job store cannot be reached; the next look begins anew.
        """
        try:
            entries = self._job_store.entries()
        except RedisError:
            self._since, self._aborted = {}, {}
            raise
        now = self._clock()
        self._since = {entry: self._since.get(entry, now) for entry in entries}
        self._aborted = {e.id: self._aborted.get(e.id, now) for e in entries if e.is_cancelled and e.phase == "running"}
        for entry in entries:
            self._judge(entry, now)
        end_silent(self._job_store)
        for orphans in self._orphans:
            orphans.sweep(entry.task for entry in entries)

    def _judge(self, entry: JobEntry, now: float) -> None:
        """Drop a job that will not end by itself."""
        if entry.phase == "running" and is_gone(entry.owner):
            reason, outcome = "its worker died", died(entry.task)
        elif now - self._since[entry] > self._lease_s:
            is_running = entry.phase == "running"
            reason = "its worker does not answer" if is_running else "nobody keeps it in its queue"
            outcome = silent(entry.task, self._lease_s) if is_running else left(entry.task)
        elif now - self._aborted.get(entry.id, now) > ABORT_S:
            reason, outcome = f"it did not end within {ABORT_S:.0f} s after it was aborted", Outcome(cancelled=True)
        else:
            return
        if self._job_store.drop(entry, outcome):
            logger.error("%s was given up: %s", entry.task, reason)

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


def end_silent(job_store: JobStore) -> None:
    """End the workers of this machine whose jobs were dropped though they have not ended.

    Raises
    ------
    redis.exceptions.RedisError
        The job store cannot be reached.
    """
    for owner in job_store.silent_owners():
        if end_worker(owner):
            logger.error("A worker that does not answer was ended")
        if is_gone(owner):
            job_store.forget_owner(owner)


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


def _short(task: str) -> str:
    return task.removeprefix("elephant.")


def _lost(message: str) -> Outcome:
    return Outcome(error=WorkerLostError.__name__, message=message)
