"""Memory that networks use is given back when nothing is to be done, on each kind of server."""

import re
from pathlib import Path

import numpy as np
import psutil

from elephant.models.ensemble import Ensemble
from elephant.models.unet import DetectionNet
from stack.player import Player, predict_body
from stack.running import wait_until

SOON = {"ELEPHANT_KEEP_MEMORY_SECONDS": "1"}
MIB = 1 << 20


def gives_memory_back(player: Player, worker: psutil.Process) -> None:
    """Check that a worker, which has done nothing large so far, needs memory for a prediction and gives it back."""
    noise = np.random.default_rng(0).integers(0, 255, (1, 16, 256, 256), dtype=np.uint16)
    assert player.make_dataset("noise", noise).status_code == 200
    # There is a model: to start one would need memory as well.
    Ensemble([DetectionNet(3, 0)]).save(player.server.workspace / "models" / "noise.pth")
    asked = predict_body("noise", model_name="noise.pth")
    # What the first prediction loads stays.
    assert player.post("seg/predict", asked | {"crop_box": [0, 0, 0, 16, 16, 16]}).status_code == 200
    before = worker.memory_info().rss
    assert player.post("seg/predict", asked).status_code == 200
    assert peak(worker) > before + 200 * MIB
    wait_until(lambda: worker.memory_info().rss < before + 100 * MIB, 60, "the memory")


def peak(process: psutil.Process) -> int:
    """Return the most memory that a process has ever had, in bytes."""
    found = re.findall(r"VmHWM:\s*(\d+) kB", Path(f"/proc/{process.pid}/status").read_text())
    return int(found[0]) * 1024
