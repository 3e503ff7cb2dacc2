"""Model files: finding one by its name, and which kind of network it holds."""

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from elephant.models.files import DamagedTableError, NotWeightsError, read_table

SUFFIX = ".pth"
_LIKE = 0.75  # of difflib's ratio: `detecton` for `detection` has 0.94, `run1` for `run2` 0.75
_MOST_FILES = 1000
_DEEPEST = 3


def model_named(path: Path) -> Path:
    """Return the model file for a path.

    ``.pth`` is added to a name without it, unless there is a file, or a folder, of that exact name.
    """
    if path.name.lower().endswith(SUFFIX):
        return path
    completed = path.with_name(path.name + SUFFIX)
    return path if path.is_file() or (path.is_dir() and not completed.is_file()) else completed


def possible_names(name: str) -> list[str]:
    """Return the possible file names of a model; the first that exists counts."""
    return [name] if name.lower().endswith(SUFFIX) else [name, name + SUFFIX]


def nearest(name: str, others: Iterable[str]) -> str | None:
    """Return the most similar of some names, ignoring capitals and ``.pth``; None if all differ a lot."""
    plain = {_plain(other): other for other in others if other != name}
    found = get_close_matches(_plain(name), plain, n=1, cutoff=_LIKE)
    return plain[found[0]] if found else None


def nearest_model(path: Path, models: Path) -> str | None:
    """Return the name, below the folder of all models, of the existing model that a misspelt path probably means."""
    return nearest(shown_name(path, models), islice(_names_below(models), _MOST_FILES))


def shown_name(path: Path, models: Path) -> str:
    """Return the display name of a model file: relative to the folder of all models, if it is in it."""
    try:
        return path.resolve().relative_to(models.resolve()).as_posix()
    except ValueError:
        return path.name


def _names_below(models: Path) -> Iterator[str]:
    for folder, folders, names in os.walk(models):
        inner = Path(folder).relative_to(models)
        folders[:] = sorted(name for name in folders if not name.startswith(".")) if len(inner.parts) < _DEEPEST else []
        yield from ((inner / name).as_posix() for name in sorted(names) if name.endswith(SUFFIX) and name[0] != ".")


def _plain(name: str) -> str:
    return name.casefold().removesuffix(SUFFIX)


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
    import torch  # noqa: PLC0415 - request handlers also inspect model files, without PyTorch

    from elephant.models.unet import DetectionNet, FlowNet  # noqa: PLC0415

    with torch.device("meta"):
        network = {"detection": DetectionNet, "flow": FlowNet}[kind.name](kind.n_dims, 0)
    return {name: tuple(value.shape) for name, value in network.state_dict().items()}
