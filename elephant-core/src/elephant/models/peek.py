"""What a model file is, told without PyTorch: names and shapes of its weights."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from elephant.models.table import DamagedTableError, NotWeightsError, read_table

_OF_FLOW = "encoder.0.res.weight"
_LAST = "out_conv.weight"


@dataclass(frozen=True, slots=True)
class ModelKind:
    """What a model file is.

    Attributes
    ----------
    kind
        What its networks find.
    n_dims
        2 or 3.
    n_members
        Number of networks, more than one for an ensemble.
    """

    kind: Literal["detection", "flow"]
    n_dims: int
    n_members: int


def peek(path: Path) -> ModelKind | None:
    """Tell what a model file is; None where it is not a model, or is damaged."""
    try:
        with path.open("rb") as file:
            members = read_table(file).members
        shape = members[0][_LAST].size
    except (DamagedTableError, NotWeightsError, KeyError, OSError):
        return None
    return ModelKind("flow" if _OF_FLOW in members[0] else "detection", len(shape) - 2, len(members))
