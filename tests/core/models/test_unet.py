import json
import zlib

import numpy as np
import pytest
import torch

from core import golden_files
from elephant.models.cpu import convolution
from elephant.models.unet import DetectionNet, FlowNet, UNet

NETWORKS = {"unet": DetectionNet, "flow": FlowNet}


def build(model: str, n_keep_axials: int) -> UNet:
    family, dims = model.split("_")
    return NETWORKS[family](int(dims[0]), n_keep_axials)


def recipe(key: str, shape: tuple[int, ...]) -> torch.Tensor:
    """The golden files' weights."""
    values = np.random.RandomState(zlib.crc32(key.encode())).standard_normal(shape).astype(np.float32)
    if len(shape) > 1:
        values *= np.float32(np.sqrt(2 / np.prod(shape[1:])))
    else:
        values = 1 + np.float32(0.1) * values if key.endswith("weight") else np.float32(0.05) * values
    return torch.from_numpy(values)


@pytest.mark.parametrize("model", ["unet_3d", "unet_2d", "flow_3d", "flow_2d"])
def test_names_and_shapes_of_the_weights_are_those_of_the_files_out_there(model: str) -> None:
    expected = json.loads((golden_files.FOLDER / "state_dict_keys.json").read_text())[model]
    found = {key: list(value.shape) for key, value in build(model, 0).state_dict().items()}
    assert found == expected


@pytest.mark.parametrize("name", golden_files.names("unet_*") + golden_files.names("flow_[23]d_*"))
def test_outputs_match_the_golden_ones(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    meta, arrays = golden_files.load(name)
    network = build(meta["model"], meta["n_keep_axials"]).eval()
    network.load_state_dict({key: recipe(key, tuple(v.shape)) for key, v in network.state_dict().items()})
    with torch.no_grad():
        output = network(torch.from_numpy(arrays["x"]), is_pad=meta["pad"])
        with monkeypatch.context() as patch:
            patch.setattr(convolution, "serves", lambda _: False)
            plain = network(torch.from_numpy(arrays["x"]), is_pad=meta["pad"])
        exact = network.double()(torch.from_numpy(arrays["x"]).double(), is_pad=meta["pad"]).numpy()
    # The golden float32 outputs reach 12, and lie up to 5e-4 from an evaluation in double precision.
    np.testing.assert_allclose(output.numpy(), arrays["y"], rtol=1e-4, atol=1e-4)
    # How far float32 is from it differs between processors, so what counts is PyTorch's own distance on this one.
    off, plain_off, golden_off = (np.abs(y - exact).mean() for y in (output.numpy(), plain.numpy(), arrays["y"]))
    assert off < 2 * max(plain_off, golden_off)


def test_convolutions_start_from_kaiming_normal_and_zero_biases() -> None:
    torch.manual_seed(0)
    layer = DetectionNet(3, 0).base[3]
    assert float(layer.weight.detach().std()) == pytest.approx((2 / (256 * 27)) ** 0.5, rel=0.01)
    assert not layer.bias.any()


@pytest.mark.parametrize(("n_dims", "keep"), [(4, 0), (3, 5), (3, -1)])
def test_impossible_networks_are_refused(n_dims: int, keep: int) -> None:
    with pytest.raises(ValueError, match="n_keep_axials"):
        DetectionNet(n_dims, keep)


def test_a_flow_at_its_limit_finds_back() -> None:
    """All displacements are the largest, where the hyperbolic tangent is flat; the labels say that nothing moves.

    The way back differs with every rounding, also in double precision, so it is not the steps that count: PyTorch's own
    tangent has no gradient at all here, and never finds back.
    """
    torch.manual_seed(0)
    network = FlowNet(2, 0)
    with torch.no_grad():
        network.out_conv.bias.fill_(12.0)
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-3)
    x = torch.rand(1, 2, 16, 16)
    assert float(network(x).detach().min()) > 0.999999
    for _ in range(1000):
        optimiser.zero_grad()
        loss = network(x).abs().mean()
        if float(loss.detach()) < 0.7:
            return
        loss.backward()
        optimiser.step()
    pytest.fail(f"after 1,000 steps the displacements are still at {float(loss.detach()):.3f} of the largest")
