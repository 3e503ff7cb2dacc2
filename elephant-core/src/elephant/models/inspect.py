"""Recognising the kind of network in a model file by the names and shapes of its weights."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from elephant.models.files.table import DamagedTableError, NotWeightsError, read_table

_OF_FLOW = "encoder.0.res.weight"
_LAST = "out_conv.weight"


@dataclass(frozen=True, slots=True)
class ModelKind:
    """The kind of a model file.

    Attributes
    ----------
    kind
        ``detection`` or ``flow``.
    n_dims
        2 or 3.
    n_members
        Number of networks, more than one for an ensemble.
    """

    kind: Literal["detection", "flow"]
    n_dims: int
    n_members: int


def inspect_model(path: Path) -> ModelKind | None:
    """Return the kind of a model file; None if it is not a model, or is damaged."""
    try:
        with path.open("rb") as file:
            members = read_table(file).members
        shape = members[0][_LAST].size
    except (DamagedTableError, NotWeightsError, KeyError, OSError):
        return None
    return ModelKind("flow" if _OF_FLOW in members[0] else "detection", len(shape) - 2, len(members))


@dataclass(frozen=True, slots=True)
class NetworkKind:
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


def recognise(weights: Mapping[str, Any]) -> NetworkKind | None:
    """Return the kind of network by the names and shapes of its weights; None if unknown."""
    found = {name: tuple(value.shape) for name, value in weights.items()}
    return next((kind for kind in _kinds() if _shapes(kind) == found), None)


def _kinds() -> list[NetworkKind]:
    return [NetworkKind(name, n_dims) for name in ("detection", "flow") for n_dims in (3, 2)]


def _shapes(kind: NetworkKind) -> dict[str, tuple[int, ...]]:
    import torch  # noqa: PLC0415 - request handlers look at model files, too, and do without PyTorch

    from elephant.models.unet import DetectionNet, FlowNet  # noqa: PLC0415

    with torch.device("meta"):
        network = {"detection": DetectionNet, "flow": FlowNet}[kind.name](kind.n_dims, 0)
    return {name: tuple(value.shape) for name, value in network.state_dict().items()}
