"""Repeating the labels that the record of a dataset says, in another folder."""

import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from pydantic import ValidationError

from elephant.config import DisplacementParams, LabelParams
from elephant.dataset import Dataset
from elephant.dataset.arrays import create_array
from elephant.dataset.layout import IMAGES, array_specs
from elephant.dataset.record import AnswersEntry, ClearedEntry, Entry, read_record, recorded_as
from elephant.dataset.record.entries import TaughtEntry, WrittenEntry
from elephant.errors import DatasetError, InvalidInputError
from elephant.methods.base import AnyMethod
from elephant.methods.detection import DETECTION, paint_answers
from elephant.methods.flow import FLOW
from elephant.progress import CancelToken, ProgressReporter
from elephant.types import Link, Spot
from elephant.words import counted, in_ranges

METHODS: dict[str, AnyMethod] = {"detection": DETECTION, "flow": FLOW}
_LABELS: dict[str, type[LabelParams | DisplacementParams]] = {"detection": LabelParams, "flow": DisplacementParams}


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
            for method in [entry.method] if entry.method else list(METHODS):
                METHODS[method].clear_labels(target)
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
    entry: TaughtEntry,
    annotations: Sequence[Spot] | Sequence[Link],
    target: Dataset,
    done: Replayed,
    cancel: CancelToken,
) -> None:
    if entry.shape != target.shape or entry.t >= target.n_timepoints:
        raise InvalidInputError(
            f"entry {entry.entry} is of timepoint {entry.t} of images of {_xyz(entry.shape)} voxels, but "
            f"{target.name} has {target.n_timepoints} timepoints of {_xyz(target.shape)} (X, Y, Z): choose a dataset "
            "of the same movie"
        )
    params = validated(_LABELS[entry.method], entry.params, entry)
    with recorded_as(f"entry {entry.entry} again", entry.who):
        if entry.over and entry.method == DETECTION.name:
            model = entry.model if isinstance(entry, AnswersEntry) else ""
            checksum = paint_answers(target, entry.t, cast("Sequence[Spot]", annotations), params, cancel, model)
        else:
            checksum = METHODS[entry.method].write_labels(target, entry.t, annotations, params, cancel)
    done.n_updates += 1
    if not entry.over:
        done.unknown[entry.method].discard(entry.t)
    if checksum != entry.checksum:
        done.unlike.append(entry.entry)


def validated(model: Any, values: Any, entry: Entry) -> Any:
    """Return what an entry says as parameters.

    Raises
    ------
    DatasetError
        Another version of this program wrote it.
    """
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
