"""Masks and tracks in a .zip, as this project exports them: unpacked for reading, within the room there is."""

import re
import shutil
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from zipfile import BadZipFile, ZipFile, ZipInfo

from elephant.annotations.ctc_table import TABLES
from elephant.errors import InvalidInputError
from elephant.progress import CancelToken
from elephant.words import in_bytes

_WANTED = re.compile(r"(?:man_track|mask)\d+\.tiff?|man_track\.txt|res_track\.txt", re.IGNORECASE)
_MOST_FILES = 100_000
_ENCRYPTED = 0x1
_BROKEN = (BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError, OSError)


def is_archive(path: Path, head: bytes) -> bool:
    """Tell whether a file is a .zip with a list of tracks in it."""
    if not head.startswith(b"PK\x03\x04"):
        return False
    try:
        with ZipFile(path) as archive:
            return any(PurePosixPath(name).name in TABLES for name in archive.namelist())
    except _BROKEN:
        return False


@contextmanager
def unpacked(path: Path, cancel: CancelToken) -> Iterator[Path]:
    """Yield a temporary folder with the masks and the list of tracks of an archive.

    Raises
    ------
    InvalidInputError
        The archive is damaged, has several lists of tracks, or would not fit onto the disk.
    """
    with tempfile.TemporaryDirectory() as folder:
        try:
            with ZipFile(path) as archive:
                for info in _chosen(archive, path, Path(folder)):
                    cancel.check()
                    with (
                        archive.open(info) as source,
                        (Path(folder) / PurePosixPath(info.filename).name).open("wb") as file,
                    ):
                        shutil.copyfileobj(source, file)
        except _BROKEN as error:
            words = " ".join(str(error).split()) or type(error).__name__
            raise InvalidInputError(f"{path.name} cannot be unpacked ({words}): copy it again") from error
        yield Path(folder)


def _chosen(archive: ZipFile, path: Path, folder: Path) -> list[ZipInfo]:
    """Return what is unpacked: the files beside the list of tracks, under their own names."""
    infos = archive.infolist()
    lists = [PurePosixPath(info.filename) for info in infos if PurePosixPath(info.filename).name in TABLES]
    if len(lists) != 1 or len(infos) > _MOST_FILES:
        raise InvalidInputError(
            f"expected {path.name} to hold one list of tracks ({' or '.join(TABLES)}) and its masks, got {len(lists)} "
            f"lists and {len(infos)} files: unpack it, and choose a folder"
        )
    beside = [info for info in infos if PurePosixPath(info.filename).parent == lists[0].parent]
    wanted = [info for info in beside if _WANTED.fullmatch(PurePosixPath(info.filename).name)]
    if any(info.flag_bits & _ENCRYPTED for info in wanted):
        raise InvalidInputError(f"{path.name} is encrypted: unpack it with its password, and choose the folder")
    size, free = sum(info.file_size for info in wanted), shutil.disk_usage(folder).free
    if size > free // 2:
        raise InvalidInputError(
            f"expected {path.name} to fit into half of the free disk space, {in_bytes(free)}, but it unpacks to "
            f"{in_bytes(size)}: unpack it elsewhere, and choose the folder"
        )
    return wanted
