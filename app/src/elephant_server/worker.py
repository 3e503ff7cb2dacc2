"""What a worker's process runs: ``celery -A elephant_server.worker worker``.

Importing it connects to nothing; the HTTP processes never import it, nor the libraries of the science.
"""

import functools
import logging
from typing import Any

from elephant.memory import keep_memory, uncollected

with uncollected():
    from celery import signals

    from elephant_server.jobs.ahead import ahead_of
    from elephant_server.jobs.broker import CeleryWorkers, make_celery
    from elephant_server.jobs.context import WorkerContext, make_context, recover
    from elephant_server.jobs.idle import IdleMemory
    from elephant_server.jobs.records import JobKind
    from elephant_server.jobs.runner import Worker
    from elephant_server.jobs.store import JobStore
    from elephant_server.jobs.store_redis import RedisStore
    from elephant_server.jobs.tasks import perform
    from elephant_server.jobs.walks import Walks
    from elephant_server.jobs.worker_registry import RedisWorkerRegistry, start_heartbeat
    from elephant_server.logs import feed_publisher_of, messages_of, set_up_logging
    from elephant_server.settings import get_settings

logger = logging.getLogger(__name__)


@functools.cache
def worker_context() -> WorkerContext:
    """Return what this process keeps between jobs; made on first use."""
    settings = get_settings()
    store = RedisStore(settings.redis_url)
    context = make_context(settings, JobStore(store), messages_of(settings), feed_publisher_of(settings), Walks(store))
    logger.info("Computing on %s", context.model_cache.device)
    return context


@functools.cache
def workers() -> dict[str, Worker]:
    """Return what does the jobs of each queue; a process listens to one of them."""
    context, others = worker_context(), CeleryWorkers(get_settings())
    memory = IdleMemory(get_settings().keep_memory_seconds)
    work = memory.around(functools.partial(perform, context))
    idle = {JobKind.INTERACTIVE: ahead_of(context, get_settings(), memory)}
    return {kind.queue: Worker(context.job_store, kind.queue, work, others, idle.get(kind)) for kind in JobKind}


app = make_celery(get_settings(), lambda queue: workers()[queue].do_queued())


@signals.setup_logging.connect  # type: ignore[untyped-decorator]
def _set_up_logging(**_: object) -> None:
    set_up_logging(get_settings())


@signals.worker_init.connect  # type: ignore[untyped-decorator]
def _keep_memory(**_: object) -> None:
    if get_settings().keep_memory_seconds:
        keep_memory()


@signals.worker_ready.connect  # type: ignore[untyped-decorator]
def _warm_up(sender: Any, **_: object) -> None:
    context, settings = worker_context(), get_settings()
    workers()
    name = sender.hostname.partition("@")[0]
    start_heartbeat(RedisWorkerRegistry(settings.redis_url), settings.machine, name, settings.gpu)
    recover(context)


@signals.worker_shutting_down.connect  # type: ignore[untyped-decorator]
def _end_jobs(**_: object) -> None:
    if workers.cache_info().currsize:  # else nothing has begun, and making them takes seconds
        for worker in workers().values():
            worker.end()
