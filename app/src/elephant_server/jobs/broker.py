"""The Celery application: how tasks travel to the workers, which take each off its queue before it begins."""

from collections.abc import Callable
from typing import Any

from celery import Celery
from celery.utils.log import get_logger
from celery.worker.request import Request
from kombu.connection import Connection

from elephant_server.jobs.store_redis import ANSWER_TIMEOUT_S, CONNECT_TIMEOUT_S, connect
from elephant_server.jobs.worker_registry import RedisWorkerRegistry
from elephant_server.settings import Settings

logger = get_logger(__name__)


class PromptRequest(Request):  # type: ignore[misc]
    """A message that is acknowledged as soon as its job is accepted.

    Celery acknowledges early by asking its event loop to. A worker of one process has no loop while it does a job, so
    that the message stayed unacknowledged for as long as the job took; once that was longer than the visibility
    timeout, another worker (or the same one after the job) put it back into the queue and it came a second time.
    """

    acknowledged: bool

    def acknowledge(self) -> None:
        """Tell the broker now: this is the process, and the thread, that received the message."""
        if not self.acknowledged:
            # Where Redis is away it is logged: the message comes again, and the job store lets a job begin only once.
            self._message.ack_log_error(logger, self._connection_errors)
            self.acknowledged = True


# A message that a worker took off the queue, but died before it could begin, is given to the next one.
VISIBILITY_TIMEOUT_S = 30
# Between attempts to reach a Redis that is away: a worker is there seconds after Redis is.
RETRY = {"interval_start": 0.5, "interval_step": 0.5, "interval_max": 2.0}


class PatientConnection(Connection):
    """A connection to the broker that is tried again every few seconds, for as long as it takes."""

    def _ensure_connection(self, *args: Any, **options: Any) -> Any:
        return super()._ensure_connection(*args, **{**RETRY, **options})  # type: ignore[no-untyped-call]


class Post:
    """Carries tasks to the workers.

    Parameters
    ----------
    settings
        Where Redis is.
    """

    def __init__(self, settings: Settings) -> None:
        self._celery = make_celery(settings)
        self._queues = connect(settings.redis_broker_url)
        self._worker_registry = RedisWorkerRegistry(settings.redis_url)

    def __call__(self, task: str, job_id: str, message: str, queue: str) -> None:
        """See :class:`elephant_server.jobs.submit.Sender`."""
        self._celery.send_task(task, args=[job_id, message], queue=queue)

    def is_empty(self, queue: str) -> bool:
        """See :class:`elephant_server.jobs.submit.Sender`."""
        return not self._queues.llen(queue)

    def is_served(self, queue: str) -> bool:
        """See :class:`elephant_server.jobs.submit.Sender`."""
        return any(member.name.startswith(queue) for member in self._worker_registry.present())


def make_celery(settings: Settings) -> Celery:
    """Return the application for the given settings; connects to nothing.

    Outcomes travel over the job store, in the same step that ends a job's lease, so that an abort can answer for a job
    that still waits; Celery's own results would only repeat them.
    """
    celery = Celery("elephant", broker=settings.redis_broker_url)
    celery.conf.update(
        task_ignore_result=True,
        task_acks_late=False,
        task_serializer="json",
        accept_content=["json"],
        worker_prefetch_multiplier=1,
        worker_enable_prefetch_count_reduction=False,
        worker_hijack_root_logger=False,
        worker_send_task_events=False,
        worker_enable_remote_control=False,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_transport_options={
            "visibility_timeout": VISIBILITY_TIMEOUT_S,
            "socket_connect_timeout": CONNECT_TIMEOUT_S,
            "socket_timeout": ANSWER_TIMEOUT_S,
        },
        task_publish_retry_policy={"max_retries": 1, "interval_start": 0.1},
    )
    celery.amqp.Connection = PatientConnection
    return celery


def register(celery: Celery, name: str, work: Callable[[str, str], None]) -> None:
    """Let the workers of an application do a task: a function of the job's id and its message."""

    def task(job_id: str, message: str) -> None:
        work(job_id, message)

    celery.task(name=name, Request="elephant_server.jobs.broker:PromptRequest")(task)
