"""Replacing the arrays of a dataset all at once, or not at all, whenever the process is killed.

New arrays are written beside the old ones, into a hidden folder. Then a marker is put down, the old arrays
are moved aside and the new ones into place, one rename at a time, and the marker is removed. Whoever comes
next and finds the hidden folder without an owner (a lock tells) looks for the marker: with it, the moves are
carried on to their end; without it, the new arrays are incomplete and are thrown away.
"""

import logging
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from elephant.dataset.journal import labels_journal, outputs_journal
from elephant.errors import DatasetError
from elephant.io.atomic import replacing, sync_folder, sync_tree

_WORK = ".conversion"
_LOCK = ".conversion.lock"
_MARKER = "commit"
_LONGEST_SWAP_S = 30.0

logger = logging.getLogger(__name__)


@contextmanager
def staging(folder: Path) -> Iterator[Path]:
    """Give a folder for new arrays, and put them in place when the block ends without an error.

    Parameters
    ----------
    folder
        The dataset's folder. Only what is put into the given folder is replaced in it.

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
            _finish_or_sweep(folder)
            staged = folder / _WORK / uuid.uuid4().hex
            staged.mkdir(parents=True)
            try:
                yield staged
                _put_marker(folder, staged)
            except BaseException:
                _finish_or_sweep(folder)
                if is_new:  # the folder is as it was; whoever waits for this lock notices that it is gone
                    lock.unlink(missing_ok=True)
                raise
            _finish_or_sweep(folder)
    except Timeout as error:
        raise DatasetError(
            f"one conversion at a time can write {folder}, but another one runs: wait for it, or abort it"
        ) from error


def recover(folder: Path) -> None:
    """Carry on or throw away what a killed conversion, or a killed update, left; leave a running one alone.

    A swap that is under way in another process is waited for. A folder that cannot be written stays as it is.
    """
    try:
        for journal in (labels_journal(folder), outputs_journal(folder)):
            journal.recover()
        if not (folder / _WORK).is_dir():
            return
        with FileLock(folder / _LOCK, timeout=_LONGEST_SWAP_S if is_swapping(folder) else 0):
            _finish_or_sweep(folder)
    except Timeout:
        return
    except OSError as error:
        logger.warning("what was interrupted in %s cannot be tidied: %s", folder, error)


def is_swapping(folder: Path) -> bool:
    """Tell whether new arrays are being moved into place, or were when their process was killed."""
    return (folder / _WORK / _MARKER).exists()


def _put_marker(folder: Path, staged: Path) -> None:
    sync_tree(staged)
    sync_folder(staged.parent)
    sync_folder(folder)
    with replacing(folder / _WORK / _MARKER) as marker:
        marker.write(staged.name.encode("ascii"))


def _finish_or_sweep(folder: Path) -> None:
    """Bring the folder to rest. Call it with the lock held."""
    work = folder / _WORK
    marker = work / _MARKER
    if marker.exists():
        # What is being written to the old arrays goes to them, and never to the new ones.
        with labels_journal(folder).lock(), outputs_journal(folder).lock():
            _swap(folder, work / marker.read_text(encoding="ascii"))
        marker.unlink()
    shutil.rmtree(work, ignore_errors=True)


def _swap(folder: Path, staged: Path) -> None:
    """Move every staged array into place; any number of its steps may have been done before."""
    aside = staged.with_suffix(".old")
    aside.mkdir(exist_ok=True)
    for new in sorted(staged.iterdir()):
        place = folder / new.name
        if os.path.lexists(place):
            place.replace(aside / new.name)
        new.replace(place)
    sync_folder(folder)
