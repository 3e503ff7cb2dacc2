"""What a model file is, told without PyTorch: names and shapes of its weights."""

import io
import pickle
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from elephant.types import Shape

_LARGEST_INDEX = 4 << 20
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
    """Tell what a model file is; None where it is none, is damaged, or was saved as PyTorch did long ago."""
    try:
        content = _Shapes(io.BytesIO(_index(path))).load()
        members = content if isinstance(content, list) else [content]
        shape = members[0][_LAST]
        return ModelKind("flow" if _OF_FLOW in members[0] else "detection", len(shape) - 2, len(members))
    except Exception:  # noqa: BLE001 - whatever a damaged file makes of the reading: it is no model that we know
        return None


def _index(path: Path) -> bytes:
    """Return the description of the weights that a model file begins with."""
    with zipfile.ZipFile(path) as archive:
        name = next(name for name in archive.namelist() if name.endswith("/data.pkl"))
        with archive.open(name) as file:
            return file.read(_LARGEST_INDEX)


def _shape(_storage: Any, _offset: int, size: Shape, *_: Any) -> Shape:
    return tuple(size)


class _Weights(dict[str, Shape]):
    """A state dict of shapes; like the real one it may carry something besides."""


class _Shapes(pickle.Unpickler):
    """Reads the description with shapes in place of weights; it makes nothing else, whatever the file asks for."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _shape
        if (module, name) == ("collections", "OrderedDict"):
            return _Weights
        if module == "torch" and name.endswith("Storage"):
            return None
        raise pickle.UnpicklingError(f"{module}.{name} is no part of a state dict")

    def persistent_load(self, pid: Any) -> Any:
        del pid
