"""Replacing files of a dataset's arrays all at once, or not at all, whenever the process is killed.

New files are written beside the dataset's, into a hidden folder. Then a marker is put down that lists what is to be
moved into place and what is to be removed, that is done, and the marker is taken away. Whoever comes next and finds the
hidden folder without an owner (a lock tells) looks for the marker: with it, what it lists is carried on to its end;
without it, the new files are incomplete and are thrown away.
"""

import json
import logging
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Self

from filelock import FileLock, Timeout

from elephant.io.atomic import replacing, sync_files

_MARKER = "commit"
# A file of an array, and nothing that leads elsewhere.
_CHUNK = re.compile(r"\w+\.zarr/(c[./])?\d+([./]\d+)*")

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Changes:
    """What a transaction is going to do.

    Attributes
    ----------
    folder
        Where new files are put, in folders of the arrays' names.
    names
        The files, relative to the dataset's folder, that are replaced by what lies in `folder` under the same name, or
        are removed where nothing does.
    """

    folder: Path
    names: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Plan:
    """What a marker says: names relative to the dataset's folder."""

    moved: tuple[str, ...]
    removed: tuple[str, ...]

    @classmethod
    def read(cls, marker: Path) -> Self | None:
        """Return what a marker says; None where there is none that makes sense."""
        try:
            content = json.loads(marker.read_text(encoding="utf-8"))
            plan = cls(tuple(content["moved"]), tuple(content["removed"]))
            is_sound = all(_CHUNK.fullmatch(name) for name in (*plan.moved, *plan.removed))
        except FileNotFoundError:
            return None
        except (ValueError, TypeError, KeyError):
            is_sound = False
        if not is_sound:
            logger.warning("%s makes no sense and is not followed", marker)
            return None
        return plan


class Journal:
    """Changes of some arrays of a dataset, one at a time over all processes.

    Parameters
    ----------
    folder
        The dataset's folder.
    name
        Which arrays: those of one journal are changed by no other one.
    is_durable
        Whether changes that were made must outlive a power cut.
    """

    def __init__(self, folder: Path, name: str, *, is_durable: bool) -> None:
        self._folder = folder
        self._name = name
        self._work = folder / f".{name}.new"
        self._is_durable = is_durable

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keep every other writer waiting, and leave nothing half done to the block; may be nested."""
        is_outermost = not self._lock.is_locked  # by this thread
        with self._lock:
            if is_outermost:
                self._settle()
            yield

    @contextmanager
    def transaction(self) -> Iterator[Changes]:
        """Give changes to fill in; they are made when the block ends without an error. Not to be nested.

        Raises
        ------
        OSError
            They cannot be written: none of them was made.
        """
        with self.lock():
            changes = Changes(self._work / "files")
            try:
                changes.folder.mkdir(parents=True)
                yield changes
                self._commit(changes)
            finally:
                self._settle()

    def recover(self) -> None:
        """Bring to its end, or throw away, what a killed process left; leave a running one alone."""
        if self._work.is_dir() and not self._lock.is_locked:
            with suppress(Timeout), self._lock.acquire(timeout=0):
                self._settle()

    @cached_property
    def _lock(self) -> FileLock:
        # One object per folder and process, so that nesting works for two datasets of the same folder too. It is a
        # lock of the kernel's: it ends with the process that holds it.
        return FileLock(self._folder / f".{self._name}.lock", is_singleton=True, poll_interval=0.01)

    def _commit(self, changes: Changes) -> None:
        moved = [name for name in changes.names if (changes.folder / name).exists()]
        removed = [name for name in changes.names if name not in set(moved) and (self._folder / name).exists()]
        if self._is_durable:
            # That the marker's folder is forced, too, is enough for the names: file systems keep changes of them in
            # their order, so that no marker is there without what was put beside it before.
            sync_files([changes.folder / name for name in moved])
        with replacing(self._work / _MARKER) as marker:
            marker.write(json.dumps({"moved": moved, "removed": removed}).encode())

    def _settle(self) -> None:
        """Bring the folder to rest. Call it with the lock held."""
        if not self._work.is_dir():
            return
        marker = self._work / _MARKER
        plan = _Plan.read(marker)
        if plan is not None:
            self._follow(plan)
            marker.unlink()
        shutil.rmtree(self._work, ignore_errors=True)

    def _follow(self, plan: _Plan) -> None:
        """Make the changes; any number of them may have been made before."""
        for name in plan.moved:
            new, place = self._work / "files" / name, self._folder / name
            if new.exists():
                place.parent.mkdir(parents=True, exist_ok=True)
                new.replace(place)
        for name in plan.removed:
            (self._folder / name).unlink(missing_ok=True)


def labels_journal(folder: Path) -> Journal:
    """Return the journal of what a person annotated: acknowledged, it is not lost."""
    return Journal(folder, "labels", is_durable=True)


def outputs_journal(folder: Path) -> Journal:
    """Return the journal of what was predicted, which can be predicted again."""
    return Journal(folder, "outputs", is_durable=False)
