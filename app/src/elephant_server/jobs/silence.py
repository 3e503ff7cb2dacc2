"""Ending workers that do not answer. Launchers need this alone: it loads nothing of what the workers are asked."""

import logging

from elephant_server.jobs.store import JobStore
from elephant_server.jobs.worker_registry import end_worker, is_gone

logger = logging.getLogger(__name__)


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
