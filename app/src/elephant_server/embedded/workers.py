"""The workers of the single-process server: a process for each queue, which is started again when it dies.

The server's process answers requests and keeps the state; it never loads PyTorch, and stays quick whatever a network
does. A process that predicts is started with the server, one that trains with the first training: each of them takes
some 200 MiB for PyTorch alone.
"""

import logging
import pickle
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from queue import SimpleQueue
from typing import IO, cast

from elephant_server.embedded.channel import Answers
from elephant_server.embedded.spawning import COMMAND, Process, start_process
from elephant_server.jobs.reaper import drop_dead
from elephant_server.jobs.records import JobKind
from elephant_server.jobs.store import JobStore
from elephant_server.jobs.store_memory import MemoryStore
from elephant_server.jobs.store_remote import StoreSteps
from elephant_server.settings import Settings

logger = logging.getLogger(__name__)

# Of workers that are asked to end.
STOP_S = 30.0
# Between two starts of a worker that ends soon.
FIRST_PAUSE_S, LONGEST_PAUSE_S, SOON_S = 0.5, 30.0, 5.0
LAST_ANSWERS_S = 5.0
BLOCKING = frozenset({"pop", "entries", "next_call"})


class WorkerProcesses:
    """The :class:`~elephant_server.jobs.submit.Workers` of a server without Celery: a process for each queue.

    Parameters
    ----------
    settings
        The server's; the workers have the same.
    store
        The state, which the workers ask for.
    command
        What runs a worker.
    first
        The process of the worker that answers, where it has been started already.
    """

    def __init__(
        self,
        settings: Settings,
        store: MemoryStore,
        command: Sequence[str] = COMMAND,
        first: Process | None = None,
    ) -> None:
        self._workers = {kind.queue: _Worker(kind.queue, settings, store, command) for kind in JobKind}
        self._workers[JobKind.INTERACTIVE.queue].started = first

    def call(self, queue: str) -> None:
        """Call the worker of a queue."""
        self._workers[queue].call()

    def is_called(self, queue: str) -> bool:
        """Tell whether a call waits for the worker."""
        return self._workers[queue].is_called()

    def is_served(self, queue: str) -> bool:
        """Tell whether the worker of a queue is there, however busy it is, or starts when it is called."""
        return self._workers[queue].is_served()

    def has_failed(self) -> bool:
        """Tell whether the worker that starts with the server ended before it could do anything."""
        return self._workers[JobKind.INTERACTIVE.queue].has_failed

    def start(self) -> None:
        """Let the workers do what they are called for, and start the one that answers at once."""
        for worker in self._workers.values():
            worker.start()
        self.call(JobKind.INTERACTIVE.queue)

    def stop(self) -> None:
        """End what runs at its next check, and wait for it: a model or labels are written to their end."""
        for worker in self._workers.values():
            worker.ask_to_end()
        give_up_at = time.monotonic() + STOP_S
        for worker in self._workers.values():
            worker.wait(max(0.0, give_up_at - time.monotonic()))


class _Worker:
    """The process of a queue, and the threads that look after it."""

    def __init__(self, queue: str, settings: Settings, store: MemoryStore, command: Sequence[str]) -> None:
        self.has_failed = False
        # What has been started, and does not know its queue yet.
        self.started: Process | None = None
        self._queue = queue
        self._settings = settings
        self._steps = StoreSteps(store).steps()
        self._job_store = JobStore(store)
        self._command = command
        self._calls: SimpleQueue[bool] = SimpleQueue()
        self._lock = threading.Lock()
        self._ending = threading.Event()
        # Until it is called first, it only has to be started.
        self._is_there = True
        self._has_worked = False
        self._process: Process | None = None
        self._answers: Answers | None = None
        self._thread = threading.Thread(target=self._run, name=f"worker-{queue}", daemon=True)

    def call(self) -> None:
        self._calls.put(True)

    def is_called(self) -> bool:
        return not self._calls.empty()

    def is_served(self) -> bool:
        return self._thread.is_alive() and self._is_there

    def start(self) -> None:
        self._thread.start()

    def ask_to_end(self) -> None:
        with self._lock:
            self._ending.set()
            if self._answers is not None:
                self._answers.end()
            self._calls.put(False)

    def wait(self, timeout_s: float) -> None:
        """Wait until the process has ended; end it after so many seconds."""
        self._thread.join(timeout_s)
        process = self._process
        if self._thread.is_alive() and process is not None:
            logger.warning("The %s worker did not end within %.0f s and is killed", self._queue, STOP_S)
            process.kill()

    def _run(self) -> None:
        """Start the process when it is called first, and again when it has died."""
        is_wanted, pause = self._calls.get(), FIRST_PAUSE_S
        while is_wanted and not self._ending.is_set():
            began = time.monotonic()
            reason = self._run_process()
            drop_dead(self._job_store, self._queue)
            if self._ending.is_set():
                return
            if not self._has_worked:
                self.has_failed = True
            what = "died" if self._has_worked else "could not start"
            logger.error("The %s worker %s (%s), and is started again", self._queue, what, reason)
            pause = FIRST_PAUSE_S if time.monotonic() - began > SOON_S else min(2 * pause, LONGEST_PAUSE_S)
            self._ending.wait(pause)

    def _run_process(self) -> str:
        """Run the process to its end, and return how it ended."""
        calls: SimpleQueue[bool] = SimpleQueue()
        calls.put(True)  # for what waits already, and was perhaps called for before
        self._is_there = False
        try:
            process, self.started = self.started or start_process(self._command), None
        except OSError as error:
            return str(error)
        reading, writing = cast("IO[bytes]", process.stdout), cast("IO[bytes]", process.stdin)
        answers = Answers(reading, writing, {**self._steps, "next_call": lambda: self._next(calls)}, BLOCKING)
        with suppress(OSError):  # it may have ended already
            writing.write(pickle.dumps((self._queue, self._settings)))
            writing.flush()
        with self._lock:
            self._process, self._answers, self._calls = process, answers, calls
        if self._ending.is_set():
            self.ask_to_end()
        answering = threading.Thread(target=answers.serve, name=f"answers-{self._queue}", daemon=True)
        answering.start()
        status = process.wait()
        # Whatever it asked for last. A program of its own that it has left behind may hold its pipe open.
        answering.join(LAST_ANSWERS_S)
        self._is_there = False
        calls.put(False)
        if not answering.is_alive():
            answers.close()
        return f"signal {-status}" if status < 0 else f"exit status {status}"

    def _next(self, calls: SimpleQueue[bool]) -> bool:
        self._is_there = self._has_worked = True
        return calls.get()
