"""Which device computes, and in which precision."""

from contextlib import AbstractContextManager

import torch

from elephant.errors import InvalidInputError

_WITH_BFLOAT16 = (8, 0)


def best_device() -> torch.device:
    """Return the first CUDA device where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def mixed_precision(device: torch.device) -> AbstractContextManager[None]:
    """Return a context in which convolutions compute in bfloat16 on CUDA, and that changes nothing elsewhere.

    bfloat16 has the range of float32, so that gradients need no scaling. GPUs before compute capability 8.0 have no
    such arithmetic: PyTorch would imitate it, many times slower than float32.
    """
    is_fast = device.type == "cuda" and torch.cuda.get_device_capability(device) >= _WITH_BFLOAT16
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=is_fast)


def choose_device(name: str) -> torch.device:
    """Return the device that a person names: ``cpu``, ``cuda``, ``cuda:1``, ``mps``, or ``auto`` for the best.

    Raises
    ------
    InvalidInputError
        There is no such device on this machine, or its name is none.
    """
    if name == "auto":
        return best_device()
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise InvalidInputError(
            f"the device {name!r} cannot be used: expected auto, cpu, cuda, cuda:1 or mps"
        ) from error
    try:
        torch.zeros(1, device=device).item()  # of some devices there are shapes alone
    except (RuntimeError, AssertionError) as error:  # torch without CUDA asserts
        reason = str(error).strip().splitlines()[0][:120]
        raise InvalidInputError(
            f"the device {name!r} cannot be used ({reason}): choose auto, cpu, cuda, cuda:1 or mps; `elephant doctor` "
            "says what is there"
        ) from error
    return device
