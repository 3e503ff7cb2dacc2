"""What kind of network a model file holds."""

from dataclasses import dataclass

import torch

from elephant.models.checkpoint import StateDict
from elephant.models.unet import DetectionNet, FlowNet

_NETWORKS = {"detection": DetectionNet, "flow": FlowNet}


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of network.

    Attributes
    ----------
    name
        ``detection`` or ``flow``.
    n_dims
        3 or 2.
    """

    name: str
    n_dims: int


def recognise(weights: StateDict) -> Kind | None:
    """Return the kind of network that weights belong to, by the names and shapes of them; None for another one."""
    found = {name: tuple(value.shape) for name, value in weights.items()}
    return next((kind for kind in _kinds() if _shapes(kind) == found), None)


def _kinds() -> list[Kind]:
    return [Kind(name, n_dims) for name in _NETWORKS for n_dims in (3, 2)]


def _shapes(kind: Kind) -> dict[str, tuple[int, ...]]:
    with torch.device("meta"):
        network = _NETWORKS[kind.name](kind.n_dims, 0)
    return {name: tuple(value.shape) for name, value in network.state_dict().items()}
