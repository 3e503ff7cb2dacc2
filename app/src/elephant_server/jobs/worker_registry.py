"""Which workers there are, on all machines of a server, and what they compute on.

A worker enters itself every two seconds; one that has not done so for some seconds is gone. The registry does not
decide who does a job: jobs go to the worker that takes them off their queue.
"""

import json
import logging
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any, Protocol, Self

from redis.exceptions import RedisError

from elephant_server.device_memory import DeviceMemory, device_memory
from elephant_server.jobs.store_redis import connect

logger = logging.getLogger(__name__)

HEARTBEAT_S = 2.0
GONE_AFTER_S = 10.0
# Whoever asks has a client that asks every second.
ANSWER_TIMEOUT_S = 1.0


@dataclass(frozen=True, slots=True)
class Member:
    """A worker.

    Attributes
    ----------
    machine
        Where it runs.
    name
        Of its program there, such as ``training-2``.
    devices
        What it may compute on.
    """

    machine: str
    name: str
    devices: tuple[DeviceMemory, ...]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return a member from JSON."""
        found = json.loads(text)
        return cls(found["machine"], found["name"], tuple(DeviceMemory(**device) for device in found["devices"]))


class WorkerRegistry(Protocol):
    """The workers that are there."""

    def enter(self, member: Member) -> None:
        """Say that a worker is there, for the next seconds."""

    def present(self) -> list[Member]:
        """Return the workers that are there, by machine and name."""


class RedisWorkerRegistry:
    """A :class:`WorkerRegistry` in Redis.

    Making one connects to nothing; every method may raise :class:`redis.exceptions.RedisError`.

    Parameters
    ----------
    url
        The database.
    prefix
        What all keys start with.
    """

    def __init__(self, url: str, prefix: str = "elephant:workers") -> None:
        self._redis = connect(url, ANSWER_TIMEOUT_S)
        self._prefix = prefix

    def enter(self, member: Member) -> None:
        """See :meth:`WorkerRegistry.enter`."""
        key = f"{self._prefix}:{member.machine}/{member.name}"
        with self._redis.pipeline() as pipe:
            pipe.sadd(self._prefix, key)
            pipe.set(key, json.dumps(asdict(member)), px=int(GONE_AFTER_S * 1000))
            pipe.execute()

    def present(self) -> list[Member]:
        """See :meth:`WorkerRegistry.present`."""
        keys: Any = sorted(self._redis.smembers(self._prefix))
        found: Any = self._redis.mget(keys) if keys else []
        gone = [key for key, text in zip(keys, found, strict=True) if text is None]
        if gone:
            self._redis.srem(self._prefix, *gone)
        return [Member.parse(text) for text in found if text is not None]


def start_heartbeat(worker_registry: WorkerRegistry, machine: str, name: str, gpu: str) -> None:
    """Enter a worker, and how much of its devices' memory is taken, every two seconds from a thread of its own.

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
            pause.wait(HEARTBEAT_S)

    threading.Thread(target=run, name="heartbeat", daemon=True).start()


# Every client asks each second, and an answer of a moment ago is as good; one that could not be had is not asked for
# again at once.
FRESH_S = 1.0
AWAY_S = 5.0


class Machines:
    """The devices to compute on.

    Parameters
    ----------
    gpu
        This machine's GPUs: ``all``, indices separated by commas, or nothing.
    worker_registry
        The workers of all machines, where the server has several.
    clock
        Seconds that pass, whatever the time of the day.
    """

    def __init__(
        self, gpu: str, worker_registry: WorkerRegistry | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._gpu = gpu
        self._worker_registry = worker_registry
        self._clock = clock
        self._lock = threading.Lock()
        self._known: list[DeviceMemory] = []
        self._ask_again_at = 0.0

    def devices(self) -> list[DeviceMemory]:
        """Return the devices with their memory: those of the workers, or else this machine's."""
        return self._of_workers() or device_memory(self._gpu)

    def _of_workers(self) -> list[DeviceMemory]:
        if self._worker_registry is None:
            return []
        with self._lock:
            if self._clock() >= self._ask_again_at:
                try:
                    self._known, pause = merged(self._worker_registry.present()), FRESH_S
                except RedisError:
                    self._known, pause = [], AWAY_S
                self._ask_again_at = self._clock() + pause
            return self._known


def merged(members: Iterable[Member]) -> list[DeviceMemory]:
    """Return the devices of all workers, each once, with the machine's name in its identifier."""
    found: dict[tuple[str, str], DeviceMemory] = {}
    for member in members:
        for device in member.devices:
            found[member.machine, device.id] = replace(
                device, id=f"{member.machine} {device.id}", name=f"{device.name} ({member.machine})"
            )
    return [found[key] for key in sorted(found)]
