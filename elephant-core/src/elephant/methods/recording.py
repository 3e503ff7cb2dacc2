"""Trainings in the record of a dataset: all that is needed to repeat them, and how far they came."""

import hashlib
import logging
import os
import platform
import secrets
from collections.abc import Callable, Iterable, Sequence
from importlib.metadata import version
from typing import Any, Literal

import numpy as np
import torch

from elephant.config import Params
from elephant.dataset.record import Event
from elephant.dataset.record.packing import Method as MethodName
from elephant.errors import DatasetError, ModelFileError, NotFoundError, StorageError
from elephant.methods.work import ModelWork
from elephant.models.checkpoint import StateDict, load_state_dicts
from elephant.models.provenance import RecordPosition, is_current, read_provenance
from elephant.training.control import LiveSettings, TrainingControl

logger = logging.getLogger(__name__)

_SEEDS = 1 << 53  # those that JSON's readers keep exactly


def with_seed(params: Any) -> Any:
    """Return the parameters of a training with a seed: a drawn one where none was given, so that it can be repeated."""
    if params.loop.seed is not None:
        return params
    loop = params.loop.model_copy(update={"seed": secrets.randbelow(_SEEDS)})
    return params.model_copy(update={"loop": loop})


def weights_digest(members: Sequence[StateDict]) -> str:
    """Return what identifies the weights of a model, whatever file they are in."""
    digest = hashlib.sha256()
    for member in members:
        for name, value in sorted(member.items()):
            array = np.ascontiguousarray(value.detach().cpu().numpy())
            digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
            digest.update(array.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def software(device: torch.device) -> dict[str, str]:
    """Return what else than the parameters decides the weights to the last bit."""
    return {
        "elephant": version("elephant-core"),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "device": str(device),
        "threads": str(torch.get_num_threads()),
        "processor": f"{platform.machine()} {os.cpu_count()}",
    }


class RecordedTraining:
    """Writes a training into the record: as its control it sees each change of the settings.

    Parameters
    ----------
    work, method, params
        What is trained, and how.
    kind
        A training or a live session.
    timepoints
        Those that it has labelled itself.
    weights
        What it begins with.
    control
        Ends the training, and knows the settings of the moment.

    Attributes
    ----------
    position
        Where the record says that it began.
    """

    def __init__(
        self,
        work: ModelWork,
        method: MethodName,
        params: Params,
        kind: Literal["training", "live session"],
        timepoints: Iterable[int],
        weights: Sequence[StateDict],
        control: TrainingControl,
    ) -> None:
        self._dataset, self._control, self._is_live = work.dataset, control, kind == "live session"
        self._path = work.model_path
        self._epochs, self._asked = 0, 0
        self._timepoints: list[int] = []
        self._labels: list[int] = []
        self._changes: list[tuple[int, float, int]] = []
        loop = getattr(params, "loop")  # noqa: B009 - each training has one, which Params does not say
        self._settings = LiveSettings(loop.lr, loop.n_crops)
        self._method = method
        entries = read_provenance(work.model_path)
        began = {
            "kind": kind,
            "method": method,
            "params": params.model_dump(mode="json"),
            "labels": self._labels_of(timepoints),
            "model": work.model_path.name,
            "weights": weights_digest(weights),
            "began_as": entries[-1].what if is_current(work.model_path, entries) else None,
            "software": software(work.model_cache.device),
        }
        self._entry, digest = self._dataset.record_event(Event("training", began))
        self.position = RecordPosition(entry=self._entry, digest=digest)

    def trains_on(self, timepoints: Iterable[int]) -> None:
        """Take note of the timepoints of the next epochs."""
        self._timepoints = sorted(timepoints)
        self._labels = self._labels_of(self._timepoints) if self._is_live else []

    def check(self) -> None:
        """Raise where the training has to end."""
        self._control.check()

    def settings(self) -> LiveSettings:
        """Return the settings of the moment, and take note of a change."""
        found = self._control.settings()
        if found != self._settings:
            self._changes.append((self._asked, found.lr, found.n_crops))
            self._settings = found
        self._asked += 1
        return found

    def after_epoch(self, on_saved: Callable[[], None]) -> Callable[[], None]:
        """Return what is called when the model was saved after an epoch."""

        def saved() -> None:
            self._epochs += 1
            if self._is_live or self._changes:
                values = {"training": self._entry, "epoch": self._epochs, "timepoints": self._timepoints}
                self._tell("epoch", values | {"labels": self._labels, "settings": self._changes})
            self._changes, self._asked = [], 0
            on_saved()

        return saved

    def end(self) -> None:
        """Say what the training has come to, with the weights that are in the model's file now."""
        if not self._epochs:
            return
        try:
            digest = weights_digest(load_state_dicts(self._path))
        except (NotFoundError, ModelFileError):  # somebody else's doing
            digest = None
        self._tell("trained", {"training": self._entry, "epochs": self._epochs, "weights": digest})

    def _labels_of(self, timepoints: Iterable[int]) -> list[int]:
        """Return the newest entries of labels of timepoints."""
        with self._dataset.labels_lock():
            found = [self._dataset.record.newest(self._method, t) for t in timepoints]
        return [number for number in found if number is not None]

    def _tell(self, what: str, values: dict[str, Any]) -> None:
        try:
            self._dataset.record_event(Event(what, values))
        except (StorageError, DatasetError) as error:
            logger.warning("The training goes on, but cannot be repeated from the record: %s", error)
