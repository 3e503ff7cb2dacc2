"""Which device computes, and in which precision."""

from contextlib import AbstractContextManager

import torch


def best_device() -> torch.device:
    """Return the first CUDA device where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def mixed_precision(device: torch.device) -> AbstractContextManager[None]:
    """Return a context in which convolutions compute in bfloat16 on CUDA, and that changes nothing elsewhere.

    bfloat16 has the range of float32, so that gradients need no scaling.
    """
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=device.type == "cuda")
