"""Celery, which carries calls to the workers.

A call says only that there is something to do: the job store knows what. So a call may get lost, come late or come
twice. The reaper calls again where jobs wait and no call does, and a worker that is called for nothing finds nothing.
"""

from collections.abc import Callable

from celery import Celery

from elephant_server.jobs.store_redis import ANSWER_TIMEOUT_S, CONNECT_TIMEOUT_S, connect
from elephant_server.jobs.worker_registry import RedisWorkerRegistry
from elephant_server.settings import Settings

TASK = "elephant.work"


class CeleryWorkers:
    """The :class:`~elephant_server.jobs.submit.Workers` of the stack, on all its machines.

    Making one connects to nothing.

    Parameters
    ----------
    settings
        Where Redis is.
    """

    def __init__(self, settings: Settings) -> None:
        self._celery = make_celery(settings)
        self._queues = connect(settings.redis_broker_url)
        self._worker_registry = RedisWorkerRegistry(settings.redis_url)

    def call(self, queue: str) -> None:
        """Call a worker of a queue."""
        self._celery.send_task(TASK, args=[queue], queue=queue)

    def is_called(self, queue: str) -> bool:
        """Tell whether a call waits for a worker."""
        return bool(self._queues.llen(queue))

    def is_served(self, queue: str) -> bool:
        """Tell whether there is a worker for a queue, however busy it is."""
        return any(member.name.startswith(queue) for member in self._worker_registry.present())


def make_celery(settings: Settings, work: Callable[[str], None] | None = None) -> Celery:
    """Return the Celery application; connects to nothing.

    Parameters
    ----------
    settings
        Where Redis is.
    work
        What a worker does when it is called, with the name of its queue; not needed to call.
    """
    celery = Celery("elephant", broker=settings.redis_broker_url)
    celery.conf.update(
        # Outcomes travel over the job store, in the same step that ends a job's lease.
        task_ignore_result=True,
        worker_prefetch_multiplier=1,
        worker_enable_prefetch_count_reduction=False,
        worker_hijack_root_logger=False,
        worker_enable_remote_control=False,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_transport_options={
            "socket_connect_timeout": CONNECT_TIMEOUT_S,
            "socket_timeout": ANSWER_TIMEOUT_S,
        },
        task_publish_retry_policy={"max_retries": 1, "interval_start": 0.1},
    )
    if work is not None:

        def do(queue: str) -> None:
            work(queue)

        celery.task(name=TASK)(do)
    return celery
