"""What computes, as far as it may change a digit of what is computed."""

import os
import platform
from functools import cache
from hashlib import blake2b
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from elephant.device import cpu_has_bfloat16, cpu_has_tiles, mixed_precision
from elephant.hardware import ISA_VARIABLES
from elephant.prediction.tiling import uses_own_kernels

_LIBRARIES = ("torch", "numpy", "scipy")
_CPU_INFO = Path("/proc/cpuinfo")
_OF_CPU = ("vendor_id", "model name", "flags", "CPU implementer", "CPU part", "Features")


def describe_arithmetic(device: torch.device) -> dict[str, object]:
    """Return what computes a prediction: code, libraries, device, precision and threads, by name."""
    with mixed_precision(device, trains=False):
        is_mixed = torch.is_autocast_enabled(device.type)
    found: dict[str, object] = {
        "code": code_digest(),
        "libraries": {name: _version_of(name) for name in _LIBRARIES},
        "is_mixed": is_mixed,
        "device": device.type,
        "cpu": _processor(),
        "instructions": [
            torch.backends.cpu.get_cpu_capability(),
            cpu_has_bfloat16(),
            cpu_has_tiles(),
            *(os.environ.get(name) for name in ISA_VARIABLES),
        ],
        "threads": torch.get_num_threads(),
    }
    if device.type == "cuda":
        found["gpu"] = [
            torch.cuda.get_device_name(device),
            torch.cuda.get_device_capability(device),
            torch.version.cuda,
            torch.backends.cudnn.version(),  # type: ignore[no-untyped-call]
            uses_own_kernels(device),
        ]
    return found


@cache
def code_digest() -> str:
    """Return a digest of this package's own files: another version may find something else."""
    root, digest = Path(__file__).parents[1], blake2b(digest_size=20)
    for path in sorted(root.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            digest.update(path.relative_to(root).as_posix().encode() + b"\0")
            digest.update(path.read_bytes())
    return digest.hexdigest()


@cache
def _processor() -> str:
    """Return which processor it is: libraries choose their code by it."""
    lines = [platform.machine(), platform.processor()]
    try:
        text = _CPU_INFO.read_text(encoding="utf-8", errors="replace").partition("\n\n")[0]
    except OSError:
        text = ""
    lines += [line for line in text.splitlines() if line.partition(":")[0].strip() in _OF_CPU]
    return blake2b("\n".join(lines).encode(), digest_size=20).hexdigest()


@cache
def _version_of(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
