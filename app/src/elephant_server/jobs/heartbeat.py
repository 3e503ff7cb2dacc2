"""A worker's own entry in the worker registry of a server with several machines."""

import logging
import threading

from redis.exceptions import RedisError

from elephant_server.device_memory import device_memory
from elephant_server.jobs.worker_registry import Member, WorkerRegistry

logger = logging.getLogger(__name__)

INTERVAL_S = 2.0


def attend(worker_registry: WorkerRegistry, machine: str, name: str, gpu: str) -> None:
    """Say from now on, from a thread of its own, that a worker is there and how much of its devices' memory is taken.

    Parameters
    ----------
    machine, name
        Where it runs, and its program there.
    gpu
        Its GPUs: ``all``, indices separated by commas, or nothing.
    """

    def run() -> None:
        pause = threading.Event()
        while True:
            try:
                worker_registry.enter(Member(machine, name, tuple(device_memory(gpu))))
            except RedisError as error:
                logger.debug("The worker registry cannot be reached (%s)", error)
            pause.wait(INTERVAL_S)

    threading.Thread(target=run, name="attendance", daemon=True).start()
