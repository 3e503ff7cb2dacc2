"""The layers compute what PyTorch's own do, forward and backward, of every size."""

from collections.abc import Callable, Sequence
from statistics import median

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from elephant.device import cpu_has_bfloat16
from elephant.models.cpu import Convolution2d, Convolution3d, Joined, Normalisation, convolution, pool
from elephant.models.unet import DetectionNet, FlowNet, UNet

Compute = Callable[..., Tensor]
# Even and odd rows, smaller and larger than where PyTorch changes its mind.
SIZES = [(4, 6, 6), (5, 7, 9), (8, 34, 40), (12, 10), (7, 5), (90, 64)]


def agree(fast: Compute, plain: Compute, inputs: Sequence[Tensor]) -> None:
    """Fail where outputs or gradients are further from those in double precision than PyTorch's of float32."""
    torch.manual_seed(1)
    above = torch.randn_like(plain(*inputs).detach())

    def with_gradients(compute: Compute, dtype: torch.dtype) -> list[Tensor]:
        given = [x.detach().to(dtype, copy=True).requires_grad_() for x in inputs]
        out = compute(*given)
        return [out, *torch.autograd.grad(out, given, above.to(dtype))]

    exact = with_gradients(plain, torch.float64)
    ours, theirs = with_gradients(fast, torch.float32), with_gradients(plain, torch.float32)
    for a, b, true in zip(ours, theirs, exact, strict=True):
        assert a.shape == true.shape
        # Gradients of weights are sums over all voxels, which oneDNN adds up one after another.
        assert off(a, true) < 3 * off(b, true) + (2e-7 if a.shape[2:] == exact[0].shape[2:] else 1e-5)


def off(found: Tensor, exact: Tensor) -> float:
    """Return the relative error of an array as a whole."""
    return float((found - exact).detach().norm() / exact.detach().norm())


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize(
    ("n", "inputs", "outputs", "kernel"), [(1, 1, 16, 3), (1, 16, 8, 3), (2, 8, 8, 3), (1, 8, 4, 1)]
)
def test_convolutions(size: tuple[int, ...], n: int, inputs: int, outputs: int, kernel: int) -> None:
    torch.manual_seed(0)
    layer = (Convolution3d if len(size) == 3 else Convolution2d)(inputs, outputs, kernel, padding=kernel // 2)

    def plain(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return (functional.conv3d if len(size) == 3 else functional.conv2d)(x, weight, bias, padding=kernel // 2)

    def fast(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return torch.func.functional_call(layer, {"weight": weight, "bias": bias}, (x,))

    agree(fast, plain, [torch.randn(n, inputs, *size), layer.weight, torch.randn(outputs)])


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("keeps_z", [True, False])
@pytest.mark.parametrize("n", [1, 2])
def test_convolutions_of_two_images(size: tuple[int, ...], keeps_z: bool, n: int) -> None:
    torch.manual_seed(0)
    factors = (1 if keeps_z else 2, 2, 2)[-len(size) :]
    layer = (Convolution3d if len(size) == 3 else Convolution2d)(10, 8, 3, padding=1)

    def plain(skip: Tensor, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        enlarged = functional.interpolate(x, scale_factor=[float(f) for f in factors], mode="nearest")
        convolve = functional.conv3d if len(size) == 3 else functional.conv2d
        return convolve(torch.cat([skip, enlarged], 1), weight, bias, padding=1)

    def fast(skip: Tensor, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return torch.func.functional_call(layer, {"weight": weight, "bias": bias}, (x, Joined(skip, factors)))

    skip = torch.randn(n, 4, *(s * f for s, f in zip(size, factors, strict=True)))
    agree(fast, plain, [skip, torch.randn(n, 6, *size), layer.weight, torch.randn(8)])


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize(("n", "channels", "groups"), [(1, 16, 16), (2, 64, 32), (1, 6, 2)])
def test_normalising(size: tuple[int, ...], n: int, channels: int, groups: int) -> None:
    torch.manual_seed(0)
    layer = Normalisation(groups, channels)

    def fast(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return torch.func.functional_call(layer, {"weight": weight, "bias": bias}, (x,))

    def plain(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return functional.group_norm(x, groups, weight, bias)

    x, weight, bias = torch.randn(n, channels, *size) + 0.5, torch.randn(channels), torch.randn(channels)
    agree(fast, plain, [x, weight, bias])
    with torch.no_grad():
        torch.testing.assert_close(fast(x.clone(), weight, bias), plain(x, weight, bias), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("factors", [(1, 2, 2), (2, 2, 2)])
def test_pooling(size: tuple[int, ...], factors: tuple[int, ...]) -> None:
    """Of equal values the gradient is the first one's, as PyTorch has it."""
    torch.manual_seed(0)
    size = tuple(s - s % 2 for s in size)
    factors = factors[-len(size) :]
    plain = functional.max_pool3d if len(size) == 3 else functional.max_pool2d
    x = torch.randint(0, 4, (2, 5, *size)).float()
    with torch.no_grad():
        assert torch.equal(pool(x, factors), plain(x, factors))
        assert pool(x, factors).dtype == x.dtype
    agree(lambda x: pool(x, factors), lambda x: plain(x, factors), [x])


needs_bfloat16 = pytest.mark.skipif(not cpu_has_bfloat16(), reason="the processor has no bfloat16")


@needs_bfloat16
@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("with_gradients", [True, False])
def test_layers_in_bfloat16(size: tuple[int, ...], with_gradients: bool) -> None:
    """Results are those of float32 to 8 bits; moments are taken in float32, and those of a class are not rounded."""
    torch.manual_seed(0)
    make = Convolution3d if len(size) == 3 else Convolution2d
    convolution, joining, out = make(16, 8, 3, padding=1), make(24, 8, 3, padding=1), make(8, 3, 1)
    convolution.slope, joining.slope, norm = 0, 0.1, Normalisation(4, 8)
    factors = (1, 2, 2)[-len(size) :]
    x, skip = torch.randn(2, 16, *size), torch.randn(2, 16, *(s * f for s, f in zip(size, factors, strict=True)))

    def run() -> list[Tensor]:
        first = convolution(x)
        second = joining(norm(first), Joined(skip, factors))
        return [first, second, out(second)]

    with torch.set_grad_enabled(with_gradients):
        exact = run()
        with torch.autocast("cpu", torch.bfloat16):
            found = run()
    assert [a.dtype for a in found] == [torch.bfloat16, torch.bfloat16, torch.float32]
    assert all(off(a.float(), b) < 0.01 for a, b in zip(found, exact, strict=True))


@needs_bfloat16
def test_an_image_keeps_the_digits_that_bfloat16_has_not() -> None:
    """A kernel finds what is smaller than the last digit of bfloat16 in a bright image."""
    layer = Convolution3d(1, 16, 3, padding=1)
    with torch.no_grad():
        layer.weight[:] = 0
        layer.weight[..., 1, 1, :2] = torch.tensor([-1.0, 1.0])
        layer.bias[:] = 0.001
    image = 0.9 + torch.rand(1, 1, 5, 6, 7) / 1000
    with torch.no_grad():
        exact = layer(image)
        with torch.autocast("cpu", torch.bfloat16):
            found = layer(image)
    assert found.dtype == torch.bfloat16
    assert off(found.float()[..., 1:], exact[..., 1:]) < 2**-8


@needs_bfloat16
def test_moments_of_many_values_in_bfloat16() -> None:
    x = (torch.rand(1, 8, 40, 300, 300) < 0.01).to(torch.bfloat16) + 0.0625
    layer = Normalisation(8, 8)
    with torch.no_grad():
        assert off(layer(x), functional.group_norm(x.double(), 8)) < 0.004


# Those of one, two or three voxels along an axis, and ordinary ones.
THIN = [(1, 9, 1), (2, 9, 6), (3, 9, 6), (4, 1, 3), (5, 1, 9), (8, 1, 2), (5, 2, 9), (4, 3, 3), (5, 9, 1), (6, 9, 2)]


@needs_bfloat16
@pytest.mark.parametrize("size", [*THIN, (1, 1), (1, 9), (2, 9), (3, 7), (9, 1)], ids=str)
@pytest.mark.parametrize(("n", "inputs", "outputs"), [(1, 1, 16), (1, 32, 16), (3, 16, 32)])
def test_thin_images_in_bfloat16(size: tuple[int, ...], n: int, inputs: int, outputs: int) -> None:
    """Nothing of what was in memory before is in a result, nor in a gradient."""
    torch.manual_seed(0)
    is_volume = len(size) == 3
    x = torch.randn(n, inputs, *size)
    weight = 0.1 * torch.randn(outputs, inputs, *[3] * len(size))

    def plain(x: Tensor, weight: Tensor) -> Tensor:
        return (functional.conv3d if is_volume else functional.conv2d)(x, weight, padding=1)

    same(lambda *given: convolution.convolve(*given, None), plain, [x, weight])
    for factors in [(1, 2, 2), (2, 2, 2)] if is_volume else [(2, 2)]:

        def transposed(x: Tensor, kernels: Tensor, factors: Sequence[int] = factors) -> Tensor:
            convolve = functional.conv_transpose3d if is_volume else functional.conv_transpose2d
            return convolve(x, kernels, stride=list(factors), padding=1)

        kernels = convolution.spread(weight, factors)
        same(lambda *given, by=factors: convolution.enlarge(*given, by), transposed, [x, kernels])


def same(fast: Compute, plain: Compute, inputs: Sequence[Tensor]) -> None:
    """Fail where results or gradients in bfloat16 are not those in double precision, whatever was in memory."""
    rounded = [x.to(torch.bfloat16) for x in inputs]
    above = torch.randn_like(plain(*inputs)).to(torch.bfloat16)

    def with_gradients(compute: Compute, dtype: torch.dtype) -> list[Tensor]:
        given = [x.to(dtype, copy=True).requires_grad_() for x in rounded]
        leave_in_memory(1e20)
        found = compute(*given)
        leave_in_memory(1e20)
        return [found, *torch.autograd.grad(found, given, above.to(dtype))]

    exact = with_gradients(plain, torch.float64)
    for _ in range(2):
        found = with_gradients(fast, torch.bfloat16)
        assert all(off(a.double(), b) < 0.01 for a, b in zip(found, exact, strict=True))


@needs_bfloat16
@pytest.mark.parametrize("size", [(16, 32, 32), (1, 17, 30), (2, 40, 16), (24, 16, 23), (4, 3, 70)], ids=str)
@pytest.mark.parametrize(
    ("network", "n_keep_axials", "most"), [(DetectionNet, 2, 0.8), (FlowNet, 0, 0.02), (FlowNet, 4, 0.02)]
)
def test_networks_learn_in_bfloat16(
    network: type[UNet], n_keep_axials: int, most: float, size: tuple[int, ...]
) -> None:
    """The gradient is that of float32 up to rounding, whatever was in memory before.

    With random weights, rounding changes half of the gradient of detection, with PyTorch's own layers, too: noise of
    0.4% in the image changes more. What was in memory would change it many million times as much.
    """
    torch.manual_seed(0)
    made = network(3, n_keep_axials).train()
    x = torch.rand(2, 2 if network is FlowNet else 1, *size)

    def gradient(*, in_bfloat16: bool) -> Tensor:
        leave_in_memory(1e20)
        with torch.autocast("cpu", torch.bfloat16, enabled=in_bfloat16):
            out = made(x)
        leave_in_memory(1e20)
        parts = torch.autograd.grad(out.square().mean(), list(made.parameters()))
        assert {out.dtype, *(part.dtype for part in parts)} == {torch.float32}
        return torch.cat([part.flatten() for part in parts])

    plain, mixed = (gradient(in_bfloat16=chosen) for chosen in (False, True))
    assert off(mixed, plain) < most


def leave_in_memory(value: float) -> None:
    """Fill memory of all sizes that is then free."""
    kept = [torch.full((1 << power,), value) for power in range(6, 22) for _ in range(2)]
    del kept


def test_prepared_weights_follow_the_layer() -> None:
    torch.manual_seed(0)
    layer, x = Convolution2d(4, 4, 3, padding=1), torch.randn(1, 4, 8, 8)
    optimiser = torch.optim.Adam(layer.parameters(), lr=0.1, fused=True)

    def is_current() -> bool:
        plain = functional.conv2d(x, layer.weight, layer.bias, padding=1)
        with torch.inference_mode():
            return torch.allclose(layer(x), plain, atol=1e-5)

    assert is_current()
    layer(x).sum().backward()
    optimiser.step()  # counts no change
    assert is_current()
    layer.eval()
    assert is_current()
    layer.load_state_dict({name: value + 1 for name, value in layer.state_dict().items()})
    assert is_current()
    layer.weight.data = torch.randn_like(layer.weight)
    assert is_current()
    layer.weight.data.mul_(2)  # nothing counts this
    layer.train().eval()
    assert is_current()


def test_normalising_values_far_from_zero() -> None:
    x = 1000 + torch.rand(1, 4, 30, 200)
    exact = functional.group_norm(x.double(), 4)
    assert float((Normalisation(4, 4)(x) - exact).detach().abs().max()) < 1e-3


@pytest.mark.parametrize(
    ("network", "arguments"), [(DetectionNet, (3, 2)), (DetectionNet, (2, 4)), (FlowNet, (3, 1)), (FlowNet, (2, 0))]
)
def test_networks_learn_as_they_would_without(
    network: type[UNet], arguments: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Gradients of most networks are those in double precision to 2%.

    Where two voxels of a pooling are equal up to rounding, rounding decides whose gradient it is, and PyTorch's own
    float32 is some percent off, too. Whether that happens depends on the processor, the weights and the image. So
    several networks are asked, and their median counts.
    """
    ours = gradients(network, *arguments, torch.float32)
    monkeypatch.setattr(convolution, "serves", lambda _: False)
    exact = gradients(network, *arguments, torch.float64)
    assert median([off(a, b) for a, b in zip(ours, exact, strict=True)]) < 0.02


def gradients(network: type[UNet], n_dims: int, n_keep_axials: int, dtype: torch.dtype) -> list[Tensor]:
    """Return all gradients of five networks, each with weights and an image of its own."""
    found = []
    for seed in range(5):
        torch.manual_seed(seed)
        made = network(n_dims, n_keep_axials).to(dtype)
        x = torch.rand(1, 2 if network is FlowNet else 1, *(8, 16, 32)[-n_dims:]).to(dtype)
        parts = torch.autograd.grad(made(x).square().mean(), list(made.parameters()))
        found.append(torch.cat([part.flatten() for part in parts]))
    return found


def test_an_image_that_is_not_the_networks_own_stays_as_it_is() -> None:
    x = torch.rand(1, 1, 16, 32, 32)
    before = x.clone()
    with torch.no_grad():
        DetectionNet(3, 0)(x)
    assert torch.equal(x, before)
