"""The pretrained networks of the package elephant-models, where it is installed."""

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from elephant.errors import ModelFileError
from elephant.models.inspect import NetworkKind
from elephant.models.provenance import PretrainedWith, ProvenanceEntry
from elephant.models.provenance_text import provenance_of

if TYPE_CHECKING:
    from elephant_models import ShippedNetwork

PACKAGE = "elephant-models"


@dataclass(frozen=True, slots=True)
class StartingWeights:
    """Weights that a model starts from.

    Attributes
    ----------
    path
        The model file.
    entry
        The provenance of a model that starts from them.
    """

    path: Path
    entry: ProvenanceEntry


def shipped_weights(kind: NetworkKind) -> StartingWeights | None:
    """Return the shipped weights of a kind of network; None where there are none.

    Raises
    ------
    ModelFileError
        The file is not the one that was shipped.
    """
    network = _networks().get(f"{kind.name}{kind.n_dims}d")
    if network is None:
        return None
    _check(network.path, network.sha256)
    return StartingWeights(network.path, _entry(network))


def shipped_networks() -> "list[ShippedNetwork]":
    """Return the networks of the package; none where it is not installed."""
    return list(_networks().values())


def pretrained_with(path: Path) -> PretrainedWith | None:
    """Return what the weights of a model file mean; None unless they are shipped ones, untrained since."""
    held = _held(path)
    return None if held is None else held.pretrained_with


def origin_of(path: Path) -> ProvenanceEntry:
    """Return the provenance of a copy of a model file."""
    return _held(path) or ProvenanceEntry(what="import", source=path.name)


def is_shipped(path: Path) -> bool:
    """Tell whether a model file is one of the package."""
    return any(network.path == path for network in _networks().values())


def scaled_by(path: Path) -> ProvenanceEntry | None:
    """Return the work that holds the scales at which a model sees datasets; none if the program chooses none."""
    held = _held(path) if is_shipped(path) else None
    return provenance_of(path).scaled() if held is None else held


def _held(path: Path) -> ProvenanceEntry | None:
    shipped = next((network for network in _networks().values() if network.path == path), None)
    return provenance_of(path).held() if shipped is None else _entry(shipped)


def _networks() -> "dict[str, ShippedNetwork]":
    try:
        import elephant_models  # noqa: PLC0415 - it may be missing
    except ImportError:
        return {}
    return elephant_models.networks()


@cache
def _check(path: Path, sha256: str) -> None:
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != sha256:
        raise ModelFileError(
            f"{path} of the package {PACKAGE} has the SHA-256 {found}, expected {sha256}: it was changed or damaged; "
            "install the package again"
        )


def _entry(network: "ShippedNetwork") -> ProvenanceEntry:
    facts = PretrainedWith(radii=network.radii, c_ratio=network.c_ratio, max_displacement=network.max_displacement)
    source = f"{network.path.name} of {PACKAGE} {network.version}"
    return ProvenanceEntry(what="pretrained", source=source, pretrained_with=facts)
