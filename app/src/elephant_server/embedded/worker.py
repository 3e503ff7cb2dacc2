"""A worker of the single-process server: ``python -m elephant_server.embedded.worker``, started by the server.

It does the jobs of one queue in its main thread, where networks are fastest, and asks the server's process for all that
is shared. It ends when that process does, however that ends.
"""

import functools
import logging
import os
import pickle
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import IO, TYPE_CHECKING

from elephant.hardware import training_variables
from elephant.memory import keep_memory, uncollected
from elephant_server.embedded.channel import Questions

if TYPE_CHECKING:
    from elephant_server.feed import FeedPublisher
    from elephant_server.jobs.runner import Worker
    from elephant_server.rabbitmq import Messages
    from elephant_server.settings import Settings

logger = logging.getLogger("elephant_server.embedded.worker")

TRAINING = "training"  # the queue
FLUSH_S = 1.0
ORPHANED = 3


def main() -> int:
    """Work until the server's process says that it is enough."""
    reading, writing = _take_pipes()
    life = _Life()
    _set_signals(life)
    with uncollected():
        import torch  # noqa: F401 - meanwhile the server's process reads its settings

        try:
            queue, settings = pickle.load(reading)  # noqa: S301 - the server's process has started this one
        except EOFError:
            return ORPHANED
        if settings.cuda_visible_devices is not None:  # read when a GPU is looked for
            os.environ["CUDA_VISIBLE_DEVICES"] = settings.cuda_visible_devices
        if queue == TRAINING:
            os.environ.update(training_variables())
        questions = Questions(reading, writing)
        threading.Thread(target=_listen, args=(questions, life), name="answers", daemon=True).start()
        if settings.keep_memory_seconds:
            keep_memory()
        worker, flush = _make_worker(queue, settings, questions)
    life.begin(worker)
    while life.wait_for_call(questions):
        worker.do_queued()
    flush()
    return 0


class _Life:
    """Whether this process is asked to end; safe to use from a signal handler."""

    def __init__(self) -> None:
        self._is_ending = False
        self._is_idle = False
        self._worker: Worker | None = None

    def end(self) -> None:
        """Make the current job end at its next check, and begin no other."""
        self._is_ending = True
        if self._worker is None:
            os._exit(0)  # nothing has begun: PyTorch need not be loaded to the end
        self._worker.end()

    def begin(self, worker: "Worker") -> None:
        """Take the worker that is to end."""
        self._worker = worker

    def wait_for_call(self, questions: Questions) -> bool:
        """Block until there is something to do; False where this process is to end."""
        self._is_idle = not self._is_ending
        called = not self._is_ending and questions.ask("next_call")
        self._is_idle = False
        return bool(called)

    def exit_if_idle(self) -> None:
        """End this process, from a signal handler, while it waits; who called it meanwhile calls again."""
        if self._is_idle:
            sys.exit(0)


def _take_pipes() -> tuple[IO[bytes], IO[bytes]]:
    """Return standard input and output, and let all else read nothing and write to standard error instead."""
    pipes = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return pipes


def _listen(questions: Questions, life: _Life) -> None:
    try:
        questions.listen(life.end)
    finally:
        os._exit(ORPHANED)  # nobody is left who could be asked for anything


def _set_signals(life: _Life) -> None:
    """Leave Ctrl-C and a closed terminal to the server's process; a service manager ends both by SIGTERM."""

    def end(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - the shape of a handler
        life.end()
        life.exit_if_idle()

    signal.signal(signal.SIGTERM, end)
    for name in ("SIGINT", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)


def _make_worker(queue: str, settings: "Settings", questions: Questions) -> tuple["Worker", Callable[[], None]]:
    """Return the worker of a queue, and what publishes its last news."""
    from elephant_server.feed import ActivityFeed, FeedPublisher
    from elephant_server.jobs.ahead import ahead_of
    from elephant_server.jobs.context import make_context, recover
    from elephant_server.jobs.idle import IdleMemory
    from elephant_server.jobs.records import JobKind
    from elephant_server.jobs.runner import Worker
    from elephant_server.jobs.store import JobStore
    from elephant_server.jobs.store_remote import RemoteStore
    from elephant_server.jobs.tasks import perform
    from elephant_server.jobs.walks import Walks
    from elephant_server.logs import messages_if_any, set_up_logging

    store = RemoteStore(questions.ask)
    job_store, messages = JobStore(store), messages_if_any(settings)
    feed_publisher = FeedPublisher(ActivityFeed(store))
    set_up_logging(settings, messages, feed_publisher)
    context = make_context(settings, job_store, messages, feed_publisher, Walks(store))
    if queue == JobKind.INTERACTIVE.queue:
        logger.info("Computing on %s", context.model_cache.device)
    recover(context)
    memory = IdleMemory(settings.keep_memory_seconds)
    work = memory.around(functools.partial(perform, context))
    idle = ahead_of(context, settings, memory) if queue == JobKind.INTERACTIVE.queue else None
    return Worker(job_store, queue, work, idle=idle), functools.partial(_flush, messages, feed_publisher)


def _flush(messages: "Messages", feed_publisher: "FeedPublisher") -> None:
    feed_publisher.flush(FLUSH_S)
    messages.flush()


if __name__ == "__main__":
    sys.exit(main())
