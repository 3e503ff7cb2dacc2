"""Workers that are threads of this process: the jobs of each queue are done one after the other."""

import logging
import queue
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from elephant_server.jobs.runner import end_current_jobs

logger = logging.getLogger(__name__)

STOP_S = 30.0
ASK_AGAIN_S = 0.5


@dataclass(frozen=True, slots=True)
class _Sent:
    task: str
    job_id: str
    message: str


Do = Callable[[str, str, str], None]


class WorkerThreads:
    """Carries tasks to threads; see :class:`elephant_server.jobs.submit.Sender`.

    Parameters
    ----------
    queues
        Their names; each has a thread.
    make_worker
        Called once in each thread: returns what does a job, from its task, id and message.
    """

    def __init__(self, queues: Iterable[str], make_worker: Callable[[], Do]) -> None:
        self._queues: dict[str, queue.SimpleQueue[_Sent | None]] = {name: queue.SimpleQueue() for name in queues}
        self._make_worker = make_worker
        self._is_stopping = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(waiting,), name=name, daemon=True)
            for name, waiting in self._queues.items()
        ]

    def __call__(self, task: str, job_id: str, message: str, queue: str) -> None:
        """See :class:`elephant_server.jobs.submit.Sender`."""
        self._queues[queue].put(_Sent(task, job_id, message))

    def is_empty(self, queue: str) -> bool:
        """See :class:`elephant_server.jobs.submit.Sender`."""
        return self._queues[queue].empty()

    def is_served(self, queue: str) -> bool:
        """See :class:`elephant_server.jobs.submit.Sender`."""
        return any(thread.name == queue and thread.is_alive() for thread in self._threads)

    def start(self) -> None:
        """Let the threads work."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End what runs at its next check, and wait for it: a model or labels are written to their end."""
        self._is_stopping.set()
        for waiting in self._queues.values():
            waiting.put(None)
        for thread in self._threads:
            _end(thread)

    def _run(self, waiting: "queue.SimpleQueue[_Sent | None]") -> None:
        do = self._make_worker()
        while (sent := waiting.get()) is not None and not self._is_stopping.is_set():
            try:
                do(sent.task, sent.job_id, sent.message)
            except Exception:
                # The next job is to be done whatever became of this one; whoever waits for it learns that it is lost.
                logger.exception("%s could not be done", sent.task)


def _end(thread: threading.Thread) -> None:
    """Ask again and again: a job that was just being begun has not heard of it the first time."""
    give_up_at = time.monotonic() + STOP_S
    while thread.is_alive() and time.monotonic() < give_up_at:
        end_current_jobs()
        thread.join(ASK_AGAIN_S)
    if thread.is_alive():
        logger.warning("%s did not end within %.0f s and is left", thread.name, STOP_S)
