"""The pairs of workers of this machine, a training and an answering one for each GPU, and the choice of GPUs."""

import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from elephant.hardware import n_cores
from elephant_server.device_memory import gpu_uuid, n_gpus
from elephant_server.settings import Settings, variable

try:
    import fcntl
except ImportError:  # Windows, which has no stack; `elephant doctor` comes by here
    fcntl = None  # type: ignore[assignment]

FOLDER = ".gpus"  # no machine is called so


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
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return False
    stack.callback(os.close, descriptor)
    return True


QUEUES = ("training", "answering")


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
        Worker(f"{queue}-{pair + 1}" if pair else queue, queue, _variables(pair, n_pairs, devices, environment))
        for pair in range(n_pairs)
        for queue in QUEUES
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
    """Return a suffix that identifies a pair; empty if it is the only one."""
    return dict(_told_apart(pair, n_pairs, devices, environment)) if n_pairs > 1 else {}


def _told_apart(
    pair: int, n_pairs: int, devices: list[str], environment: Mapping[str, str]
) -> Iterator[tuple[str, str]]:
    if devices:
        device = devices[pair % len(devices)]
        yield "CUDA_VISIBLE_DEVICES", device
        yield variable("gpu"), device
    if "OMP_NUM_THREADS" not in environment:
        # Else each would take all cores, and all of them would wait for each other.
        yield "OMP_NUM_THREADS", str(max(1, n_cores() // n_pairs))
