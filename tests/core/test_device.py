import os
import platform
import re
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch

from elephant.device import choose_device, choose_precision, cpu_has_bfloat16, cpu_has_tiles, mixed_precision
from elephant.errors import InvalidInputError
from elephant.hardware import ISA_VARIABLES, training_variables


@pytest.fixture(autouse=True)
def _no_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Begin without a limit of instructions, such as a training in this process sets."""
    for name in ISA_VARIABLES:
        monkeypatch.delenv(name, raising=False)


def test_a_gpu_without_bfloat16_computes_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _device: (7, 5))
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # not even asked for, where there is no GPU
        context = mixed_precision(torch.device("cuda:0"), trains=False)
    with context:
        assert not torch.is_autocast_enabled("cuda")


CPU = torch.device("cpu")


def test_a_cpu_computes_in_bfloat16_where_it_has_it_and_nobody_forbids_it() -> None:
    with mixed_precision(CPU, trains=False):
        assert torch.is_autocast_enabled("cpu") == cpu_has_bfloat16()
    with mixed_precision(CPU, trains=True):
        assert torch.is_autocast_enabled("cpu") == (cpu_has_bfloat16() and not cpu_has_tiles())
    choose_precision("float32")
    try:
        for trains in (False, True):
            with mixed_precision(CPU, trains=trains):
                assert not torch.is_autocast_enabled("cpu")
    finally:
        choose_precision("auto")


def test_a_processor_with_tiles_trains_in_bfloat16_where_they_are_forbidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: True)
    for limit in ("DEFAULT", "AVX512_CORE_AMX", "AVX10_1_512_AMX"):
        monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", limit)
        with mixed_precision(CPU, trains=True):
            assert not torch.is_autocast_enabled("cpu")
    assert training_variables() == {}  # what a person set stays
    monkeypatch.delenv("ONEDNN_MAX_CPU_ISA")
    for name, value in training_variables().items():
        monkeypatch.setenv(name, value)
    with mixed_precision(CPU, trains=True):
        assert torch.is_autocast_enabled("cpu") == cpu_has_bfloat16()


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="PyTorch has no oneDNN here")
def test_a_process_that_trains_leaves_tiles_out_before_it_computes() -> None:
    program = """
import os, torch
from elephant.hardware import training_variables
from elephant.models.unet import convolution
os.environ.update(training_variables())
with torch.no_grad(), torch.backends.mkldnn.verbose(torch.backends.mkldnn.VERBOSE_ON):
    convolution(3, 16, 16, 3)(torch.rand(1, 16, 8, 32, 32))
"""
    free = {name: value for name, value in os.environ.items() if name not in ISA_VARIABLES}
    done = subprocess.run([sys.executable, "-c", program], env=free, capture_output=True, text=True, check=True)
    (used,) = re.findall(r"cpu,isa:(.*)", done.stdout)
    assert "AMX" not in used


@pytest.mark.parametrize("variable", ["ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA"])
@pytest.mark.parametrize("limit", ["AVX512_CORE", "avx512_core_vnni", "AVX2", "SSE41"])
def test_a_limit_of_instructions_holds(variable: str, limit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    has = cpu_has_bfloat16()
    monkeypatch.setenv(variable, limit)
    assert not cpu_has_bfloat16()
    for wide in ("AVX512_CORE_BF16", "avx512_core_amx", "DEFAULT"):
        monkeypatch.setenv(variable, wide)
        assert cpu_has_bfloat16() == has


def test_the_processor_is_asked() -> None:
    flags = Path("/proc/cpuinfo")
    if not flags.is_file() or platform.machine() != "x86_64":
        pytest.skip("only Linux says what a processor of this kind has")
    names = set(re.search(r"^flags\s*:(.*)$", flags.read_text(), re.MULTILINE)[1].split())  # type: ignore[index]
    assert cpu_has_bfloat16() == ("avx512_bf16" in names or {"amx_bf16", "avx512f"} <= names)


def test_another_precision_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="'float16' is not known: expected auto or float32"):
        choose_precision("float16")


@pytest.mark.parametrize("name", ["meta", "cuda:99", "cuda:x", "gpu", ""])
def test_what_computes_nothing_is_no_device(name: str) -> None:
    with pytest.raises(InvalidInputError, match="cannot be used"):
        choose_device(name)
