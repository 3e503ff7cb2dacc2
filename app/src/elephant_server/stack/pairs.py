"""The pairs of workers of this machine: a training and an answering one for each GPU."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from elephant.hardware import n_cores
from elephant_server.hardware import n_gpus
from elephant_server.settings import Settings, variable

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
    """Return the workers of this machine; none where it has not that role."""
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
    """Return the GPUs that are meant, as CUDA calls them; a scheduler's choice counts where the setting is ``all``."""
    wanted = settings.cuda_visible_devices
    if wanted is None and "CUDA_VISIBLE_DEVICES" in environment:
        wanted = environment["CUDA_VISIBLE_DEVICES"]
    if wanted is None:
        return [str(index) for index in range(n_gpus())]
    return [name for name in wanted.replace(" ", "").split(",") if name not in ("", "-1")]


def _variables(pair: int, n_pairs: int, devices: list[str], environment: Mapping[str, str]) -> dict[str, str]:
    """Return what tells a pair from the others; nothing where it is the only one."""
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
