"""Which workers there are, on all machines of a server, and what they compute on.

A worker enters itself every two seconds; one that has not done so for some seconds is gone. The registry does not
decide who does a job: that is whichever worker takes it.

Each process has a name from which others on the same machine can tell that it has ended. The name holds the machine's
boot, the namespace of process numbers, the number, and when the process started in ticks since the boot: numbers are
reused, ticks are not, and no clock that can be set plays a part. Without Linux' ``/proc`` a name says nothing, and a
process counts as running until its lease ends.
"""

import json
import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol, Self

from redis.exceptions import RedisError

from elephant_server.device_memory import DeviceMemory, device_memory
from elephant_server.jobs.store_redis import connect

logger = logging.getLogger(__name__)

HEARTBEAT_S = 2.0
GONE_AFTER_S = 10.0
# Clients ask every second.
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


_PROC = Path("/proc")
_STATE, _START = 0, 19  # positions behind the name of the program in /proc/<pid>/stat
_ENDED = ("Z", "X")
# In the commands of workers, and of nothing else that may be ended.
_PROGRAMS = (b"elephant_server.worker", b"elephant_server.embedded.worker")


def this_process() -> str:
    """Return the name of this process; empty where there is none."""
    return _name(os.getpid())


def is_gone(owner: str) -> bool:
    """Tell whether a process is known to have ended; False where that cannot be known from here."""
    place, _, number = owner.rpartition("/")
    pid, _, _start = number.partition("-")
    if not pid.isdigit() or place != _place():
        return False
    return _name(int(pid)) != owner


def end_worker(owner: str) -> bool:
    """End a worker that does not answer, if it is a process of this machine; False where it is not.

    The kernel keeps it from meeting another process that was given the same number meanwhile. Nothing but a worker is
    ended, no matter who wrote the name.
    """
    number = owner.rpartition("/")[2].partition("-")[0]
    pid = int(number) if number.isdecimal() else 0
    if not pid or pid == os.getpid() or _name(pid) != owner:
        return False
    try:
        handle = os.pidfd_open(pid)
    except (OSError, AttributeError):  # it has ended, or the system has no such thing
        return False
    try:
        # Looked at once more, now that the handle stands for one process alone.
        command = (_PROC / str(pid) / "cmdline").read_bytes().split(b"\0")
        if _name(pid) != owner or not any(program in command for program in _PROGRAMS):
            return False
        signal.pidfd_send_signal(handle, signal.SIGKILL)
    except OSError:
        return False
    else:
        return True
    finally:
        with suppress(OSError):
            os.close(handle)


def _name(pid: int) -> str:
    try:
        text = (_PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    # The name of the program is in brackets, and may hold brackets and spaces.
    values = text.rpartition(")")[2].split()
    return "" if values[_STATE] in _ENDED else f"{_place()}/{pid}-{values[_START]}"


def _place() -> str:
    try:
        boot = (_PROC / "sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
        return f"{boot}/{(_PROC / 'self/ns/pid').readlink().name}"
    except OSError:
        return ""
