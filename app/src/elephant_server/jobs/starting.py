"""Starting a model on first use, when several workers are asked to predict with it at once."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from elephant.io.atomic import explained_storage
from elephant.progress import CancelToken

FOLDER = ".starting"
LOOK_INTERVAL_S = 0.5


@contextmanager
def one_starter(models: Path, path: Path, cancel: CancelToken) -> Iterator[None]:
    """Keep others waiting while the block starts a model; nobody waits for one that is there.

    Else each would start one of its own, and the first predictions would come from different models. For jobs that
    nothing holds: a training is held while such jobs work, and would keep them waiting in turn.

    Parameters
    ----------
    models
        Folder of all models.
    path
        The model's file.
    cancel
        Ends the waiting.

    Raises
    ------
    elephant.errors.StorageError
        Nothing can be written beside the models.
    elephant.errors.Cancelled
        `cancel` asked for the end.
    """
    if path.is_file():
        yield
        return
    name = hashlib.sha256(bytes(path)).hexdigest()[:32]
    with explained_storage("the start of a model", models, 0):
        (models / FOLDER).mkdir(exist_ok=True)
        lock = FileLock(models / FOLDER / f"{name}.lock")
        _acquire(lock, cancel)
    try:
        yield
    finally:
        lock.release()


def _acquire(lock: FileLock, cancel: CancelToken) -> None:
    while True:
        cancel.check()
        try:
            lock.acquire(timeout=LOOK_INTERVAL_S)
        except Timeout:
            continue
        return
