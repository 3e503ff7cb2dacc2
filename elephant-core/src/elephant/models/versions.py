"""Earlier versions of a model: the last three are kept beside its file.

A version is the model before a training or a reset, not before an epoch: a training saves after each epoch, and
hundreds of them would soon displace everything worth going back to. In addition, a long training, such as a live
session, keeps one version that is at most an hour old, so that an evening's work is not lost if the model is spoilt at
its end; and where an earlier epoch than the last is the best, the last one is kept beside it.

Versions are numbered files in ``.generations/<name of the model>/`` in the model's folder. Keeping one gives the model
file a second name: that takes no space until the file is replaced, and the model exists at every moment.
"""

import logging
import os
import re
import shutil
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from elephant.errors import ModelFileError, NotFoundError
from elephant.io.atomic import explained_storage, replacing, sync_folder
from elephant.models.checkpoint import StateDict, load_state_dicts, save_state_dicts
from elephant.models.lock import writing
from elephant.models.provenance import (
    HeldOutScore,
    ProvenanceEntry,
    is_current,
    lock_file,
    provenance_file,
    read_provenance,
    record,
)

logger = logging.getLogger(__name__)

N_KEPT = 3
INTERIM_S = 3600.0
FOLDER = ".generations"
_NAME = re.compile(r"(\d{6,})(-interim|-last)?\.pth")
_INTERIM, _LAST = "-interim", "-last"


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """An earlier version of a model.

    Attributes
    ----------
    number
        Counted up from 1, the newest has the highest.
    path
        Its file: a model file like any other.
    saved
        When its weights were saved.
    is_interim
        Whether it was saved during a training rather than before one.
    is_last
        Whether it is the last epoch of a training of which an earlier one was better.
    """

    number: int
    path: Path
    saved: datetime
    is_interim: bool
    is_last: bool = False

    def __str__(self) -> str:
        return f"version {self.number}, saved {self.saved:%Y-%m-%d %H:%M} UTC"


def versions(path: Path) -> list[ModelVersion]:
    """Return the kept versions of a model file, the newest first."""
    found = []
    for file in _folder_of(path).glob("*.pth"):
        match = _NAME.fullmatch(file.name)
        with suppress(FileNotFoundError):  # removed meanwhile
            if match and file.is_file():
                saved = datetime.fromtimestamp(file.stat().st_mtime, UTC)
                found.append(ModelVersion(int(match[1]), file, saved, match[2] == _INTERIM, match[2] == _LAST))
    return sorted(found, key=lambda version: version.number, reverse=True)


def keep_version(path: Path, *, is_interim: bool = False, is_last: bool = False) -> int | None:
    """Keep the current version of a model file before it is replaced; remove versions that are too old.

    Does nothing if the file does not exist or has been kept already.

    Returns
    -------
    int, optional
        The number of the version; none without a file.

    Raises
    ------
    StorageError
        The version cannot be written.
    """
    if not path.is_file():
        return None
    kept = versions(path)
    if kept and kept[0].path.samefile(path):
        return kept[0].number
    folder = _folder_of(path)
    with explained_storage(f"a version of {path.name}", path.parent, path.stat().st_size):
        folder.mkdir(parents=True, exist_ok=True)
        suffix = _LAST if is_last else _INTERIM if is_interim else ""
        number = _name_again(path, folder, kept[0].number + 1 if kept else 1, suffix)
        sync_folder(folder)
    _remove_surplus(path)
    return number


def restore(path: Path, number: int | None = None) -> ModelVersion:
    """Go back to an earlier version: replace the model file by a copy of it, in one step.

    The current file is kept as a version, too, unless it is damaged, so that this can be undone.

    Parameters
    ----------
    path
        The model file, which may be missing.
    number
        Number of the version; by default the newest that is not damaged.

    Returns
    -------
    ModelVersion
        The restored version.

    Raises
    ------
    NotFoundError
        There is no such version.
    ModelFileError
        The requested version is damaged.
    StorageError
        The disk is full.
    InUseError
        Another process is changing the model, and would overwrite the restored one.
    """
    with writing(path, "a restore"):
        return _restore(path, number)


def _restore(path: Path, number: int | None) -> ModelVersion:
    kept = versions(path)
    chosen = newest_sound(path) if number is None else next((g for g in kept if g.number == number), None)
    if chosen is None:
        there = ", ".join(str(version) for version in kept) or "none"
        raise NotFoundError(f"{path.name} has no such version to restore (available: {there})")
    load_state_dicts(chosen.path)
    needed = chosen.path.stat().st_size
    with explained_storage(f"the model {path.name}", path.parent, needed), replacing(path) as file:
        with chosen.path.open("rb") as source:
            shutil.copyfileobj(source, file)
        entries = read_provenance(path)
        follows = is_current(path, entries)
        before = _copied_from(entries, kept) if follows else None
        if before is None and _is_sound(path, load_state_dicts):
            before = keep_version(path)
    record(path, ProvenanceEntry(what="restored", restored=chosen.number, before=before, follows=follows))
    logger.info("The model %s was restored to its %s", path.name, chosen)
    return chosen


def _copied_from(entries: Sequence[ProvenanceEntry], kept: Sequence[ModelVersion]) -> int | None:
    """Return the kept version of which the file is a copy, so that going to and fro displaces no other version."""
    number = entries[-1].restored if entries else None
    return number if any(version.number == number for version in kept) else None


def discard(path: Path) -> None:
    """Remove a new model and its provenance, and their folders if these are then empty."""
    path.unlink(missing_ok=True)
    provenance_file(path).unlink(missing_ok=True)
    lock_file(path).unlink(missing_ok=True)
    for folder in (provenance_file(path).parent, _folder_of(path), _folder_of(path).parent):
        with suppress(OSError):  # it is not empty, or does not exist
            folder.rmdir()


def newest_sound(path: Path, load: Callable[[Path], object] = load_state_dicts) -> ModelVersion | None:
    """Return the newest version that can be loaded, if there is one."""
    return next((version for version in versions(path) if _is_sound(version.path, load)), None)


def way_back(path: Path, load: Callable[[Path], object]) -> str:
    """Return advice for a model file that cannot be loaded; empty if there is no version to go back to."""
    version = newest_sound(path, load)
    if version is None:
        return ""
    return f". To go back to its {version}: copy {version.path} to {path}, or use `elephant models restore`"


class ModelFile:
    """A model file that one training, or one reset, replaces each time it saves.

    Parameters
    ----------
    path
        The file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._kept_at: float | None = None
        self._epochs = 0  # in the file
        self._is_recorded = True
        self._kept: dict[str, int | bool | HeldOutScore | None] = {}  # the versions that its entry names

    def save(self, members: Sequence[StateDict], entry: ProvenanceEntry | None = None) -> None:
        """Replace the file; before the first time, keep its previous content as a version.

        Parameters
        ----------
        members
            The weights of its networks.
        entry
            The provenance of this work.

        Raises
        ------
        ModelFileError
            A weight is not a finite number.
        StorageError
            The file cannot be written, or its previous content cannot be kept: the old file stays.
        """
        now = time.monotonic()
        if self._kept_at is None:
            follows = is_current(self._path, read_provenance(self._path))
            self._kept = {"before": keep_version(self._path), "follows": follows}
            self._kept_at = now
        elif now - self._kept_at >= INTERIM_S:
            number = keep_version(self._path, is_interim=True)
            self._kept |= {"within": number, "within_epochs": self._epochs}
            self._kept_at = now
        save_state_dicts(self._path, members)
        if entry is not None:
            self._epochs = entry.epochs
            # One warning is enough: an epoch may take less than a second.
            level = logging.WARNING if self._is_recorded else logging.DEBUG
            self._is_recorded = record(self._path, entry.model_copy(update=self._kept), level)

    def note(self, entry: ProvenanceEntry) -> None:
        """Record more of the work that saved the file last."""
        self._is_recorded = record(self._path, entry.model_copy(update=self._kept), logging.DEBUG)

    def go_back(self, members: Sequence[StateDict], entry: ProvenanceEntry, last: ProvenanceEntry) -> int | None:
        """Replace the file, which this work saved, by an earlier state of it; what it holds stays as a version.

        Parameters
        ----------
        members
            The weights of its networks.
        entry, last
            The provenance of the work as of these weights, and as of those in the file.

        Returns
        -------
        int, optional
            The number of the version.

        Raises
        ------
        StorageError
            The file cannot be written, or its content cannot be kept: the file stays.
        """
        number = keep_version(self._path, is_last=True)
        self._kept |= {"last": number, "last_epochs": last.epochs, "last_held_out": last.held_out}
        save_state_dicts(self._path, members)
        self.note(entry)
        return number


def _folder_of(path: Path) -> Path:
    return path.parent / FOLDER / path.name


def _name_again(path: Path, folder: Path, number: int, suffix: str) -> int:
    """Add the file to the versions and return its number; other processes may do the same at the same time."""
    place = folder / f"{number:06d}{suffix}.pth"
    try:
        os.link(path, place)
    except FileExistsError:
        return _name_again(path, folder, number + 1, suffix)
    except OSError:  # the file system has no hard links
        with replacing(place) as file, path.open("rb") as source:
            shutil.copyfileobj(source, file)
        stamp = path.stat()
        os.utime(place, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    return number


def _remove_surplus(path: Path) -> None:
    kept = versions(path)
    interim = [version for version in kept if version.is_interim]
    last = [version for version in kept if version.is_last]
    before = [version for version in kept if not version.is_interim and not version.is_last]
    for version in (*interim[1:], *last[1:], *before[N_KEPT:]):
        version.path.unlink(missing_ok=True)


def _is_sound(path: Path, load: Callable[[Path], object]) -> bool:
    try:
        load(path)
    except (ModelFileError, NotFoundError):
        return False
    return True
