"""The devices of all machines that compute for this server."""

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import replace

from redis.exceptions import RedisError

from elephant_server.device_memory import DeviceMemory, device_memory
from elephant_server.jobs.worker_registry import Member, WorkerRegistry

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
