"""Checking the workers of this machine, and ending those that do not respond: supervisord restarts them."""

import logging
import os
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import suppress

from redis.exceptions import RedisError

from elephant_server.deploy.supervision import ProgramState
from elephant_server.deploy.worker_pairs import workers_of
from elephant_server.jobs.reaper import end_silent
from elephant_server.jobs.store import JobStore
from elephant_server.jobs.store_redis import RedisStore
from elephant_server.jobs.worker_registry import Member, RedisWorkerRegistry
from elephant_server.settings import Settings


def absent_workers(settings: Settings) -> list[str]:
    """Return the names of this machine's workers missing in the worker registry; all while it is unavailable."""
    expected = [worker.name for worker in workers_of(settings)]
    there = {member.name for member in _members(settings)}
    return [name for name in expected if name not in there]


def present_workers(settings: Settings) -> set[str]:
    """Return the names of this machine's workers with a current heartbeat.

    Raises
    ------
    redis.exceptions.RedisError
        The worker registry cannot be reached.
    """
    return {
        member.name
        for member in RedisWorkerRegistry(settings.redis_url).present()
        if member.machine == settings.machine
    }


def own_devices(settings: Settings) -> str:
    """Return the names of the devices of this machine's workers."""
    devices = {device.id: device.name for member in _members(settings) for device in member.devices}
    return ", ".join(devices[name] for name in sorted(devices))


def _members(settings: Settings) -> list[Member]:
    try:
        return [
            member for member in RedisWorkerRegistry(settings.redis_url).present() if member.machine == settings.machine
        ]
    except RedisError:
        return []


logger = logging.getLogger(__name__)

# A worker says every two seconds that it is there, from a thread of its own.
SILENT_S = 60.0


class SilentWorkers:
    """Looks for workers whose heartbeat has stopped.

    Parameters
    ----------
    settings
        Where Redis is, and which workers this machine has.
    present
        Returns the names of the workers with a current heartbeat.
    clock
        Seconds that pass, whatever the time of the day.
    """

    def __init__(
        self,
        settings: Settings,
        present: Callable[[Settings], set[str]] = present_workers,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._present = present
        self._clock = clock
        self._job_store = JobStore(RedisStore(settings.redis_url))
        self._names = [worker.name for worker in workers_of(settings)] if settings.starts_workers else []
        self._seen: dict[str, tuple[int, float]] = {}  # process, and when it was heard of last

    def look(self, programs: Mapping[str, ProgramState]) -> list[str]:
        """End the workers that do not respond, and return their names; none while Redis is unavailable."""
        if not self._names:
            return []
        try:
            present = self._present(self._settings)
            end_silent(self._job_store)
        except RedisError:
            self._seen = {}  # nobody could be heard of meanwhile
            return []
        now = self._clock()
        for name in self._names:
            if name in present and name in programs:
                self._seen[name] = programs[name].pid, now
        return [name for name in self._names if name in programs and self._end(programs[name], now)]

    def _end(self, program: ProgramState, now: float) -> bool:
        """End a process whose heartbeat stopped long ago; one that is starting is left alone."""
        pid, heard = self._seen.get(program.name, (0, now))
        if not pid or program.pid != pid or now - heard <= SILENT_S:
            return False
        del self._seen[program.name]
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        return True
