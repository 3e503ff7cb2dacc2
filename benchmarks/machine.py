"""What the figures were measured on."""

import datetime as dt
import os
import platform
import re
from functools import cache
from pathlib import Path
from typing import Any

import psutil
import torch


def description(*, gpu: bool) -> dict[str, Any]:
    """Return what a reader needs to judge figures in seconds."""
    found = {
        "cpu": processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30),
        "pytorch": torch.__version__,
        "instructions": ", ".join((torch.backends.cpu.get_cpu_capability(), *_bfloat16_instructions())),
        "python": platform.python_version(),
        "system": platform.system(),
    }
    if gpu:
        found |= {"gpu": torch.cuda.get_device_name(), "cuda": torch.version.cuda}
    return found


def has_bfloat16() -> bool:
    """Return whether the processor multiplies bfloat16, whatever PyTorch and oneDNN are told to use of it."""
    return bool(_bfloat16_instructions())


def moment() -> dict[str, Any]:
    """Return when this is, and how busy the machine has been for a minute: runnable processes, ours among them."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    return {"date": dt.datetime.now(dt.UTC).date().isoformat(), "load": round(load, 1)}


def processor() -> str:
    """Return the name of the processor, with what tells two of one name apart."""
    values = _cpuinfo()
    if not values:
        return platform.processor()
    family = f"family {values.get('cpu family', '?')}, model {values.get('model', '?')}"
    return f"{values.get('model name', platform.machine())} ({family})"


def _bfloat16_instructions() -> list[str]:
    flags = _cpuinfo().get("flags", "").split()
    return [name for name in ("amx_bf16", "avx512_bf16") if name in flags]


@cache
def _cpuinfo() -> dict[str, str]:
    """Return what Linux says about a core; nothing elsewhere."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return {}
    return dict(re.findall(r"^(model name|cpu family|model|flags)\s*: (.*)$", text, re.MULTILINE))
