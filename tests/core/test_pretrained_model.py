"""The networks of the package elephant-models as a script uses them."""

from pathlib import Path

import numpy as np
import pytest
import torch

import elephant
from core.shipping import ship, uninstall
from elephant.errors import InvalidInputError, NotFoundError
from elephant.models.checkpoint import load_state_dicts
from elephant.models.unet import DetectionNet

QUICK = {"n_epochs": 1, "n_crops": 1, "lr": 1e-12, "crop_size": (32, 32), "device": "cpu", "quiet": True}


def test_a_pretrained_network_is_a_model_that_stays_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network = ship(monkeypatch, tmp_path, DetectionNet, 2)
    before = network.path.read_bytes()
    images = np.random.default_rng(0).integers(0, 255, (32, 32)).astype(np.uint8)
    movie = elephant.open_dataset(images[None], voxel_size=(1, 1), quiet=True)
    model = elephant.pretrained(n_dims=2, device="cpu")
    assert "started from the pretrained model detection2d.pth of elephant-models" in repr(model)
    assert isinstance(model.predict(movie, p_thresh=0.3, quiet=True), list)
    further = elephant.train(movie, [(0, 16.0, 16.0, 5.0)], model=model, **QUICK)
    assert further.path != model.path
    anew = elephant.train(movie, [(0, 16.0, 16.0, 5.0)], **QUICK)
    (shipped,) = load_state_dicts(network.path)
    for trained in (further, anew):
        (weights,) = load_state_dicts(trained.path)
        assert all(torch.allclose(weights[key], value.float()) for key, value in shipped.items())
        assert "trained on" in repr(trained)
    model.save(tmp_path / "copy.pth")
    assert "detection2d.pth of elephant-models" in repr(elephant.load_model(tmp_path / "copy.pth", "cpu"))
    assert network.path.read_bytes() == before


def test_what_is_not_there_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match='expected "detection" or "flow"'):
        elephant.pretrained("nuclei")  # type: ignore[arg-type]
    ship(monkeypatch, tmp_path, DetectionNet, 2)
    with pytest.raises(NotFoundError, match="no pretrained flow network for 2D: elephant-models holds detection2d"):
        elephant.pretrained("flow", n_dims=2)
    uninstall(monkeypatch)
    with pytest.raises(NotFoundError, match="no pretrained flow network for 2D: install elephant-models"):
        elephant.pretrained("flow", n_dims=2)
