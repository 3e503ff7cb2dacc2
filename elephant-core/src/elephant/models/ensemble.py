"""Ensembles: one or several networks of the same kind whose outputs are averaged, and a cache of loaded ones."""

import os
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from elephant.errors import ModelFileError
from elephant.models.checkpoint import StateDict, fill, load_state_dicts
from elephant.models.inspect import NetworkKind, recognise
from elephant.models.provenance import ProvenanceEntry
from elephant.models.unet import DetectionNet, FlowNet
from elephant.models.versions import ModelFile, way_back
from elephant.progress import CancelToken

_PURPOSES = {
    "detection": "finding nuclei needs a detection model",
    "flow": "linking needs a flow model",
}


class Ensemble(nn.Module):
    """Networks whose outputs are averaged; usually just one.

    Parameters
    ----------
    members
        Networks of the same class, axes and `n_keep_axials`.

    Attributes
    ----------
    began_trained
        Whether it is known to have begun with trained weights, which are worth keeping.
    """

    def __init__(self, members: Sequence[DetectionNet | FlowNet]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)
        self.began_trained = False

    def forward(self, x: Tensor, is_pad: bool = False) -> Tensor:
        """Run every member on (N, inputs, (Z), Y, X) and average the outputs."""
        outputs = [member(x, is_pad) for member in self.members]
        return outputs[0] if len(outputs) == 1 else torch.stack(outputs).mean(0)

    def state_dicts(self) -> list[StateDict]:
        """Return the weights of each member."""
        return [member.state_dict() for member in self.members]

    def save(self, path: Path, entry: ProvenanceEntry | None = None) -> None:
        """Write the model file in one step, and keep its previous content as a version.

        `entry`, if given, is added to its provenance.
        """
        ModelFile(path).save(self.state_dicts(), entry)


def load_ensemble(path: Path, network: type[DetectionNet] | type[FlowNet], n_dims: int, n_keep_axials: int) -> Ensemble:
    """Read a model file into networks of the given class.

    Raises
    ------
    NotFoundError
        The file does not exist.
    ModelFileError
        It is damaged or has a different architecture; the message names the version to go back to, if there is one.
    """
    try:
        return _load(path, network, n_dims, n_keep_axials)
    except ModelFileError as error:
        way = way_back(path, lambda version: _load(version, network, n_dims, n_keep_axials))
        raise ModelFileError(f"{error}{way}") from error


def _load(path: Path, network: type[DetectionNet] | type[FlowNet], n_dims: int, n_keep_axials: int) -> Ensemble:
    members, state_dicts = [], load_state_dicts(path)
    for weights in state_dicts:
        member = network(n_dims, n_keep_axials)
        try:
            fill(member, weights, path.name)
        except ModelFileError:
            _refuse_other_kind(path, state_dicts, NetworkKind("flow" if network is FlowNet else "detection", n_dims))
            raise
        members.append(member)
    return Ensemble(members)


def _refuse_other_kind(path: Path, state_dicts: Sequence[StateDict], expected: NetworkKind) -> None:
    """Raise an error that names the kind of model, if it is a known one but not the expected one."""
    kinds = {recognise(weights) for weights in state_dicts}
    found = kinds.pop()
    if kinds or found is None or found == expected:
        return
    if found.name != expected.name:
        needs = f"{_PURPOSES[expected.name]} for {expected.n_dims}D"
    else:
        needs = f"expected a model for {expected.n_dims}D"
    raise ModelFileError(
        f"{path.name} is a {found.name} model for {found.n_dims}D; {needs}: choose another file"
    ) from None


@contextmanager
def interruptible(model: nn.Module, cancel: CancelToken) -> Iterator[None]:
    """Ask `cancel` before every layer inside the block, so that a long forward pass can be cancelled."""
    layers = [m for m in model.modules() if not any(m.children())]
    handles = [layer.register_forward_pre_hook(lambda *_: cancel.check()) for layer in layers]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


Network = type[DetectionNet] | type[FlowNet]


@dataclass(frozen=True, slots=True)
class _Key:
    path: Path
    network: Network
    n_dims: int
    n_keep_axials: int


@dataclass(frozen=True, slots=True)
class _CachedModel:
    stamp: tuple[int, int, int]
    model: Ensemble


class ModelCache:
    """Loads models and keeps the last few; a replaced file is read again.

    Parameters
    ----------
    device
        Device of the models.
    n_kept
        Number of models to keep.
    """

    def __init__(self, device: torch.device, n_kept: int = 2) -> None:
        self.device = device
        self._n_kept = n_kept
        self._entries: OrderedDict[_Key, _CachedModel] = OrderedDict()

    def get(self, path: Path, network: Network, n_dims: int, n_keep_axials: int) -> Ensemble:
        """Return the model of a file, in evaluation mode.

        Raises
        ------
        elephant.errors.NotFoundError
            The file does not exist.
        elephant.errors.ModelFileError
            It is damaged or has a different architecture.
        """
        key = _Key(path, network, n_dims, n_keep_axials)
        stamp = _stamp(path)
        entry = self._entries.pop(key, None)
        if entry is None or stamp is None or entry.stamp != stamp:
            model = load_ensemble(path, network, n_dims, n_keep_axials).to(self.device).eval()
            entry = _CachedModel(stamp or (0, 0, 0), model)
        self._entries[key] = entry
        while len(self._entries) > self._n_kept:
            self._entries.popitem(last=False)
        return entry.model

    def forget(self, path: Path) -> None:
        """Drop a file's models, whose weights in memory may differ from the file."""
        for key in [key for key in self._entries if key.path == path]:
            del self._entries[key]


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        # Opened, since network file systems answer queries about a path from a cache.
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
    except OSError:  # reported when the file is loaded
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size
