"""Pretrained networks: the files of their weights, and how each was trained. Neither PyTorch nor elephant is needed."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any, Literal

__version__ = "0.1.0"

FOLDER = Path(__file__).parent
CARD = FOLDER / "card.md"
"""What the networks were made from, what they can do and what they cannot."""


@dataclass(frozen=True, slots=True)
class ShippedNetwork:
    """A network whose weights lie in this package.

    Attributes
    ----------
    kind
        ``detection``: an image to probabilities of background, border and centre; ``flow``: two consecutive images to
        a displacement.
    n_dims
        3 for volumes, 2 for planes.
    path
        File with a state dict of float16.
    sha256
        Of the file, hexadecimal.
    seed, steps
        Seed and number of steps of the training.
    radii
        Smallest and largest radius of the nuclei of the training, in voxels of Y and X of what the network sees.
    c_ratio
        Size of the centre over that of the nucleus in the labels; None for flow.
    max_displacement
        Voxels of Y and X of what the network sees that an output of 1 stands for; along Z they are divided by
        2^n_keep_axials. None for detection.
    """

    kind: Literal["detection", "flow"]
    n_dims: Literal[2, 3]
    path: Path
    sha256: str
    seed: int
    steps: int
    radii: tuple[float, float]
    c_ratio: float | None = None
    max_displacement: float | None = None

    @property
    def name(self) -> str:
        """Name of the network: ``detection3d``."""
        return f"{self.kind}{self.n_dims}d"

    @property
    def version(self) -> str:
        """Version of this package."""
        return __version__


@cache
def networks() -> dict[str, ShippedNetwork]:
    """Return the networks that are here by name: ``detection3d``, ``detection2d``, ``flow3d`` and ``flow2d``."""
    facts: dict[str, dict[str, Any]] = json.loads((FOLDER / "weights.json").read_text(encoding="utf-8"))
    found = [_network(kind, n_dims, facts) for kind in _KINDS for n_dims in _AXES]
    return {network.name: network for network in found if network is not None}


_KINDS: tuple[Literal["detection", "flow"], ...] = ("detection", "flow")
_AXES: tuple[Literal[2, 3], ...] = (3, 2)


def _network(
    kind: Literal["detection", "flow"], n_dims: Literal[2, 3], facts: Mapping[str, Any]
) -> ShippedNetwork | None:
    name = f"{kind}{n_dims}d"
    path = FOLDER / f"{name}.pth"
    if name not in facts or not path.is_file():
        return None
    values = {field.name: facts[name].get(field.name) for field in fields(ShippedNetwork)}
    return ShippedNetwork(
        **values | {"kind": kind, "n_dims": n_dims, "path": path, "radii": tuple(facts[name]["radii"])}
    )
