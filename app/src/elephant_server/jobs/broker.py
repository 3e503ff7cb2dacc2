"""The Celery application: how tasks travel to the workers. It knows them by name alone."""

from celery import Celery

from elephant_server.settings import Settings

# A message that a worker took off the queue, but died before it could begin, is given to the next one.
VISIBILITY_TIMEOUT_S = 30


def make_celery(settings: Settings) -> Celery:
    """Return the application for the given settings; connects to nothing.

    Outcomes travel over the board, in the same step that ends a job's lease, so that an abort can answer for a job
    that still waits; Celery's own results would only repeat them.
    """
    celery = Celery("elephant", broker=settings.redis_broker_url)
    celery.conf.update(
        task_ignore_result=True,
        task_acks_late=False,
        task_serializer="json",
        accept_content=["json"],
        worker_prefetch_multiplier=1,
        worker_hijack_root_logger=False,
        worker_send_task_events=False,
        worker_enable_remote_control=False,
        broker_connection_retry_on_startup=True,
        broker_transport_options={"visibility_timeout": VISIBILITY_TIMEOUT_S, "socket_connect_timeout": 3},
        task_publish_retry_policy={"max_retries": 1, "interval_start": 0.1},
    )
    return celery
