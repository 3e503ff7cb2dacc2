"""What the figures were measured on."""

import datetime as dt
import os
import platform
import re
from pathlib import Path
from typing import Any

import psutil
import torch


def description(*, gpu: bool) -> dict[str, Any]:
    """Return what a reader needs to judge figures in seconds."""
    found = {
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30),
        "pytorch": torch.__version__,
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "python": platform.python_version(),
        "system": platform.system(),
    }
    if gpu:
        found |= {"gpu": torch.cuda.get_device_name(), "cuda": torch.version.cuda}
    return found


def moment() -> dict[str, Any]:
    """Return when this is, and how busy the machine has been for a minute: runnable processes, ours among them."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    return {"date": dt.datetime.now(dt.UTC).date().isoformat(), "load": round(load, 1)}


def _cpu() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor()
    values = dict(re.findall(r"^(model name|cpu family|model)\s*: (.*)$", text, re.MULTILINE))
    family = f"family {values.get('cpu family', '?')}, model {values.get('model', '?')}"
    return f"{values.get('model name', platform.machine())} ({family})"
