"""A cache of models in memory, valid while their files stay the same."""

import os
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

import torch

from elephant.models.ensemble import Ensemble, load_ensemble
from elephant.models.unet import DetectionNet, FlowNet

Network = type[DetectionNet] | type[FlowNet]


@dataclass(frozen=True, slots=True)
class _Key:
    path: Path
    network: Network
    n_dims: int
    n_keep_axials: int


@dataclass(frozen=True, slots=True)
class _Entry:
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
        self._entries: OrderedDict[_Key, _Entry] = OrderedDict()

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
            entry = _Entry(stamp or (0, 0, 0), model)
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
