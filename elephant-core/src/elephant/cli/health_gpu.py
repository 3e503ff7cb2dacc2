"""What computes: GPUs, and why one that is there may not be used."""

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from elephant.cli.health import Finding, ok, problem, warning
from elephant.device import device_has_bfloat16
from elephant.models.gpu.kernels import why_none
from elephant.words import in_bytes

_NAME = "device"
_PYTORCH = "https://pytorch.org/get-started"
_SMI_SECONDS = 20


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known of NVIDIA's GPUs.

    Attributes
    ----------
    by_torch
        Name and memory, in words, of those that PyTorch can use.
    torch_version, built_for
        PyTorch's version and the CUDA that it was built for; None: built without.
    by_driver
        Those that ``nvidia-smi`` sees, with the driver's version; empty if there are none.
    driver_trouble
        The error of ``nvidia-smi``; empty if it works, or is not installed.
    """

    by_torch: tuple[str, ...]
    torch_version: str
    built_for: str | None
    by_driver: tuple[str, ...] = ()
    driver_trouble: str = ""


def check_devices(_workspace: Path | None) -> Iterator[Finding]:
    """Check which device computes, and why a GPU does not."""
    seen = look()
    yield explain(seen, os.environ)
    if seen.by_torch:
        yield _try_out()
        device = torch.device("cuda", 0)
        yield explain_kernels(device_has_bfloat16(device), why_none(device))
    if torch.backends.mps.is_available():
        yield ok("mps", "Apple's GPU is available: --device mps uses it; auto uses the CPU")


def look() -> Seen:
    """Ask PyTorch and the driver which GPUs there are."""
    by_torch = tuple(map(_described, range(torch.cuda.device_count()))) if torch.cuda.is_available() else ()
    by_driver, trouble = _ask_driver()
    return Seen(by_torch, str(torch.__version__), torch.version.cuda, by_driver, trouble)


def explain(seen: Seen, environment: Mapping[str, str]) -> Finding:
    """Return what a person should know about the GPUs."""
    if seen.by_torch:
        return ok(_NAME, f"{'; '.join(seen.by_torch)} (CUDA {seen.built_for})")
    if seen.by_driver:
        return _explain_unused(seen, environment.get("CUDA_VISIBLE_DEVICES"))
    if seen.driver_trouble:
        return problem(
            _NAME,
            f"NVIDIA's driver is installed, but fails ({seen.driver_trouble}): the CPU computes",
            "Restart the machine (needed after a driver update), or reinstall the driver.",
        )
    words = "no GPU was found: the CPU computes, many times slower"
    return warning(_NAME, words, "Use a machine with an NVIDIA GPU for large movies.")


def _explain_unused(seen: Seen, visible: str | None) -> Finding:
    """Report why PyTorch does not use a GPU that the driver sees."""
    there, pytorch = f"there is a GPU ({'; '.join(seen.by_driver)})", f"PyTorch {seen.torch_version}"
    if visible is not None and visible.strip() in ("", "-1"):
        words = f"{there}, but CUDA_VISIBLE_DEVICES={visible!r} hides it: the CPU computes"
        return warning(_NAME, words, "Unset the variable to use it.")
    if seen.built_for is None:
        return problem(
            _NAME,
            f"{there}, but {pytorch} is built without CUDA: the CPU computes",
            f"Install PyTorch with CUDA: pip install --force-reinstall torch ({_PYTORCH}/locally).",
        )
    return problem(
        _NAME,
        f"{there}, but {pytorch} for CUDA {seen.built_for} cannot use it: the CPU computes",
        f"Update the driver, or install a PyTorch for an older CUDA ({_PYTORCH}/previous-versions).",
    )


def _described(index: int) -> str:
    properties = torch.cuda.get_device_properties(index)
    return f"cuda:{index} {properties.name}, {in_bytes(properties.total_memory)}"


def _try_out() -> Finding:
    """Run a convolution on the GPU: one that is too old, or full, fails only then."""
    try:
        volume = torch.ones((1, 1, 8, 8, 8), device="cuda")
        torch.nn.functional.conv3d(volume, torch.ones((1, 1, 3, 3, 3), device="cuda")).sum().item()
        free, total = torch.cuda.mem_get_info()
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[0]
        return problem(
            "gpu",
            f"it is present, but cannot compute: {reason}",
            f"Update the driver, or install a PyTorch for this GPU ({_PYTORCH}).",
        )
    if free < total / 4:
        return warning(
            "gpu",
            f"it works, but only {in_bytes(free)} of {in_bytes(total)} are free",
            "Close other programs that use it; nvidia-smi lists them.",
        )
    return ok("gpu", f"it works; {in_bytes(free)} of {in_bytes(total)} are free")


def explain_kernels(has_bfloat16: bool, why_not: str | None) -> Finding:
    """Return how fast predictions are on the GPU.

    Parameters
    ----------
    why_not
        Why it has none of this package's kernels; None where it has them.
    """
    name = "gpu kernels"
    if not has_bfloat16:
        return ok(name, "the GPU has no bfloat16, which takes compute capability 8.0: PyTorch computes in float32")
    if why_not is None:
        return ok(name, "this package's own are compiled for the GPU")
    return warning(
        name,
        f"PyTorch's are used, and predictions take several times as long, since our own cannot be compiled ({why_not})",
        "Install NVIDIA's compiler for this Python: pip install cuda-bindings",
    )


def _ask_driver() -> tuple[tuple[str, ...], str]:
    program = shutil.which("nvidia-smi")
    if program is None:
        return (), ""
    command = [program, "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_SMI_SECONDS, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired) as error:
        return (), str(error)
    lines = tuple(line.strip() for line in done.stdout.splitlines() if line.strip())
    if done.returncode:
        return (), (lines or (done.stderr.strip(),))[0]
    return tuple("{}, {}, driver {}".format(*line.split(", ")) for line in lines if line.count(", ") == 2), ""
