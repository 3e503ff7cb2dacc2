"""The CUDA kernels of this folder: compiled for a device when they are first needed, and launched."""

import ctypes
import logging
import math
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

logger = logging.getLogger(__name__)

THREADS = 256  # of a block; as in common.cuh
_FOLDER = Path(__file__).parent
_C_TYPES = {int: ctypes.c_int, float: ctypes.c_float}


class Kernel(NamedTuple):
    """A kernel of this folder.

    Attributes
    ----------
    function, file
        Its name, and the file that it is in.
    constants
        What the file is compiled with.
    shared_bytes
        Shared memory of a block that the file does not declare.
    """

    function: str
    file: str = "layers.cu"
    constants: tuple[tuple[str, int], ...] = ()
    shared_bytes: int = 0


class Kernels:
    """The compiled kernels of the device that is current.

    Raises
    ------
    ImportError, OSError, RuntimeError
        The device or this installation has nothing to compile them with.
    """

    def __init__(self) -> None:
        # They come with PyTorch, where that is for CUDA.
        from cuda.bindings import driver, nvrtc  # noqa: PLC0415

        self._driver, self._nvrtc = driver, nvrtc
        torch.cuda.current_stream().synchronize()  # so that the device is in use
        self._functions: dict[Kernel, Any] = {}
        self._modules: dict[tuple[str, tuple[tuple[str, int], ...]], Any] = {}
        self._module("layers.cu", ())  # that it can be compiled is known from here on

    def launch(self, kernel: Kernel, grid: tuple[int, int, int], arguments: Sequence[Any]) -> None:
        """Start a kernel in the current stream.

        Parameters
        ----------
        grid
            Number of blocks along X, Y, Z.
        arguments
            Tensors, numbers (int and float in C), None, and others as values of ctypes.
        """
        values, types = zip(*map(_in_c, arguments), strict=True)
        stream = self._driver.CUstream(torch.cuda.current_stream().cuda_stream)
        sizes = (*grid, THREADS, 1, 1, kernel.shared_bytes)
        self._check(self._driver.cuLaunchKernel(self._function(kernel), *sizes, stream, (values, types), 0))

    def _function(self, kernel: Kernel) -> Any:
        if kernel not in self._functions:
            module = self._module(kernel.file, kernel.constants)
            found = self._check(self._driver.cuModuleGetFunction(module, kernel.function.encode()))
            most = self._driver.CUfunction_attribute.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
            self._check(self._driver.cuFuncSetAttribute(found, most, kernel.shared_bytes))
            self._functions[kernel] = found
        return self._functions[kernel]

    def _module(self, file: str, constants: tuple[tuple[str, int], ...]) -> Any:
        """Return a file, compiled with constants and loaded."""
        if (file, constants) not in self._modules:
            defined = [f"#define {name} {value}\n" for name, value in constants]
            parts = [(_FOLDER / part).read_text(encoding="utf-8") for part in ("common.cuh", file)]
            binary = np.frombuffer(self._compile("".join(defined + parts), file), dtype=np.uint8)
            self._modules[file, constants] = self._check(self._driver.cuModuleLoadData(binary.ctypes.data))
        return self._modules[file, constants]

    def _compile(self, source: str, name: str) -> bytes:
        nvrtc, major_minor = self._nvrtc, torch.cuda.get_device_capability()
        options = [b"--gpu-architecture=sm_%d%d" % major_minor, b"--std=c++17"]
        program = self._check(nvrtc.nvrtcCreateProgram(source.encode(), name.encode(), 0, [], []))
        (error,) = nvrtc.nvrtcCompileProgram(program, len(options), options)
        if int(error):
            log = b" " * self._check(nvrtc.nvrtcGetProgramLogSize(program))
            self._check(nvrtc.nvrtcGetProgramLog(program, log))
            raise RuntimeError(f"{name} cannot be compiled: {log.decode(errors='replace').strip()}")
        binary: bytes = b" " * self._check(nvrtc.nvrtcGetCUBINSize(program))
        self._check(nvrtc.nvrtcGetCUBIN(program, binary))
        return binary

    @staticmethod
    def _check(answer: tuple[Any, ...]) -> Any:
        error, *found = answer
        if int(error):
            raise RuntimeError(f"CUDA's compiler or driver says {error!r}")
        return found[0] if found else None


def kernels_of(device: torch.device) -> Kernels | None:
    """Return the kernels of a device; None, and once a line in the log says why, where there can be none.

    None, too, on the GPUs of other makers, which PyTorch also calls CUDA devices.
    """
    found = _compiled(device)
    return found if isinstance(found, Kernels) else None


def why_none(device: torch.device) -> str | None:
    """Return why a device has no kernels; None where it has them."""
    found = _compiled(device)
    return found if isinstance(found, str) else None


def _compiled(device: torch.device) -> Kernels | str:
    if torch.version.cuda is None:
        return "PyTorch is not built for CUDA"
    return _compiled_for(torch.cuda.current_device() if device.index is None else device.index)


@cache
def _compiled_for(index: int) -> Kernels | str:
    try:
        with torch.cuda.device(index):
            return Kernels()
    except (ImportError, OSError, RuntimeError) as error:
        logger.warning("PyTorch's layers, which are several times slower, compute in place of our own: %s", error)
        return str(error)


def n_blocks(n: int, each: int = THREADS) -> int:
    """Return how many blocks, each of some things, it takes for all of them."""
    return math.ceil(n / each)


def _in_c(value: Any) -> tuple[Any, Any]:
    """Return a value and its type in C."""
    if value is None:
        return 0, ctypes.c_void_p
    if isinstance(value, Tensor):
        return value.data_ptr(), ctypes.c_void_p
    if isinstance(value, int | float):
        return value, _C_TYPES[type(value)]
    return value.value, type(value)
