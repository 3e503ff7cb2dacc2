"""The device that computes, its precision, and running out of memory."""

import logging
import traceback
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import wraps
from typing import ParamSpec, TypeVar

import torch

from elephant.errors import InvalidInputError, MemoryLimitError
from elephant.hardware import available_bytes
from elephant.memory import give_back_memory

_WITH_BFLOAT16 = (8, 0)


def best_device() -> torch.device:
    """Return the first CUDA device if there is one, otherwise the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def mixed_precision(device: torch.device) -> AbstractContextManager[None]:
    """Return a context in which convolutions compute in bfloat16 on CUDA, and which has no effect elsewhere.

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
        There is no such device on this machine, or the name is not valid.
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
            f"lists the devices"
        ) from error
    return device


P = ParamSpec("P")
R = TypeVar("R")

logger = logging.getLogger(__name__)

# What the libraries below PyTorch say; of some there is no class of their own.
_SIGNS = (
    "out of memory",
    "can't allocate memory",
    "cannot allocate memory",
    "not enough memory",  # on Windows
    "bad_alloc",
    "alloc_failed",
    "could not create a memory object",
)


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error means that the device, or the machine, is out of memory."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and any(sign in text for sign in _SIGNS)


def free_bytes(device: torch.device) -> int:
    """Return how much memory, in bytes, a computation on a device can use now."""
    if device.type != "cuda":
        return available_bytes()
    free, _ = torch.cuda.mem_get_info(device)
    # PyTorch keeps what tensors no longer need, for the next ones.
    return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)


def release_memory() -> None:
    """Free unused memory, of this process and in the device's cache, for other programs on the device."""
    give_back_memory()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def needs_memory(what: str, remedy: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Make a function raise an error that a user can act on if it runs out of memory.

    Its memory is freed first, so that the process can go on with other jobs.

    Parameters
    ----------
    what
        What needs the memory: the start of the message.
    remedy
        What to do: the end of the message.

    Raises
    ------
    MemoryLimitError
        In place of the libraries' own errors.
    """

    def decorate(work: Callable[P, R]) -> Callable[P, R]:
        @wraps(work)
        def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
            try:
                return work(*args, **kwargs)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                reason = first_line(error)
                traceback.clear_frames(error.__traceback__)  # they hold what was computed
            # Outside of the handler, which holds the error.
            release_memory()
            logger.warning("%s ran out of memory (%s)", what, reason)
            raise MemoryLimitError(f"{what} needs more memory than is available ({reason}): {remedy}")

        return wrapper

    return decorate


def first_line(error: BaseException) -> str:
    """Return the start of an error's text, without the advice for programmers that follows."""
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__
