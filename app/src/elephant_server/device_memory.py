"""The memory of the machine's devices, cheap enough to query every second and without PyTorch."""

import functools
from dataclasses import dataclass
from typing import Any

import psutil
import pynvml

MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class DeviceMemory:
    """A device as the client shows it; memory in MiB."""

    id: str
    name: str
    mem_total: float
    mem_used: float

    def as_json(self) -> dict[str, Any]:
        """Return the form that the client expects: nothing may be missing or null."""
        return {"id": self.id, "name": self.name, "mem_total": self.mem_total, "mem_used": self.mem_used}


def device_memory(chosen: str) -> list[DeviceMemory]:
    """Return the GPUs that the server uses; without one a single entry with the host's memory.

    Parameters
    ----------
    chosen
        ``all``, indices separated by commas, or nothing.
    """
    try:
        gpus = [_gpu(index) for index in range(n_gpus()) if _is_chosen(index, chosen)]
    except pynvml.NVMLError:
        gpus = []
    return gpus or [_host()]


@functools.cache
def n_gpus() -> int:
    """Return how many NVIDIA GPUs the driver knows."""
    try:
        pynvml.nvmlInit()
        return int(pynvml.nvmlDeviceGetCount())
    except pynvml.NVMLError:
        return 0


def _is_chosen(index: int, chosen: str) -> bool:
    wanted = chosen.split(",")
    return chosen == "all" or str(index) in wanted or _is_named(index, wanted)


def _is_named(index: int, wanted: list[str]) -> bool:
    """Return whether a GPU is chosen by its UUID, or the beginning of it."""
    names = [name for name in wanted if name.startswith("GPU-")]
    if not names:
        return False
    return any(_uuid(index).startswith(name) for name in names)


def gpu_uuid(device: str) -> str:
    """Return the UUID of a GPU, from its index or UUID; ``""`` if unknown."""
    if not device.isdecimal():
        return device
    try:
        return _uuid(int(device)) if int(device) < n_gpus() else ""
    except pynvml.NVMLError:
        return ""


def _uuid(index: int) -> str:
    uuid = pynvml.nvmlDeviceGetUUID(pynvml.nvmlDeviceGetHandleByIndex(index))
    return uuid.decode() if isinstance(uuid, bytes) else str(uuid)


def _gpu(index: int) -> DeviceMemory:
    handle = pynvml.nvmlDeviceGetHandleByIndex(index)
    memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
    name = pynvml.nvmlDeviceGetName(handle)
    text = name.decode() if isinstance(name, bytes) else str(name)
    return DeviceMemory(str(index), text, memory.total / MIB, memory.used / MIB)


def _host() -> DeviceMemory:
    memory = psutil.virtual_memory()
    return DeviceMemory(
        "GPU is not available", "CPU is used", memory.total / MIB, (memory.total - memory.available) / MIB
    )
