"""The most that each figure should be."""

from typing import NamedTuple

from benchmarks.machine import has_bfloat16, processor


class Goal(NamedTuple):
    """The most that a figure should be, in the unit of its row; none: the figure is only shown.

    Attributes
    ----------
    anywhere
        On any machine.
    bfloat16
        On one whose processor multiplies bfloat16.
    """

    anywhere: float | None
    bfloat16: float | None


# By the keys of rows. Training is in T of the same crop: for small ones plain PyTorch takes a slow way.
GOALS = {
    "network-detection": Goal(None, 0.16),
    "seg-predict": Goal(0.9, 0.25),
    "flow-predict": Goal(0.9, 0.18),
    "training-96": Goal(0.75, 0.3),
    "training-48": Goal(0.5, 0.25),
    "served-training-96": Goal(0.75, 0.35),
    "served-training-48": Goal(0.5, 0.35),
    "served-training-worked-96": Goal(0.75, 0.35),
    "served-training-worked-48": Goal(0.5, 0.35),
    "seg-update": Goal(50, 35),
    "seg-update-background": Goal(50, 35),
    "spots": Goal(0.25, 0.25),
    "masks": Goal(0.05, 0.05),
    "conversion": Goal(1, 0.6),
    "conversion-memory": Goal(300, 300),
    "equality": Goal(0.5, 0.5),
    "equality-centres": Goal(0.05, 0.05),
    "equality-flow": Goal(0.1, 0.1),
    "cold": Goal(1.5, 1.5),
    # As much as before networks kept memory.
    "memory": Goal(660, 660),
    "memory-kept": Goal(75, 75),
    "whole-movie": Goal(1.1, 1.1),
    "gpus": Goal(3, 3),
    "gpus-training": Goal(1.03, 1.03),
    "disk": Goal(2, 2),
    "files": Goal(12, 12),
    "gpu-floor": Goal(3, 3),
    "gpu-training-96": Goal(1.5, 1.5),
    "gpu-training-48": Goal(1.5, 1.5),
    "gpu-equality": Goal(0.5, 0.5),
    "gpu-equality-centres": Goal(0.05, 0.05),
    "gpu-equality-flow": Goal(0.1, 0.1),
    "gpu-timepoint": Goal(1.5, 1.5),
    "gpu-whole-movie": Goal(1.1, 1.1),
}
# By processors, and by the keys of rows with bfloat16 forbidden: two thirds of what it was when nothing used it.
_LIMITED: dict[str, dict[str, float]] = {
    "AMD EPYC (family 25, model 17)": {
        "network-detection-avx512": 0.32,
        "network-flow-avx512": 0.29,
        "network-training-96-avx512": 0.45,
        "network-training-48-avx512": 0.31,
        "seg-predict-avx512": 0.57,
        "flow-predict-avx512": 0.42,
        "training-96-avx512": 0.38,
        "training-48-avx512": 0.35,
        "network-detection-avx2": 0.31,
        "network-flow-avx2": 0.30,
        "network-training-96-avx2": 0.43,
        "network-training-48-avx2": 0.41,
        "seg-predict-avx2": 0.54,
        "flow-predict-avx2": 0.39,
        "training-96-avx2": 0.50,
        "training-48-avx2": 0.39,
    }
}


def goal(key: str) -> float | None:
    """Return the goal of a row on this machine; None: there is none."""
    found = GOALS.get(key, Goal(None, None))
    return found.bfloat16 if has_bfloat16() else found.anywhere


def limited_goal(key: str) -> float | None:
    """Return the goal of a row with bfloat16 forbidden on this processor; None where nobody has measured before."""
    return _LIMITED.get(processor(), {}).get(key)
