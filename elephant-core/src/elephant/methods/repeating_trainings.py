"""Repeating the trainings that the record of a dataset says: from the weights that they began with."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from elephant.config import DetectionTrainingParams, FlowTrainingParams
from elephant.dataset import Dataset
from elephant.dataset.record import EpochEntry, TrainedEntry, TrainingEntry, read_record
from elephant.errors import Cancelled, NotFoundError
from elephant.io.atomic import TemporaryFolder
from elephant.methods.recording import software, weights_digest
from elephant.methods.repeating_labels import METHODS, make_like, replay_labels, validated
from elephant.methods.starting import start_model
from elephant.methods.training import TrainingRun, prepare_training
from elephant.methods.work import ModelWork
from elephant.models.checkpoint import StateDict, load_state_dicts
from elephant.models.pretrained import ModelSource
from elephant.models.provenance import ProvenanceEntry
from elephant.models.provenance_text import provenance_of
from elephant.models.versions import ModelFile, versions
from elephant.progress import CancelToken
from elephant.training.control import LiveSettings
from elephant.types import FloatArray

_TRAININGS: dict[str, type[DetectionTrainingParams | FlowTrainingParams]] = {
    "detection": DetectionTrainingParams,
    "flow": FlowTrainingParams,
}


@dataclass
class RecordedTrainingEntries:
    """What the record says of a training.

    Attributes
    ----------
    entry
        Its beginning.
    annotations
        Of the labels that it wrote itself.
    epochs
        Those that say something.
    updates
        Of a live session: the annotations of the labels of each epoch, in their order.
    trained
        Its end; None where it was killed.
    """

    entry: TrainingEntry
    annotations: list[Any] = field(default_factory=list)
    epochs: list[EpochEntry] = field(default_factory=list)
    updates: list[list[Any]] = field(default_factory=list)
    trained: TrainedEntry | None = None


def read_trainings(folder: Path, cancel: CancelToken) -> dict[int, RecordedTrainingEntries]:
    """Return the trainings in the record of a dataset, by the numbers of their entries.

    Raises
    ------
    NotFoundError, DatasetError
        There is no record, or the file is none.
    """
    found: dict[int, RecordedTrainingEntries] = {}
    wanted: set[int] = set()
    for entry in read_record(folder, cancel).entries():
        if isinstance(entry, TrainingEntry):
            found[entry.entry] = RecordedTrainingEntries(entry)
            wanted.update(entry.labels)
        elif isinstance(entry, EpochEntry) and entry.training in found:
            found[entry.training].epochs.append(entry)
            wanted.update(entry.labels)
        elif isinstance(entry, TrainedEntry) and entry.training in found:
            found[entry.training].trained = entry
    labels = {entry.entry: given for entry, given in read_record(folder, cancel).taught() if entry.entry in wanted}
    for training in found.values():
        training.annotations = [one for number in training.entry.labels for one in labels.get(number, ())]
        training.updates = [[one for number in it.labels for one in labels.get(number, ())] for it in training.epochs]
    return found


class _RecordedControl:
    """The settings of each epoch as they were then; also ends a training after as many epochs."""

    def __init__(self, training: RecordedTrainingEntries, loop: Any, cancel: CancelToken) -> None:
        self._changes = {entry.epoch: list(entry.settings) for entry in training.epochs}
        self._settings, self._cancel = LiveSettings(loop.lr, loop.n_crops), cancel
        self._n_epochs: int = training.trained.epochs if training.trained else loop.n_epochs
        self._epoch, self._asked = 1, 0

    def check(self) -> None:
        """Raise where the token does."""
        self._cancel.check()

    def settings(self) -> LiveSettings:
        """Return the settings of the moment; raise in the epoch within which the training ended."""
        if self._epoch > self._n_epochs:
            raise Cancelled("the training was repeated to its end")
        for asked, lr, n_crops in self._changes.get(self._epoch, []):
            if asked == self._asked:
                self._settings = LiveSettings(lr, n_crops)
        self._asked += 1
        return self._settings

    def next_epoch(self) -> None:
        """Go on to the settings of the next epoch."""
        self._epoch, self._asked = self._epoch + 1, 0


@dataclass(frozen=True, slots=True)
class Repeated:
    """What came of repeating a training.

    Attributes
    ----------
    n_trainings
        How many were repeated: it and those before that made what it began with.
    n_epochs
        Of the last one.
    is_same
        Whether the weights are those of then to the last bit; None where the record does not say.
    differences
        What was different, in words, where they are not.
    sentences
        What a person should know of the labels.
    """

    n_trainings: int
    n_epochs: int
    is_same: bool | None
    differences: list[str]
    sentences: list[str]


def repeat_training(
    dataset: Dataset,
    number: int,
    work: ModelWork,
    known: Sequence[Path] = (),
    progress: Callable[[], None] = lambda: None,
) -> Repeated:
    """Repeat a training of the record: from the weights that it began with, on the labels of then.

    Parameters
    ----------
    dataset
        The dataset with the record; nothing in it is changed.
    number
        The entry of the training.
    work
        What computes, who is told, and the model file that is written; its dataset does not matter.
    known
        Model files, of which one may hold the weights that it began with; versions of them count, too.
    progress
        Called after each epoch.

    Raises
    ------
    NotFoundError
        There is no such training, or what it began with is neither known nor can be made again.
    InvalidInputError
        It is a live session whose labels were not recorded.
    elephant.errors.Cancelled
        The work was ended.
    """
    trainings = read_trainings(dataset.folder, work.cancel)
    if number not in trainings:
        names = ", ".join(map(str, trainings)) or "none"
        raise NotFoundError(f"entry {number} of the record is no training: choose one of {names}")
    chain, begin = _way_to(trainings, number, known)
    sentences: list[str] = []
    if begin is not None:
        ModelFile(work.model_path).save(*begin)
    began_alike = True
    for at in chain:
        with TemporaryFolder() as temporary:
            target = make_like(dataset, temporary.path / dataset.folder.name, linked=True)
            first = min([*trainings[at].entry.labels, at])
            sentences = replay_labels(dataset.folder, target, work.reporter, work.cancel, first).sentences()
            n_epochs, is_like = _run(trainings[at], replace(work, dataset=target), progress)
            began_alike &= is_like
    last = trainings[chain[-1]]
    digest = weights_digest(load_state_dicts(work.model_path))
    is_same = None if last.trained is None or last.trained.weights is None else digest == last.trained.weights
    differences = [] if is_same else _differences(last.entry, work.model_cache.device)
    if not (began_alike or is_same):
        differences.insert(0, "it began with other weights than then: give the model's file of then with --from")
    return Repeated(len(chain), n_epochs, is_same, differences, sentences)


_Begin = tuple[Sequence[StateDict], ProvenanceEntry | None]


def _way_to(
    trainings: dict[int, RecordedTrainingEntries], number: int, known: Sequence[Path]
) -> tuple[list[int], _Begin | None]:
    """Return the trainings to repeat, and the weights to begin with; None where these are made again."""
    made_by = {one.trained.weights: at for at, one in trainings.items() if one.trained is not None}
    chain = [number]
    while True:
        entry = trainings[chain[0]].entry
        if (begin := _weights_in(known, entry.weights)) is not None:
            return chain, begin
        if entry.began_as in ("intensities", "random", "pretrained"):
            return chain, None
        before = made_by.get(entry.weights)
        if before is None or before >= chain[0]:
            raise NotFoundError(
                f"the training of entry {chain[0]} began with weights that are in none of the files given, nor did a "
                "recorded training make them: give the model's file of then with --from"
            )
        chain.insert(0, before)


def _weights_in(files: Sequence[Path], digest: str | None) -> _Begin | None:
    """Return the weights of a digest, where a file or one of its versions has them, and what is known of them."""
    for file in files:
        numbers: dict[Path, int | None] = {file: None} if file.is_file() else {}
        for path, number in (numbers | {version.path: version.number for version in versions(file)}).items():
            members = load_state_dicts(path)
            if weights_digest(members) == digest:
                return members, provenance_of(file).held(number)
    return None


def _run(training: RecordedTrainingEntries, work: ModelWork, progress: Callable[[], None]) -> tuple[int, bool]:
    """Repeat one training on a dataset with the labels of then.

    Returns
    -------
    int
        Its number of epochs.
    bool
        Whether it began with the weights of then.
    """
    entry, method = training.entry, METHODS[training.entry.method]
    params = validated(_TRAININGS[entry.method], entry.params, entry)
    is_live = entry.kind == "live session"
    run = prepare_training(method, work, training.annotations, params, may_wait=is_live)
    if not work.model_path.exists():
        source = None if entry.began_as == "pretrained" else ModelSource()
        start_model(work, run.start(), source)
    began_alike = weights_digest(load_state_dicts(work.model_path)) == entry.weights
    control = _RecordedControl(training, params.loop, work.cancel)
    done = 0

    def saved() -> None:
        nonlocal done
        done += 1
        control.next_epoch()
        progress()

    with suppress(Cancelled):  # as every live session, and a training that was ended before its last epoch
        if is_live:
            run.run_live(_RecordedUpdates(training, run, work), control, saved)
        else:
            run.run(control, saved)
    work.cancel.check()
    return done, began_alike


class _RecordedUpdates:
    """The updates of a live session as they were heard then: each is written before it is told."""

    def __init__(self, training: RecordedTrainingEntries, run: TrainingRun, work: ModelWork) -> None:
        self._pending = list(zip(training.epochs, training.updates, strict=True))
        # Those of the session's own annotations it has already.
        del self._pending[: len({one.t for one in training.annotations})]
        self._run, self._work = run, work

    def wait(self) -> dict[int, FloatArray]:
        """See :meth:`elephant.methods.training.LiveUpdates.wait`."""
        if not self._pending:
            raise Cancelled("the session was repeated to its end")
        entry, annotations = self._pending.pop(0)
        method, work = self._run.method, self._work
        method.update_labels(work.dataset, annotations, method.labels_of(self._run.params), work.reporter, work.cancel)
        return {t: method.positions([one for one in annotations if one.t == t]) for t in entry.timepoints}


def _differences(entry: TrainingEntry, device: torch.device) -> list[str]:
    now = software(device)
    return [f"{name} {then}, now {now.get(name)}" for name, then in entry.software.items() if now.get(name) != then]
