"""The device that computes, its precision, and running out of memory."""

import logging
import os
import traceback
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import wraps
from typing import ParamSpec, TypeVar

import torch

from elephant.errors import InvalidInputError, MemoryLimitError
from elephant.hardware import ISA_VARIABLES, available_bytes
from elephant.memory import give_back_memory

PRECISIONS = ("auto", "float32")

_WITH_BFLOAT16 = (8, 0)
# Parts of the names of oneDNN's sets of instructions that have AMX's tiles, and bfloat16.
_ISA_WITH_TILES = ("AMX", "DEFAULT", "ALL")
_ISA_WITH_BFLOAT16 = ("BF16", "FP16", "AVX10", *_ISA_WITH_TILES)


def best_device() -> torch.device:
    """Return the first CUDA device if there is one, otherwise the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def mixed_precision(device: torch.device, *, trains: bool) -> AbstractContextManager[None]:
    """Return a context in which convolutions compute in bfloat16 where that is fast, and which has no effect elsewhere.

    bfloat16 has the range of float32, so that gradients need no scaling. What has no such arithmetic would imitate it,
    many times slower than float32: GPUs before compute capability 8.0, and most processors. With AMX a processor trains
    in float32, since nobody has checked oneDNN's gradients there; see :func:`elephant.hardware.training_variables`.
    """
    is_fast = not _precision.is_float32 and device_has_bfloat16(device)
    is_checked = not (trains and device.type == "cpu" and cpu_has_tiles())
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=is_fast and is_checked)


class _Precision:
    """What this process computes in."""

    is_float32 = False


_precision = _Precision()


def choose_precision(name: str) -> None:
    """Choose what this process computes in: ``float32``, or ``auto`` for bfloat16 where the device has it.

    Raises
    ------
    InvalidInputError
        It is neither.
    """
    if name not in PRECISIONS:
        raise InvalidInputError(f"the precision {name!r} is not known: expected {' or '.join(PRECISIONS)}")
    _precision.is_float32 = name == "float32"


def device_has_bfloat16(device: torch.device) -> bool:
    """Return whether a device computes in bfloat16 itself."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= _WITH_BFLOAT16
    return device.type == "cpu" and cpu_has_bfloat16()


def cpu_has_bfloat16() -> bool:
    """Return whether the processor multiplies bfloat16, by AVX512 or AMX, and no variable forbids that."""
    has = (getattr(torch.cpu, f"_is_{name}_supported", bool) for name in ("avx512_bf16", "amx_tile"))
    is_wide = torch.backends.cpu.get_cpu_capability() == "AVX512"
    return _is_allowed(*_ISA_WITH_BFLOAT16) and is_wide and any(ask() for ask in has)


def cpu_has_tiles() -> bool:
    """Return whether the processor multiplies bfloat16 by AMX, and no variable forbids that."""
    ask: Callable[[], bool] = getattr(torch.cpu, "_is_amx_tile_supported", bool)
    return _is_allowed(*_ISA_WITH_TILES) and cpu_has_bfloat16() and ask()


def _is_allowed(*words: str) -> bool:
    """Return whether oneDNN may use a set of instructions whose name has one of some words."""
    limit = next(filter(None, map(os.environ.get, ISA_VARIABLES)), "DEFAULT")
    return any(word in limit.upper() for word in words)


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
    "could not create a primitive",  # there was no memory for its code
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
        if hasattr(torch.accelerator, "empty_host_cache"):  # since PyTorch 2.10
            torch.accelerator.empty_host_cache()


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
