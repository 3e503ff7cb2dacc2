"""The workers of this machine: a training and an answering one for each GPU, and ending those that do not respond."""

import os
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

from redis.exceptions import RedisError

from elephant.hardware import n_cores, training_variables
from elephant.io.locks import give_back, take
from elephant_server.deploy.supervision import ProgramState
from elephant_server.device_memory import gpu_uuid, n_gpus
from elephant_server.jobs.silence import end_silent
from elephant_server.jobs.store import JobStore
from elephant_server.jobs.store_redis import RedisStore
from elephant_server.jobs.worker_registry import Member, RedisWorkerRegistry
from elephant_server.settings import Settings, variable

FOLDER = ".gpus"  # not a valid name of a machine
QUEUES = TRAINING, ANSWERING = ("training", "answering")
# A worker's heartbeat comes every two seconds, from a thread of its own.
SILENT_S = 60.0


def with_own_gpus(settings: Settings, stack: ExitStack) -> Settings:
    """Return the settings with a separate GPU for each pair of workers, if there are more GPUs than pairs.

    A GPU is reserved by a kernel lock on a file that all launchers of the machine see, until `stack` is closed or the
    process ends. If others hold too many, the first ones are shared.
    """
    devices = devices_of(settings) if settings.starts_workers and settings.is_cluster else []
    n_pairs = settings.worker_pairs or len(devices)
    if n_pairs >= len(devices):
        return settings
    folder = settings.secrets_dir / FOLDER
    folder.mkdir(exist_ok=True)
    own: list[str] = []
    for device in devices:
        if len(own) < n_pairs and _hold(folder / f"{gpu_uuid(device) or settings.machine + '-' + device}.lock", stack):
            own.append(device)
    own += [device for device in devices if device not in own][: n_pairs - len(own)]
    return settings.model_copy(update={"gpu": ",".join(own)})


def _hold(file: Path, stack: ExitStack) -> bool:
    """Lock a file until the stack is closed; False if another process holds it."""
    handle = take(file, mode=0o600)
    if handle is not None:
        stack.callback(give_back, handle)
    return handle is not None


@dataclass(frozen=True, slots=True)
class Worker:
    """A worker's program.

    Attributes
    ----------
    name, queue
        Of the program, and where its jobs come from.
    environment
        Variables of its own.
    """

    name: str
    queue: str
    environment: Mapping[str, str]


def workers_of(settings: Settings, environment: Mapping[str, str] = os.environ) -> list[Worker]:
    """Return the workers of this machine; none if it does not have that role."""
    if not settings.starts_workers:
        return []
    devices = devices_of(settings, environment)
    n_pairs = settings.worker_pairs or max(1, len(devices))
    return [
        Worker(f"{queue}-{pair + 1}" if pair else queue, queue, _variables(pair, n_pairs, devices, environment) | own)
        for pair in range(n_pairs)
        for queue, own in {TRAINING: training_variables(environment), ANSWERING: {}}.items()
    ]


def devices_of(settings: Settings, environment: Mapping[str, str] = os.environ) -> list[str]:
    """Return the chosen GPUs, by their CUDA names; a scheduler's choice counts if the setting is ``all``."""
    wanted = settings.cuda_visible_devices
    if wanted is None and "CUDA_VISIBLE_DEVICES" in environment:
        wanted = environment["CUDA_VISIBLE_DEVICES"]
    if wanted is None:
        return [str(index) for index in range(n_gpus())]
    return [name for name in wanted.replace(" ", "").split(",") if name not in ("", "-1")]


def _variables(pair: int, n_pairs: int, devices: list[str], environment: Mapping[str, str]) -> dict[str, str]:
    """Return a pair's variables: its GPU, and its share of the cores; none if it is the only pair."""
    if n_pairs == 1:
        return {}
    device = devices[pair % len(devices)] if devices else None
    own = {} if device is None else {"CUDA_VISIBLE_DEVICES": device, variable("gpu"): device}
    if "OMP_NUM_THREADS" not in environment:
        # Otherwise each would take all cores, and all of them would wait for each other.
        own["OMP_NUM_THREADS"] = str(max(1, n_cores() // n_pairs))
    return own


def absent_workers(settings: Settings) -> list[str]:
    """Return the names of this machine's workers missing in the worker registry; all while it is unavailable."""
    there: set[str] = set()
    with suppress(RedisError):
        there = present_workers(settings)
    return [worker.name for worker in workers_of(settings) if worker.name not in there]


def present_workers(settings: Settings) -> set[str]:
    """Return the names of this machine's workers with a current heartbeat.

    Raises
    ------
    redis.exceptions.RedisError
        The worker registry cannot be reached.
    """
    return {member.name for member in _members(settings)}


def own_devices(settings: Settings) -> str:
    """Return the names of the devices of this machine's workers; none while the worker registry is unavailable."""
    devices: dict[str, str] = {}
    with suppress(RedisError):
        devices = {device.id: device.name for member in _members(settings) for device in member.devices}
    return ", ".join(devices[name] for name in sorted(devices))


def _members(settings: Settings) -> list[Member]:
    registry = RedisWorkerRegistry(settings.redis_url)
    return [member for member in registry.present() if member.machine == settings.machine]


class SilentWorkers:
    """Looks for workers whose heartbeat has stopped.

    Parameters
    ----------
    settings
        Where Redis is, and which workers this machine has.
    present
        Returns the names of the workers with a current heartbeat.
    clock
        Returns seconds; monotonic.
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
        self._seen: dict[str, tuple[int, float]] = {}  # process, and time of its last heartbeat

    def look(self, programs: Mapping[str, ProgramState]) -> list[str]:
        """End the workers that do not respond, and return their names; none while Redis is unavailable."""
        if not self._names:
            return []
        try:
            present = self._present(self._settings)
            end_silent(self._job_store)
        except RedisError:
            self._seen = {}  # no heartbeat could be read meanwhile
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
