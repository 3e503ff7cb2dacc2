"""Workers that are threads of the test's own process, where what they do can be followed."""

import logging
import queue
import threading
import time
from collections.abc import Callable

from elephant_server.jobs.records import JobKind
from elephant_server.jobs.runner import Work, Worker
from elephant_server.jobs.store import JobStore

logger = logging.getLogger(__name__)

STOP_S = 30.0


class WorkerThreads:
    """Workers of this process: a thread for each queue.

    Parameters
    ----------
    job_store
        Where the jobs are.
    make_work
        Returns what does a job; called once for each thread.
    """

    def __init__(self, job_store: JobStore, make_work: Callable[[], Work]) -> None:
        names = [kind.queue for kind in JobKind]
        self._calls: dict[str, queue.SimpleQueue[bool]] = {name: queue.SimpleQueue() for name in names}
        self._workers = {name: Worker(job_store, name, make_work(), self) for name in names}
        self._threads = {
            name: threading.Thread(target=self._run, args=(name,), name=name, daemon=True) for name in names
        }

    def call(self, queue: str) -> None:
        """Call the worker of a queue."""
        self._calls[queue].put(True)

    def is_called(self, queue: str) -> bool:
        """Tell whether a call waits for the worker."""
        return not self._calls[queue].empty()

    def is_served(self, queue: str) -> bool:
        """Tell whether the worker of a queue is there."""
        return self._threads[queue].is_alive()

    def start(self) -> None:
        """Let the threads work."""
        for thread in self._threads.values():
            thread.start()

    def stop(self) -> None:
        """End what runs at its next check, and wait for it: a model or labels are written to their end."""
        for name, worker in self._workers.items():
            worker.end()
            self._calls[name].put(False)
        give_up_at = time.monotonic() + STOP_S
        for thread in self._threads.values():
            thread.join(max(0.0, give_up_at - time.monotonic()))
            if thread.is_alive():
                logger.warning("%s did not end within %.0f s and is left", thread.name, STOP_S)

    def _run(self, name: str) -> None:
        while self._calls[name].get():
            try:
                self._workers[name].do_queued()
            except Exception:
                # The next job is to be done whatever became of this one.
                logger.exception("A job could not be done")
