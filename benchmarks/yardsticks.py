"""What all is compared with: the same networks from PyTorch's own layers, and what the machine can do at most."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.measuring import taken
from elephant.device import mixed_precision
from elephant.models.losses import DetectionLoss
from elephant.models.unet import (
    MAX_GROUPS,
    N_LEVELS,
    NEGATIVE_SLOPE,
    WIDTHS,
    DetectionNet,
    UNet,
    dividing_size,
)

# Float32 log-probabilities of about 10; the order of the sums differs.
LARGEST_DIFFERENCE = 1e-3
# Inputs, outputs and sizes that convolutions like best, next to those of the network.
_PEAK_SIZES = ((64, 64, (36, 68, 68)), (128, 128, (16, 48, 48)), (256, 256, (16, 24, 24)))

_CPU = torch.device("cpu")

N = TypeVar("N", bound=UNet)


class _Residual(nn.Module):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.res = nn.Conv3d(inputs, outputs, 1, bias=False)
        self.conv1 = nn.Conv3d(inputs, outputs, 3, padding=1)
        self.conv2 = nn.Conv3d(outputs, outputs, 3, padding=1)
        self.activation = nn.LeakyReLU(NEGATIVE_SLOPE, inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.activation((self.res(x) + self.conv2(self.activation(self.conv1(x)))) / 2)
        return out


def _normalised(inputs: int, outputs: int) -> nn.Module:
    layers: list[nn.Module] = []
    for n in (inputs, outputs):
        norm = nn.GroupNorm(min(MAX_GROUPS, outputs), outputs)
        layers += [nn.Conv3d(n, outputs, 3, padding=1), nn.ReLU(inplace=True), norm]
    return nn.Sequential(*layers)


def _leaky(inputs: int, outputs: int) -> nn.Module:
    layers: list[nn.Module] = []
    for n in (inputs, outputs):
        layers += [nn.Conv3d(n, outputs, 3, padding=1), nn.LeakyReLU(NEGATIVE_SLOPE, inplace=True)]
    return nn.Sequential(*layers)


class PlainNet(nn.Module):
    """A network of the project as anybody would write it, with the weights of one.

    Sizes have to be multiples of what the poolings divide; nothing is padded.
    """

    def __init__(self, model: UNet) -> None:
        super().__init__()
        detects = isinstance(model, DetectionNet)
        block, up_block = (_normalised, _normalised) if detects else (_Residual, _leaky)
        widths = (1 if detects else 2, *WIDTHS)
        self.encoder = nn.ModuleList(block(widths[i], widths[i + 1]) for i in range(N_LEVELS))
        self.base = block(*widths[-2:])
        self.decoder = nn.ModuleList(
            up_block(widths[i + 1] + widths[i + 2], widths[i + 1]) for i in reversed(range(N_LEVELS))
        )
        self.out_conv = nn.Conv3d(WIDTHS[0], 3, 1)
        self._detects = detects
        self._pools = [(1 if level < model.n_keep_axials else 2, 2, 2) for level in range(N_LEVELS)]
        self.load_state_dict(model.state_dict())

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, inputs, Z, Y, X) to (N, 3, Z, Y, X)."""
        skips = []
        for block, pool in zip(self.encoder, self._pools, strict=True):
            x = block(x)
            skips.append(x)
            x = functional.max_pool3d(x, pool)
        x = self.base(x)
        for block, pool in zip(self.decoder, reversed(self._pools), strict=True):
            enlarged = functional.interpolate(x, scale_factor=[float(p) for p in pool], mode="nearest")
            x = block(torch.cat([skips.pop(), enlarged], dim=1))
        x = self.out_conv(x)
        return functional.log_softmax(x, dim=1) if self._detects else torch.tanh(x)


def random_network(network: Callable[[int, int], N], n_keep_axials: int) -> N:
    """Return a network with random weights, the same each time, in evaluation."""
    torch.manual_seed(0)
    return network(3, n_keep_axials).eval()


def fitting(model: UNet, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the size that the network sees an image of a shape in: multiples of what its poolings divide."""
    return tuple(-(-s // d) * d for s, d in zip(shape, dividing_size(3, model.n_keep_axials), strict=True))


def plain_of(model: UNet, size: tuple[int, ...]) -> PlainNet:
    """Return the plain network of a model, on its device, once both have given the same for a small image."""
    device = next(model.parameters()).device
    plain = PlainNet(model).to(device).eval()
    small = tuple(min(s, 32) for s in size)
    x = torch.rand(1, 1 if isinstance(model, DetectionNet) else 2, *fitting(model, small), device=device)
    with torch.no_grad(), torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        difference = float((plain(x) - model.eval()(x)).abs().max())
    assert difference < LARGEST_DIFFERENCE, f"the yardstick computes something else: they differ by {difference}"
    return plain


Context = Callable[[], AbstractContextManager[None]]


def forward_pass(network: nn.Module, x: Tensor, context: Context = nullcontext) -> Callable[[], Tensor]:
    """Return P, a forward pass in evaluation that keeps nothing for gradients; in a context, as of its precision."""

    def work() -> Tensor:
        with torch.no_grad(), context():
            out: Tensor = network(x)
        return out

    return work


def training_step(network: nn.Module, x: Tensor, labels: Tensor, context: Context = nullcontext) -> Callable[[], None]:
    """Return T, one step with Adam on a crop that is in memory: (1, 1, Z, Y, X), labels (1, Z, Y, X)."""
    network.train()
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-4)
    loss = DetectionLoss(3, (1.0, 10.0, 10.0), 1.0).to(x.device)

    def work() -> None:
        optimiser.zero_grad(set_to_none=True)
        with context():
            out = network(x)
        loss(out, labels).total.backward()
        optimiser.step()

    return work


def synchronous(work: Callable[[], object], device: torch.device) -> Callable[[], None]:
    """Return work that ends when the device has done it."""

    def finished() -> None:
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    return finished


def as_predicting(device: torch.device = _CPU) -> AbstractContextManager[None]:
    """Return the context in which the product predicts on a device."""
    return mixed_precision(device, trains=False)


def as_training() -> AbstractContextManager[None]:
    """Return the context in which the product trains on this processor."""
    return mixed_precision(torch.device("cpu"), trains=True)


def convolution_operations(network: PlainNet | UNet, x: Tensor) -> list[int]:
    """Return the operations (two per product) of each convolution of a forward pass, in the order in which they run."""
    counts: list[int] = []

    def count(layer: nn.Module, _inputs: object, output: Tensor) -> None:
        assert isinstance(layer, nn.Conv3d)
        counts.append(2 * layer.weight[0].numel() * output.numel())

    handles = [m.register_forward_hook(count) for m in network.modules() if isinstance(m, nn.Conv3d)]
    forward_pass(network, x)()
    for handle in handles:
        handle.remove()
    return counts


def convolution_peak(seconds: float = 4.0) -> float:
    """Return the operations per second of the best convolution that can be found on this CPU."""
    best = 0.0
    works = []
    for n_in, n_out, size in _PEAK_SIZES:
        layer = nn.Conv3d(n_in, n_out, 3, padding=1)
        layer.weight.data = layer.weight.data.contiguous(memory_format=torch.channels_last_3d)
        x = torch.randn(1, n_in, *size).contiguous(memory_format=torch.channels_last_3d)
        works.append((2 * 27 * n_in * n_out * x[0, 0].numel(), forward_pass(layer, x)))
    end = time.monotonic() + seconds
    while not best or time.monotonic() < end:
        best = max(best, *(n / taken(work) for n, work in works))
    return best
