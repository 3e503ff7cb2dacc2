"""The layers on a GPU give what PyTorch's give in float32, as far as bfloat16 goes."""

from itertools import product

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from elephant.device import mixed_precision
from elephant.models import gpu
from elephant.models.cpu import Joined, Normalisation, pool
from elephant.models.gpu.kernels import kernels_of
from elephant.models.unet import DetectionNet, FlowNet, convolution
from elephant.progress import NeverCancelled
from elephant.training.replay import ReplayedNetwork

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU that PyTorch can use")

ROUNDING = 2.0**-8  # of bfloat16
VOLUMES = [(1, 1, 1), (5, 13, 37), (4, 8, 16), (9, 17, 70)]
PLANES = [(1, 1), (17, 33), (16, 64), (50, 21)]
SIZES = [*VOLUMES, *PLANES]


@pytest.fixture
def own_kernels() -> None:
    """Be sure that the kernels are used, and compare with float32."""
    assert kernels_of(torch.device("cuda")) is not None
    torch.manual_seed(0)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False


def _image(channels: int, size: tuple[int, ...], n: int = 2) -> Tensor:
    return torch.randn(n, channels, *size, device="cuda").bfloat16().float()


def _computed(layer: nn.Module, *inputs: object) -> Tensor:
    with torch.inference_mode(), mixed_precision(torch.device("cuda"), trains=False):
        out: Tensor = layer(*inputs)
    return out


def _expected(layer: nn.Module, *inputs: object) -> Tensor:
    with torch.inference_mode():
        out: Tensor = layer(*inputs)
    return out


def _rounded(layer: nn.Module) -> nn.Module:
    for parameter in layer.parameters():
        parameter.data = parameter.data.bfloat16().float()
    return layer.cuda().eval()


def _assert_close(found: Tensor, expected: Tensor) -> None:
    """Compare within a rounding: all values together, and none of them by more than a few roundings."""
    assert found.shape == expected.shape
    difference, scale = found.float() - expected, expected.square().mean().sqrt()
    assert float(difference.square().mean().sqrt()) <= ROUNDING * float(scale)
    assert bool((difference.abs() <= 4 * ROUNDING * (expected.abs() + scale)).all())


@needs_gpu
@pytest.mark.usefixtures("own_kernels")
@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize(("inputs", "outputs"), [(1, 16), (2, 16), (16, 16), (16, 32), (64, 64), (128, 96)])
@pytest.mark.parametrize("slope", [None, 0, 0.1])
def test_a_convolution(size: tuple[int, ...], inputs: int, outputs: int, slope: float | None) -> None:
    layer = convolution(len(size), inputs, outputs, 3, slope=slope)
    nn.init.normal_(layer.bias)
    layer = _rounded(layer)
    x = _image(inputs, size)
    _assert_close(_computed(layer, x), _expected(layer, x))


@needs_gpu
@pytest.mark.usefixtures("own_kernels")
@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize(("inputs", "outputs"), [(1, 16), (2, 16), (32, 16), (16, 64)])
def test_a_convolution_with_a_kernel_of_one_that_another_is_added_to(
    size: tuple[int, ...], inputs: int, outputs: int
) -> None:
    beside = _rounded(convolution(len(size), inputs, outputs, 1, bias=False))
    beside.gain = 0.5
    layer = _rounded(convolution(len(size), outputs, outputs, 3, slope=0.1))
    x, y = _image(inputs, size), _image(outputs, size)
    added = _computed(beside, x)
    _assert_close(added, _expected(beside, x))
    _assert_close(_computed(layer, y, None, added.clone()), _expected(layer, y, None, added.float()))


@needs_gpu
@pytest.mark.usefixtures("own_kernels")
@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("outputs", [1, 2, 3])
def test_the_last_convolution_is_in_float32(size: tuple[int, ...], outputs: int) -> None:
    layer = _rounded(convolution(len(size), 16, outputs, 1))
    x = _image(16, size)
    found = _computed(layer, x)
    assert found.dtype is torch.float32
    torch.testing.assert_close(found, _expected(layer, x), rtol=1e-5, atol=1e-5)


@needs_gpu
@pytest.mark.usefixtures("own_kernels")
@pytest.mark.parametrize(("small", "factors"), [((3, 7, 9), (1, 2, 2)), ((2, 5, 20), (2, 2, 2)), ((7, 9), (2, 2))])
@pytest.mark.parametrize(("first", "second", "outputs"), [(16, 32, 16), (32, 64, 32), (128, 256, 128)])
def test_two_images_of_which_the_second_is_enlarged(
    small: tuple[int, ...], factors: tuple[int, ...], first: int, second: int, outputs: int
) -> None:
    layer = _rounded(convolution(len(small), first + second, outputs, 3, slope=0))
    size = tuple(s * f for s, f in zip(small, factors, strict=True))
    x, joined = _image(second, small), Joined(_image(first, size), factors)
    _assert_close(_computed(layer, x, joined), _expected(layer, x, joined))


@needs_gpu
@pytest.mark.usefixtures("own_kernels")
@pytest.mark.parametrize("size", [*SIZES, (24, 60, 70)], ids=str)
@pytest.mark.parametrize("channels", [16, 32, 64, 256])
@pytest.mark.parametrize(("offset", "spread"), [(0.0, 1.0), (100.0, 1.0)])
def test_a_normalisation(size: tuple[int, ...], channels: int, offset: float, spread: float) -> None:
    layer = Normalisation(min(32, channels), channels)
    nn.init.normal_(layer.weight)
    nn.init.normal_(layer.bias)
    layer = layer.cuda().eval()
    x = (_image(channels, size) * spread + offset).bfloat16().float()
    weight, bias = layer.weight.detach().double(), layer.bias.detach().double()
    expected = functional.group_norm(x.double(), layer.num_groups, weight, bias).float()
    _assert_close(_computed(layer, x), expected)


@needs_gpu
@pytest.mark.usefixtures("own_kernels")
@pytest.mark.parametrize(("size", "factors"), [((6, 10, 34), (2, 2, 2)), ((3, 10, 34), (1, 2, 2)), ((10, 34), (2, 2))])
def test_pooling_is_exact(size: tuple[int, ...], factors: tuple[int, ...]) -> None:
    x = _image(48, size)
    x[0, 0].flatten()[3] = float("nan")
    found, expected = _computed(pool, x, factors), _expected(pool, x, factors)
    assert torch.equal(found.float().nan_to_num(-9), expected.nan_to_num(-9))


@needs_gpu
@pytest.mark.usefixtures("own_kernels")
@pytest.mark.parametrize("network", [DetectionNet, FlowNet])
@pytest.mark.parametrize(("size", "keep"), [((32, 64, 96), 0), ((7, 50, 70), 2), ((64, 96), 0)], ids=str)
def test_a_network_is_as_close_to_float32_as_pytorchs(
    network: type[DetectionNet] | type[FlowNet],
    size: tuple[int, ...],
    keep: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = network(len(size), keep).cuda().eval()
    x = torch.rand(2, 1 if network is DetectionNet else 2, *size, device="cuda")
    expected, found = _expected(model, x, True), _computed(model, x, True)
    monkeypatch.setattr(gpu, "serves", lambda _: False)
    theirs = _computed(model, x, True)
    ours, others = ((out.float() - expected).square().mean() for out in (found, theirs))
    assert 0 < float(ours) <= 1.5 * float(others)


@needs_gpu
@pytest.mark.usefixtures("own_kernels")
def test_changed_weights_are_used() -> None:
    layer = _rounded(convolution(3, 16, 16, 3, slope=0))
    x = _image(16, (4, 8, 16))
    _computed(layer, x)
    with torch.no_grad():
        layer.weight.mul_(2)
    _assert_close(_computed(layer, x), _expected(layer, x))


@needs_gpu
@pytest.mark.usefixtures("own_kernels")
def test_training_and_float32_are_pytorchs() -> None:
    x = _image(16, (4, 8, 16))
    assert not gpu.serves(x)
    with mixed_precision(torch.device("cuda"), trains=True):
        assert not gpu.serves(x)


@needs_gpu
@pytest.mark.usefixtures("own_kernels")
@pytest.mark.parametrize("network", [DetectionNet, FlowNet])
def test_recorded_passes_give_the_same(network: type[DetectionNet] | type[FlowNet]) -> None:
    model = network(3, 1).cuda().train()
    replayed = ReplayedNetwork(model)
    for step in range(8):
        x = torch.rand(2, 1 if network is DetectionNet else 2, 8, 32, 32 + 16 * (step % 2), device="cuda")
        found = []
        for run in (lambda x: replayed(x, NeverCancelled()), lambda x: _mixed(model, x)):
            model.zero_grad()
            out = run(x)
            out.float().square().mean().backward()
            found.append([out.detach().clone(), *(p.grad.clone() for p in model.parameters())])
            del out  # it keeps the passes before, which a recording must not depend on
        for ours, theirs in zip(*found, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=0.02, atol=0.02 * float(theirs.abs().max()))
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.mul_(0.99)
    assert len(replayed._recorded) == 2


def _mixed(model: nn.Module, x: Tensor) -> Tensor:
    with mixed_precision(torch.device("cuda"), trains=True):
        out: Tensor = model(x)
    return out


@pytest.mark.parametrize("factors", [(1, 2, 2), (2, 2, 2), (2, 2)], ids=str)
def test_weights_of_voxels_that_enlarging_makes_alike_are_added_up(factors: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    n = len(factors)
    convolve = functional.conv3d if n == 3 else functional.conv2d
    small, weight = torch.randn(1, 32, *(3, 4, 5)[-n:]), torch.randn(16, 32, *(3,) * n)
    enlarged = functional.interpolate(small, scale_factor=[float(f) for f in factors], mode="nearest")
    expected, found = convolve(enlarged, weight, padding=1), torch.zeros(1, 16, *enlarged.shape[2:])
    padded = functional.pad(small, (1, 1) * n)
    parities = list(product(*map(range, factors)))
    sums = gpu._of_parities(weight, factors)
    assert sums.shape[:3] == (len(parities), 16, 32)
    for parity, own in zip(parities, sums, strict=True):
        taps = own.view(16, 32, *(2 if f == 2 else 3 for f in factors))
        seen = convolve(padded, taps)
        inner = tuple(slice(p, p + s) for p, s in zip(parity, small.shape[2:], strict=True))
        places = tuple(slice(p, None, f) for p, f in zip(parity, factors, strict=True))
        found[(..., *places)] = seen[(..., *inner)]
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_a_thread_has_its_weights_of_a_product_together() -> None:
    outputs, inputs, taps = 64, 32, 27
    place = torch.arange(outputs * inputs * taps).view(1, outputs, inputs, taps)
    # The lane of a warp has one output of 8, and of 16 inputs two, and two that are 8 further.
    arranged = torch.empty(2, 2, taps, 4, 32, 4, dtype=torch.int64)
    for block, chunk, tap, tile, lane, i in product(*map(range, arranged.shape)):
        output, channel = block * 32 + tile * 8 + lane // 4, chunk * 16 + lane % 4 * 2 + i // 2 * 8 + i % 2
        arranged[block, chunk, tap, tile, lane, i] = place[0, output, channel, tap]
    values = torch.randn(outputs * inputs * taps).bfloat16()
    assert torch.equal(gpu._arranged(values[place]).flatten(), values[arranged].flatten())


@pytest.mark.parametrize(
    ("shape", "n_first", "factors"),
    [((20, 16, 3, 3), None, ()), ((16, 16, 5, 5), None, ()), ((16, 24, 3, 3), 8, (2, 2)), ((16, 48, 3, 3), 16, (1, 2))],
    ids=str,
)
def test_a_layer_that_no_kernel_is_for_is_pytorchs(
    shape: tuple[int, ...], n_first: int | None, factors: tuple[int, ...]
) -> None:
    assert gpu.prepare(torch.zeros(shape), None, n_first, factors) is None
