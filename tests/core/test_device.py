import warnings

import pytest
import torch

from elephant.device import choose_device, mixed_precision
from elephant.errors import InvalidInputError


def test_a_gpu_without_bfloat16_computes_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _device: (7, 5))
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # not even asked for, where there is no GPU
        context = mixed_precision(torch.device("cuda:0"))
    with context:
        assert not torch.is_autocast_enabled("cuda")


def test_a_cpu_computes_in_float32() -> None:
    with mixed_precision(torch.device("cpu")):
        assert not torch.is_autocast_enabled("cpu")


@pytest.mark.parametrize("name", ["meta", "cuda:99", "cuda:x", "gpu", ""])
def test_what_computes_nothing_is_no_device(name: str) -> None:
    with pytest.raises(InvalidInputError, match="cannot be used"):
        choose_device(name)
