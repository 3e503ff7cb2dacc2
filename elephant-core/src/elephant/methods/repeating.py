"""Repeating what the record of a dataset says: its labels in another folder, and trainings on them."""

import logging
import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import torch
from pydantic import ValidationError

from elephant.config import DetectionTrainingParams, DisplacementParams, FlowTrainingParams, LabelParams
from elephant.dataset import Dataset
from elephant.dataset.arrays import create_array
from elephant.dataset.layout import IMAGES, array_specs
from elephant.dataset.record import (
    AnswersEntry,
    ClearedEntry,
    Entry,
    TrainedEntry,
    TrainingEntry,
    read_record,
    recorded_as,
)
from elephant.dataset.record.entries import EpochEntry, TaughtEntry, WrittenEntry
from elephant.errors import Cancelled, DatasetError, InvalidInputError, NotFoundError
from elephant.io.atomic import TemporaryFolder
from elephant.methods.base import AnyMethod
from elephant.methods.detection import DETECTION, paint_answers
from elephant.methods.flow import FLOW
from elephant.methods.recording import software, weights_digest
from elephant.methods.starting import start_model
from elephant.methods.training import TrainingRun, prepare_training
from elephant.methods.work import ModelWork
from elephant.models.checkpoint import StateDict, load_state_dicts
from elephant.models.pretrained import ModelSource
from elephant.models.provenance import ProvenanceEntry
from elephant.models.provenance_text import provenance_of
from elephant.models.versions import ModelFile, versions
from elephant.progress import CancelToken, ProgressReporter
from elephant.training.loop import LiveSettings
from elephant.types import FloatArray, Link, Spot
from elephant.words import counted, in_ranges

logger = logging.getLogger(__name__)

Annotations = Sequence[Spot] | Sequence[Link]
_METHODS: dict[str, AnyMethod] = {"detection": DETECTION, "flow": FLOW}
_LABELS: dict[str, type[LabelParams | DisplacementParams]] = {"detection": LabelParams, "flow": DisplacementParams}
_TRAININGS: dict[str, type[DetectionTrainingParams | FlowTrainingParams]] = {
    "detection": DetectionTrainingParams,
    "flow": FlowTrainingParams,
}


def make_like(dataset: Dataset, folder: Path, *, linked: bool = False) -> Dataset:
    """Make a dataset with the images of another one, and without labels.

    Parameters
    ----------
    folder
        Where; it must not exist, or be empty.
    linked
        Whether its images are a link to the other's, for a dataset that is soon gone again; otherwise they are hard
        links to its files, or a copy where the file system has none.

    Raises
    ------
    InvalidInputError
        The folder is not empty.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise InvalidInputError(f"expected a new or empty folder, got {folder}: choose another one")
    for spec in array_specs(dataset.n_timepoints, dataset.shape, dataset.dtype.name).values():
        if spec.name != IMAGES:
            create_array(folder / spec.name, spec)
    images, place = (dataset.folder / IMAGES).resolve(), folder / IMAGES
    if linked:
        with suppress(OSError, NotImplementedError):  # Windows may forbid it
            place.symlink_to(images, target_is_directory=True)
    if not place.exists():
        shutil.copytree(images, place, copy_function=_link_or_copy)
    if dataset.source is not None:
        beside = dataset.source.movie_path(dataset.folder.absolute()).parent
        dataset.source.model_copy(update={"folder": str(beside)}).write(folder)
    return Dataset(folder, dataset.name if linked else None)


def _link_or_copy(source: str, target: str) -> None:
    try:
        Path(target).hardlink_to(source)
    except OSError:
        shutil.copy2(source, target)


@dataclass
class Replayed:
    """What came of repeating labels.

    Attributes
    ----------
    n_updates
        How many updates of labels were repeated.
    unlike
        Entries whose labels are not those that were written then.
    unknown
        Timepoints whose labels were there before the record, or were written by a program, of each method.
    damage
        What could not be read of the record, in words.
    """

    n_updates: int = 0
    unlike: list[int] = field(default_factory=list)
    unknown: dict[str, set[int]] = field(default_factory=lambda: {"detection": set(), "flow": set()})
    damage: list[str] = field(default_factory=list)

    def sentences(self) -> list[str]:
        """Return what a person should know: nothing, where all labels are as they were."""
        found = list(self.damage)
        if self.unlike:
            found.append(
                f"the labels of {counted(len(self.unlike), 'update')} are not those of then, such as of entry "
                f"{self.unlike[0]}: the images, or the program, are different"
            )
        found += [
            f"the {method} labels of timepoints {in_ranges(sorted(found))} come from no recorded annotations: they are "
            "missing here"
            for method, found in self.unknown.items()
            if found
        ]
        return found


def replay_labels(
    record: Path, target: Dataset, reporter: ProgressReporter, cancel: CancelToken, before: int | None = None
) -> Replayed:
    """Write the labels that a dataset's record says into another dataset.

    Parameters
    ----------
    record
        Folder of the dataset with the record.
    target
        A dataset with the same images; its labels are replaced.
    before
        The entry at which to stop; by default all are repeated.

    Raises
    ------
    NotFoundError, DatasetError
        There is no record, or the file is none.
    InvalidInputError
        The images of the target have another size, or it has too few timepoints.
    elephant.errors.Cancelled
        `cancel` asked for the end.
    """
    done, recorded = Replayed(), read_record(record, cancel)
    begin = _last_made(record, cancel, before)
    for entry, annotations in recorded.taught():
        if before is not None and entry.entry >= before:
            break
        if entry.entry < begin:  # its images may have been of another size
            continue
        if isinstance(entry, TaughtEntry):
            _write_again(entry, annotations, target, done, cancel)
            reporter.progress("update", done.n_updates, done.n_updates)
        elif isinstance(entry, ClearedEntry):
            for method in [entry.method] if entry.method else list(_METHODS):
                _METHODS[method].clear_labels(target)
                done.unknown[method].clear()
        elif isinstance(entry, WrittenEntry):
            done.unknown[entry.method].add(entry.t)
        elif entry.what == "begin":
            for method, timepoints in entry.labelled_before.items():
                done.unknown[method].update(timepoints)
    done.damage = recorded.damage
    return done


def _last_made(record: Path, cancel: CancelToken, before: int | None) -> int:
    """Return the entry by which the dataset was made last, after which nothing was left of its labels; else 0."""
    made = 0
    for entry in read_record(record, cancel).entries():
        if before is not None and entry.entry >= before:
            break
        if isinstance(entry, ClearedEntry) and entry.method is None:
            made = entry.entry
    return made


def _write_again(
    entry: TaughtEntry, annotations: Annotations, target: Dataset, done: Replayed, cancel: CancelToken
) -> None:
    if entry.shape != target.shape or entry.t >= target.n_timepoints:
        raise InvalidInputError(
            f"entry {entry.entry} is of timepoint {entry.t} of images of {_xyz(entry.shape)} voxels, but "
            f"{target.name} has {target.n_timepoints} timepoints of {_xyz(target.shape)} (X, Y, Z): choose a dataset "
            "of the same movie"
        )
    params = _validated(_LABELS[entry.method], entry.params, entry)
    with recorded_as(f"entry {entry.entry} again", entry.who):
        if entry.over and entry.method == DETECTION.name:
            model = entry.model if isinstance(entry, AnswersEntry) else ""
            checksum = paint_answers(target, entry.t, cast("Sequence[Spot]", annotations), params, cancel, model)
        else:
            checksum = _METHODS[entry.method].write_labels(target, entry.t, annotations, params, cancel)
    done.n_updates += 1
    if not entry.over:
        done.unknown[entry.method].discard(entry.t)
    if checksum != entry.checksum:
        done.unlike.append(entry.entry)


def _validated(model: Any, values: Any, entry: Entry) -> Any:
    try:
        return model.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise DatasetError(
            f"entry {entry.entry} of the record has parameters of another version of this program "
            f"({'.'.join(map(str, first['loc']))}: {first['msg']})"
        ) from error


def _xyz(shape: Sequence[int]) -> str:
    return " x ".join(map(str, reversed(shape)))


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
    entry, method = training.entry, _METHODS[training.entry.method]
    params = _validated(_TRAININGS[entry.method], entry.params, entry)
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
