"""Replacing files of a dataset all at once, or not at all, and never while they are read.

New files are written into a hidden folder beside the dataset's. Then a marker is written that says what will be done:
which files are moved into place and which are removed, or, for whole arrays, that the old ones are moved aside and the
new ones into place. Then that is done, one rename at a time, and the marker is removed. The next process that finds the
hidden folder without an owner (a lock tells) looks for the marker. With it, the moves are carried on to their end.
Without it, the new files are incomplete and are thrown away, and so is what the record says of them.

A shared lock on ``.in-use.lock`` keeps arrays from being replaced while they are read. The file is never removed, since
processes that share it would then lock different files. Windows has no such locks, but does not allow open files to be
moved. If a folder cannot be written, or its file system has no locks, work continues without one.
"""

import json
import logging
import os
import re
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Self

from filelock import FileLock, Timeout

from elephant.dataset.record.log import AnnotationLog, Event, forget_undo, undo
from elephant.errors import DatasetError, InUseError
from elephant.io.atomic import replacing, sync_files, sync_folder, sync_tree
from elephant.io.locks import IS_POSIX, give_back, take

_MARKER = "commit"
# A file of an array, and nothing that leads elsewhere.
_CHUNK = re.compile(r"\w+\.zarr/(c[./])?\d+([./]\d+)*")

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Changes:
    """What a transaction will do.

    Attributes
    ----------
    folder
        Where new files are put, in folders of the arrays' names.
    names
        The files, relative to the dataset's folder, that are replaced by the file of the same name in `folder`, or
        removed if there is none.
    record
        Appends what is done to the dataset's record: is given the folder in which it says how to undo that, and returns
        the file to sync.
    """

    folder: Path
    names: list[str] = field(default_factory=list)
    record: Callable[[Path], Path] | None = None


@dataclass(frozen=True, slots=True)
class _Plan:
    """The content of a marker: names relative to the dataset's folder."""

    moved: tuple[str, ...]
    removed: tuple[str, ...]

    @classmethod
    def read(cls, marker: Path) -> Self | None:
        """Return the content of a marker; None if there is no valid one."""
        try:
            content = json.loads(marker.read_text(encoding="utf-8"))
            plan = cls(tuple(content["moved"]), tuple(content["removed"]))
            is_sound = all(_CHUNK.fullmatch(name) for name in (*plan.moved, *plan.removed))
        except FileNotFoundError:
            return None
        except (ValueError, TypeError, KeyError):
            is_sound = False
        if not is_sound:
            logger.warning("%s is not valid and is ignored", marker)
            return None
        return plan


class Journal:
    """Changes of some arrays of a dataset, one at a time over all processes.

    Parameters
    ----------
    folder
        The dataset's folder.
    name
        Which arrays: no two journals change the same ones.
    is_durable
        Whether changes, once made, must survive a power cut.
    """

    def __init__(self, folder: Path, name: str, *, is_durable: bool) -> None:
        self._folder = folder
        self._name = name
        self._work = folder / f".{name}.new"
        self._is_durable = is_durable

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Make every other writer wait, and first finish what was left half done; may be nested."""
        is_outermost = not self._lock.is_locked  # by this thread
        with self._lock:
            if is_outermost:
                self._settle()
            yield

    @contextmanager
    def transaction(self) -> Iterator[Changes]:
        """Yield changes to fill in, which are made when the block ends without an error. Not to be nested.

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
        """Finish, or throw away, what a killed process left; leave a running one alone."""
        if self._work.is_dir() and not self._lock.is_locked:
            with suppress(Timeout), self._lock.acquire(timeout=0):
                self._settle()

    @cached_property
    def _lock(self) -> FileLock:
        # One object per folder and process, so that nesting also works for two datasets of the same folder. It is a
        # kernel lock: it ends with the process that holds it.
        return FileLock(self._folder / f".{self._name}.lock", is_singleton=True, poll_interval=0.01)

    def _commit(self, changes: Changes) -> None:
        moved = [name for name in changes.names if (changes.folder / name).exists()]
        removed = [name for name in changes.names if name not in set(moved) and (self._folder / name).exists()]
        recorded = [] if changes.record is None else [changes.record(self._work)]
        if self._is_durable:
            # For the names, syncing the marker's folder is enough: file systems keep changes of names in their order,
            # so the marker is never there without the files that were put beside it before.
            sync_files([*(changes.folder / name for name in moved), *recorded])
        with replacing(self._work / _MARKER) as marker:
            marker.write(json.dumps({"moved": moved, "removed": removed}).encode())

    def _settle(self) -> None:
        """Finish or throw away what is pending. Call it with the lock held."""
        if not self._work.is_dir():
            return
        marker = self._work / _MARKER
        plan = _Plan.read(marker)
        if plan is None:
            undo(self._folder, self._work)
        else:
            self._follow(plan)
            forget_undo(self._work)  # before the marker, without which it would be undone
            marker.unlink()
        shutil.rmtree(self._work, ignore_errors=True)

    def _follow(self, plan: _Plan) -> None:
        """Make the changes; some of them may have been made before."""
        for name in plan.moved:
            new, place = self._work / "files" / name, self._folder / name
            if new.exists():
                place.parent.mkdir(parents=True, exist_ok=True)
                new.replace(place)
        for name in plan.removed:
            (self._folder / name).unlink(missing_ok=True)


def labels_journal(folder: Path) -> Journal:
    """Return the journal of annotations, which must not be lost once they are acknowledged."""
    return Journal(folder, "labels", is_durable=True)


def outputs_journal(folder: Path) -> Journal:
    """Return the journal of predictions, which can be made again."""
    return Journal(folder, "outputs", is_durable=False)


_WORK = ".conversion"
_LOCK = ".conversion.lock"
_LONGEST_SWAP_S = 30.0


@contextmanager
def staging(folder: Path) -> Iterator[Path]:
    """Yield a folder for new arrays, which are put in place when the block ends without an error.

    Parameters
    ----------
    folder
        The dataset's folder. Only what is put into the yielded folder is replaced in it.

    Yields
    ------
    Path
        An empty folder on the same file system.

    Raises
    ------
    DatasetError
        Another process is converting into the same folder.
    """
    lock = folder / _LOCK
    is_new = not lock.exists()
    try:
        with FileLock(lock, timeout=0):
            _finish_or_discard(folder)
            staged = folder / _WORK / uuid.uuid4().hex
            staged.mkdir(parents=True)
            try:
                yield staged
                _put_marker(folder, staged)
            except BaseException:
                _finish_or_discard(folder)
                if is_new:  # the folder is as it was; a process that waits for this lock notices that it is gone
                    lock.unlink(missing_ok=True)
                raise
            _finish_or_discard(folder)
    except Timeout as error:
        raise DatasetError(f"another conversion is writing to {folder}: wait for it, or abort it") from error


def recover(folder: Path) -> None:
    """Finish or throw away what a killed conversion, or a killed update, left; leave a running one alone.

    Waits for another process that is moving new arrays into place. A folder that cannot be written stays as it is.
    """
    try:
        for journal in (labels_journal(folder), outputs_journal(folder)):
            journal.recover()
        if not (folder / _WORK).is_dir():
            return
        with FileLock(folder / _LOCK, timeout=_LONGEST_SWAP_S if is_swapping(folder) else 0):
            _finish_or_discard(folder)
    except Timeout:
        return
    except OSError as error:
        logger.warning("interrupted changes in %s cannot be cleaned up: %s", folder, error)


def is_swapping(folder: Path) -> bool:
    """Return whether new arrays are being moved into place, or were when their process was killed."""
    return (folder / _WORK / _MARKER).exists()


def _put_marker(folder: Path, staged: Path) -> None:
    sync_tree(staged)
    sync_folder(staged.parent)
    sync_folder(folder)
    with replacing(folder / _WORK / _MARKER) as marker:
        marker.write(staged.name.encode("ascii"))


def _finish_or_discard(folder: Path) -> None:
    """Finish or throw away a conversion. Call it with the lock held."""
    work = folder / _WORK
    marker = work / _MARKER
    if marker.exists():
        # Pending writes were meant for the old arrays, and must not reach the new ones.
        with labels_journal(folder).lock(), outputs_journal(folder).lock():
            _swap(folder, work / marker.read_text(encoding="ascii"))
            _record_swap(folder)
        marker.unlink()
    shutil.rmtree(work, ignore_errors=True)


def _record_swap(folder: Path) -> None:
    """Say in the record of a dataset, where it has one, that its labels are gone; twice does no harm."""
    log = AnnotationLog(folder)
    if not log.path.exists():
        return
    try:
        log.append(Event("cleared"))
        sync_files([log.path])
    except (OSError, DatasetError) as error:
        logger.warning("That the labels of %s are gone cannot be recorded: %s", folder, error)


def _swap(folder: Path, staged: Path) -> None:
    """Move every staged array into place; some of these steps may have been done before."""
    aside = staged.with_suffix(".old")
    aside.mkdir(exist_ok=True)
    for new in sorted(staged.iterdir()):
        place = folder / new.name
        if os.path.lexists(place):
            place.replace(aside / new.name)
        new.replace(place)
    sync_folder(folder)


def recover_all(datasets: Path) -> None:
    """Finish, or throw away, what killed processes left in any dataset; leave running ones alone.

    Only files of this package's own writers are touched.

    Parameters
    ----------
    datasets
        The folder of all datasets, at any depth; it need not exist.
    """
    for folder, names, _ in os.walk(datasets):
        if any(name.endswith(".zarr") or name == ".conversion" for name in names):
            recover(Path(folder))
        names[:] = [name for name in names if not name.endswith(".zarr") and not name.startswith(".")]


LOCK = ".in-use.lock"


@contextmanager
def reading(folder: Path) -> Iterator[None]:
    """Keep a dataset's arrays from being replaced inside the block; many processes and threads may do so at once.

    Raises
    ------
    InUseError
        They are being replaced.
    """
    refusal = f"the dataset {folder.name} is being generated again: wait until that ends, and try again"
    with _locked(folder, refusal, is_shared=True):
        yield


@contextmanager
def replacing_arrays(folder: Path) -> Iterator[None]:
    """Keep all other work from using a dataset inside the block.

    Raises
    ------
    InUseError
        It is in use.
    """
    refusal = (
        f"the dataset {folder.name} is in use by a training, a prediction or another conversion, here or in "
        "another program: wait until it ends, or stop it, and convert again; nothing was changed"
    )
    with _locked(folder, refusal, is_shared=False):
        yield


@contextmanager
def _locked(folder: Path, refusal: str, *, is_shared: bool) -> Iterator[None]:
    with ExitStack() as stack:
        if IS_POSIX:
            with suppress(OSError):
                handle = take(folder / LOCK, is_shared=is_shared)
                if handle is None:
                    raise InUseError(refusal)
                stack.callback(give_back, handle)
        yield
