"""Model files that come with a request."""

import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from werkzeug.datastructures import FileStorage

from elephant.errors import InvalidInputError, reason_of
from elephant_server.errors import StorageError
from elephant_server.uploads.handover import passing_place

logger = logging.getLogger(__name__)


def uploads_folder(models: Path) -> Path:
    """Return where uploaded models are until the worker has read them."""
    return models / ".uploads"


def uploaded_model(models: Path, name: str | None) -> Path | None:
    """Return the path of a model uploaded with a request; None without one.

    Raises
    ------
    InvalidInputError
        It would lie elsewhere.
    """
    return None if name is None else passing_place(uploads_folder(models), name)


def discard_upload(models: Path, name: str | None) -> None:
    """Remove an uploaded model when its job is done or will not run."""
    try:
        file = uploaded_model(models, name)
    except InvalidInputError as error:
        logger.warning("Nothing was removed: %s", error)
        return
    if file is not None:
        file.unlink(missing_ok=True)


@contextmanager
def kept_upload(upload: FileStorage, models: Path) -> Iterator[Path]:
    """Keep an uploaded file in the workspace, where the workers see it, for the one that takes the request.

    It is removed here where the request fails before a worker has it; afterwards it is the worker's to remove, also
    where the request was aborted meanwhile.

    Raises
    ------
    StorageError
        It cannot be kept.
    """
    path = _save(upload, uploads_folder(models))
    try:
        yield path
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def _save(upload: FileStorage, folder: Path) -> Path:
    path = None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder, suffix=".pth", delete=False) as file:
            path = Path(file.name)
            upload.save(file)
    except OSError as error:
        if path is not None:
            path.unlink(missing_ok=True)
        raise StorageError(
            f"the uploaded model cannot be stored ({reason_of(error)}): make room on the disk of the workspace, or "
            f"check its permissions, then send it again"
        ) from error
    return path
