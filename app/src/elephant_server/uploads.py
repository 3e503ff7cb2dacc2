"""Files that come with requests: models, and movies in pieces."""

import errno
import hashlib
import logging
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING

from filelock import FileLock

from elephant.dataset import check_upload
from elephant.dataset.readers.hdf5 import is_hdf5_name
from elephant.errors import InvalidInputError, reason_of
from elephant.io.atomic import sync_files, sync_folder
from elephant.io.paths import resolve_inside
from elephant_server.errors import StorageError

if TYPE_CHECKING:  # the workers import this, too
    from werkzeug.datastructures import FileStorage

logger = logging.getLogger(__name__)

_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,100}")
CHUNK = 10 * 2**20  # the client's pieces, the last one padded
STALE_AFTER_S = 86_400.0
ARRAY_SUFFIX = ".zarr"
_STAGING = ".uploads"
_REASON, _GROWING = ".reason", ".growing"  # no names of movies
_COPY_BLOCK = 1 << 20


def passing_place(folder: Path, name: str) -> Path:
    """Return the path of a file that is passed between the HTTP processes and the workers.

    A message contains no path: a worker reads, writes and removes files in its own folders only, whatever it says.

    Raises
    ------
    InvalidInputError
        The name is not one of a file in the folder.
    """
    if not _NAME.fullmatch(name):
        raise InvalidInputError(
            f"expected the name of a file in {folder.name}, got {name[:80]!r}: send the request again"
        )
    return folder / name


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
def kept_upload(upload: "FileStorage", models: Path) -> Iterator[Path]:
    """Keep an uploaded file in the workspace, where the workers see it, for the one that takes the request.

    It is removed here if the request fails before its job is queued. Afterwards the worker that did the job removes it;
    if the job is aborted before it begins, the request does.

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


def _save(upload: "FileStorage", folder: Path) -> Path:
    path = None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder, prefix="uploaded-", suffix=".pth", delete=False) as file:
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


class MovieUpload:
    """The upload of one file into the folder of a dataset; there is one of each name at a time.

    A movie comes in pieces, each in a request of its own that any process may get. So the state of an upload is in
    files: a folder for each, beside the datasets, with the received part of the file. Where a piece could not be kept,
    that folder has the reason in place of the file: the client goes on whatever it is answered, and nothing but a new
    start changes that.

    Parameters
    ----------
    datasets
        Folder of all datasets.
    dataset_name
        The dataset, which need not exist yet.
    filename
        Name of an ``.h5`` or ``.hdf5``, without folders.

    Raises
    ------
    InvalidInputError
        A name leads elsewhere, or is none of a movie.
    """

    def __init__(self, datasets: Path, dataset_name: str, filename: str) -> None:
        self._folder = resolve_inside(datasets, dataset_name)
        self._place = self._folder / _checked(filename)
        self._staging = datasets.resolve() / _STAGING
        _check_folder(self._folder, self._staging.parent, dataset_name)
        resolve_inside(self._folder, filename)
        key = hashlib.sha256(bytes(self._place)).hexdigest()
        self._work = self._staging / key[:32]
        self._file = self._work / filename
        # A few for all, which stay: to remove a lock that others may wait for is not safe.
        self._lock = self._staging / f"{key[:2]}.lock"

    def receive(self, piece: IO[bytes] | None, *, restart: bool) -> None:
        """Keep the first piece of the file, or the next one.

        Parameters
        ----------
        piece
            The received bytes; None, if the request had none, is a failure as well.
        restart
            Whether the file begins with it, whatever there was before.

        Raises
        ------
        InvalidInputError
            There is no piece, or no beginning that it could follow.
        StorageError
            It could not be written.
        """
        with self._locked():
            if restart:
                self._remove_stale()
                self._drop()
            else:
                self._check_begun()
            with self._give_up_on_failure():
                if piece is None:
                    raise InvalidInputError("expected multipart with the part `file`, got none")
                self._write(piece, restart)

    def complete(self) -> None:
        """Put the file into its place, in one step.

        Raises
        ------
        InvalidInputError
            There was no beginning, or a piece could not be kept.
        DatasetError
            It is no whole HDF5 file, or one that is split and lacks partitions. What was in its place is still there.
        StorageError
            It could not be put there.
        """
        with self._locked():
            self._check_begun()
            with self._give_up_on_failure():
                check_upload(self._file, self._folder, CHUNK)
                self._folder.mkdir(parents=True, exist_ok=True)
                _move(self._file, self._place)
            self._drop()
        logger.info("Uploaded %s", self._place.name)

    def cancel(self) -> None:
        """Drop what was received, if anything."""
        with self._locked():
            self._drop()

    def _write(self, piece: IO[bytes], restart: bool) -> None:
        """Add a piece; the file has another name meanwhile, so that what a killed process left is not gone on with."""
        self._work.mkdir(exist_ok=True)
        growing = self._work / _GROWING
        if not restart:
            self._file.replace(growing)
        with growing.open("wb" if restart else "ab") as file:
            shutil.copyfileobj(piece, file, _COPY_BLOCK)
        growing.replace(self._file)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Keep others from the upload inside the block."""
        try:
            self._staging.mkdir(parents=True, exist_ok=True)
            with FileLock(self._lock):
                yield
        except OSError as error:
            raise StorageError(
                f"{self._place.name} cannot be written ({reason_of(error)}): make room on the disk of the workspace, "
                "or check its permissions, then upload it again"
            ) from error

    @contextmanager
    def _give_up_on_failure(self) -> Iterator[None]:
        try:
            yield
        except BaseException as error:
            self._drop()
            # On a full disk there may be no room for the reason either: then it is as if nothing had begun.
            with suppress(OSError):
                self._work.mkdir()
                (self._work / _REASON).write_text(reason_of(error), encoding="utf-8")
            raise

    def _check_begun(self) -> None:
        if self._file.exists():
            return
        try:
            # On a full disk there is room for the file, and none for what is in it.
            reason = (self._work / _REASON).read_text(encoding="utf-8") or "the disk was too full to record the reason"
            what = f"was given up ({reason})"
        except OSError:
            what = "has not begun, or was interrupted"
        raise InvalidInputError(f"the upload of {self._place.name} {what}: upload it again from its beginning")

    def _drop(self) -> None:
        shutil.rmtree(self._work, ignore_errors=True)

    def _remove_stale(self) -> None:
        """Remove uploads that were not continued for a day."""
        for work in self._staging.iterdir():
            with suppress(OSError):
                if work.is_dir() and time.time() - _last_change(work) > STALE_AFTER_S:
                    shutil.rmtree(work)


def _last_change(work: Path) -> float:
    return max(path.lstat().st_mtime for path in (work, *work.iterdir()))


def _check_folder(folder: Path, datasets: Path, name: str) -> None:
    """Refuse names that cannot be a dataset's folder: arrays, and paths below a file."""
    chain = [place for place in (folder, *folder.parents) if place.is_relative_to(datasets)]
    for place in chain:
        if place.suffix == ARRAY_SUFFIX or (place.exists() and not place.is_dir()):
            raise InvalidInputError(
                f"a dataset needs its own folder, but {name!r} is in {place.name}, which is not a folder: choose "
                f"another"
            )


def _checked(filename: str) -> str:
    if "/" in filename or filename.startswith(".") or not is_hdf5_name(filename):
        raise InvalidInputError(
            f"expected the plain name of an .h5 or .hdf5 file, got {filename!r}: export the movie as HDF5 from "
            "BigDataViewer or Mastodon"
        )
    return filename


def _move(file: Path, place: Path) -> None:
    """Rename a file, also onto another disk; what has its name is whole even after a power cut."""
    sync_files([file])
    try:
        file.replace(place)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        beside = place.with_name(f".{file.parent.name}.part")
        try:
            shutil.copyfile(file, beside)
            sync_files([beside])
            beside.replace(place)
        finally:
            beside.unlink(missing_ok=True)
    sync_folder(place.parent)


_ANNOTATIONS = ".annotations"
_STRANGE = re.compile(r"[^A-Za-z0-9_.-]+")


@contextmanager
def kept_annotations(upload: "FileStorage | None", passing: Path) -> Iterator[Callable[[], None]]:
    """Keep an uploaded file of spots beside a file that passes between the processes; give what removes it.

    It keeps its name, by which messages call it. If the block fails, it is removed here.

    Raises
    ------
    StorageError
        It cannot be kept.
    """
    folder = passing.with_name(passing.name + _ANNOTATIONS)

    def remove() -> None:
        shutil.rmtree(folder, ignore_errors=True)

    try:
        if upload is not None:
            name = _STRANGE.sub("_", Path(upload.filename or "spots").name).lstrip(".")[-100:]
            folder.mkdir()
            upload.save(folder / (name or "spots"))
        yield remove
    except OSError as error:
        remove()
        raise StorageError(f"the file cannot be kept ({reason_of(error)}): make room on the server's disk") from error
    except BaseException:
        remove()
        raise


def annotations_place(folder: Path, name: str) -> Path | None:
    """Return the uploaded file of spots that came with the request whose answer has that name; None without one."""
    place = passing_place(folder, name + _ANNOTATIONS)
    return next(place.iterdir(), None) if place.is_dir() else None
