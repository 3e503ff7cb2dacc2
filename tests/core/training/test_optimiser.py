"""Adam without PyTorch's compiler."""

import subprocess
import sys
from typing import Any

import pytest
import torch

from elephant.training.optimiser import Adam

# What a process that trains and then reads the model's kind from its weights has to do with the optimiser.
TRAINS = """
import sys
from elephant.models.inspect import recognise
from elephant.models.unet import FlowNet
from elephant.training.optimiser import Adam

network = FlowNet(2, 0)
optimiser = Adam(network.parameters(), fused=True)
optimiser.zero_grad()
for weight in network.parameters():
    weight.grad = weight.detach().clone()
optimiser.step()
assert recognise(network.state_dict()).name == "flow"
assert "torch._dynamo" not in sys.modules
"""


def weights_after(kind: type[torch.optim.Optimizer], **options: Any) -> list[torch.Tensor]:
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3), torch.nn.ReLU(), torch.nn.Conv2d(4, 1, 3))
    groups = [{"params": list(layer.parameters()), "share": 1.0} for layer in (network[0], network[2])]
    optimiser: Any = kind(groups, lr=0.01, **options)  # type: ignore[call-arg]
    image = torch.randn(2, 1, 16, 16)
    for _ in range(5):
        optimiser.zero_grad(set_to_none=True)
        network(image).square().mean().backward()
        optimiser.step()
    return [weight.detach() for weight in network.parameters()]


@pytest.mark.parametrize("options", [{}, {"fused": True}])
def test_its_steps_are_those_of_pytorch(options: dict[str, bool]) -> None:
    ours, theirs = weights_after(Adam, **options), weights_after(torch.optim.Adam, **options)
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


def test_a_process_that_trains_does_not_load_the_compiler() -> None:
    done = subprocess.run([sys.executable, "-c", TRAINS], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
