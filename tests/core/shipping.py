"""The package elephant-models as a test wants it: not installed, or with networks of the test's own."""

import hashlib
import sys
from pathlib import Path
from typing import Literal

import pytest
import torch

import elephant_models
from elephant.models.ensemble import Network

Kind = Literal["detection", "flow"]
Axes = Literal[2, 3]


def uninstall(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the package be missing."""
    monkeypatch.setitem(sys.modules, "elephant_models", None)


def ship(
    monkeypatch: pytest.MonkeyPatch,
    folder: Path,
    network: Network,
    n_dims: Axes,
    seed: int = 0,
    max_displacement: float = 80.0,
    c_ratio: float = 0.4,
) -> elephant_models.ShippedNetwork:
    """Let the package hold one network, with random weights in half precision."""
    torch.manual_seed(seed)
    kind: Kind = "flow" if network.__name__ == "FlowNet" else "detection"
    path = folder / f"{kind}{n_dims}d.pth"
    torch.save({key: value.half() for key, value in network(n_dims, 0).state_dict().items()}, path)
    shipped = elephant_models.ShippedNetwork(
        kind,
        n_dims,
        path,
        hashlib.sha256(path.read_bytes()).hexdigest(),
        seed=seed,
        steps=1,
        radii=(3.0, 15.0),
        c_ratio=c_ratio if kind == "detection" else None,
        max_displacement=max_displacement if kind == "flow" else None,
    )
    monkeypatch.setattr(elephant_models, "networks", lambda: {shipped.name: shipped})
    return shipped
