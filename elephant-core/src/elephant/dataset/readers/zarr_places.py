"""Where the files of a Zarr hierarchy are: in a folder, or packed into a zip archive."""

import os
import zipfile
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, ClassVar

from elephant.errors import DatasetError, reason_of
from elephant.io.addresses import address_of
from elephant.io.http_objects import LARGEST_METADATA_BYTES
from elephant.words import counted, in_bytes

if TYPE_CHECKING:
    import zarr
    from zarr.storage import ZipStore

METADATA = ("zarr.json", ".zattrs")
LARGEST_BLOCK_BYTES = 1 << 30
ZIPS_OF_ZARR = (".ozx", ".zarr.zip")
ZIP = ".zip"
_MOST_FILES = 1000
_BEGINNING = b"PK"
_IS_ENCRYPTED = 0x1
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
_BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError, OSError)


class ZarrPlace(ABC):
    """A place that holds a hierarchy of Zarr groups and arrays; keys are paths in it, with ``/``.

    Attributes
    ----------
    advice
        What to do if something is missing or damaged.
    """

    advice: ClassVar[str] = "copy the movie again, or export it again"

    @property
    @abstractmethod
    def name(self) -> str:
        """Its name for people."""

    @abstractmethod
    def read(self, key: str) -> bytes | None:
        """Return the content of a file of metadata; None if there is no such file.

        Raises
        ------
        OSError, ValueError
            It cannot be read, or is too large.
        DatasetError
            The place itself cannot be read.
        """

    @abstractmethod
    def folders(self) -> list[str]:
        """Return the names of the folders at the top."""

    @abstractmethod
    def array(self, key: str) -> "zarr.Array[Any]":
        """Open an array for reading; what Zarr raises is passed on."""

    def values(self, array: "zarr.Array[Any]", selection: tuple[int | slice, ...]) -> Any:
        """Return values of an array of this place; what Zarr raises is passed on."""
        return array[selection]

    @abstractmethod
    def files(self, key: str) -> tuple[Path, ...]:
        """Return the files whose times and sizes reveal a change of the array at a key."""

    def digest(self, key: str) -> str | None:
        """Return what identifies the array at a key; None where its values do."""
        del key
        return None


def place_of(path: Path) -> ZarrPlace:
    """Return the place at a path: a file is taken to be a zip archive.

    Raises
    ------
    InvalidInputError
        It is on another machine, which must not be read, or cannot.
    """
    if address_of(path) is not None:
        from elephant.dataset.readers.remote import Remote  # noqa: PLC0415 - imports what only that needs

        return Remote.at(path)
    return Zip(path) if path.is_file() else Folder(path)


def begins_as_zip(path: Path) -> bool:
    """Return whether a file begins as a zip archive does, whole or not."""
    try:
        with path.open("rb") as file:
            return file.read(len(_BEGINNING)) == _BEGINNING
    except OSError:
        return False


def _check_metadata(size: int) -> None:
    if size > LARGEST_METADATA_BYTES:
        raise ValueError(f"it is too large: {in_bytes(size)}")


@dataclass(frozen=True, slots=True)
class Folder(ZarrPlace):
    """A folder on disk."""

    path: Path

    @property
    def name(self) -> str:
        """Name of the folder."""
        return self.path.name

    def read(self, key: str) -> bytes | None:
        """Return the content of a file of metadata; None if there is no such file."""
        place = self.path / key
        if not place.is_file():
            return None
        _check_metadata(place.stat().st_size)
        return place.read_bytes()

    def folders(self) -> list[str]:
        """Return the names of the folders at the top."""
        return [place.name for place in self.path.iterdir()]

    def array(self, key: str) -> "zarr.Array[Any]":
        """Open an array for reading."""
        import zarr  # noqa: PLC0415 - slow, and not needed to find a folder's movie

        return zarr.open_array(self.path / key, mode="r")

    def files(self, key: str) -> tuple[Path, ...]:
        """Return the files with the metadata of an array and of the groups above it, and the first with voxels."""
        parts = PurePosixPath(key).parts
        groups = [self.path.joinpath(*parts[:i]) for i in range(len(parts) + 1)]
        named = [group / name for group in groups for name in (*METADATA, ".zarray") if (group / name).is_file()]
        blocks = islice((path for path in (self.path / key).rglob("*") if path.is_file()), _MOST_FILES)
        return tuple(sorted({*named, *blocks}))


@dataclass(frozen=True, slots=True)
class Zip(ZarrPlace):
    """A zip archive, with the hierarchy at its top or in the only folder there."""

    path: Path

    @property
    def name(self) -> str:
        """Name of the archive."""
        return self.path.name

    def read(self, key: str) -> bytes | None:
        """Return the content of a file of metadata; None if there is no such file."""
        archive = self._archive()
        if (size := archive.sizes.get(archive.root + key)) is None:
            return None
        _check_metadata(size)
        from zarr.core.buffer import default_buffer_prototype  # noqa: PLC0415 - slow, and not needed to find a folder's movie
        from zarr.core.sync import sync  # noqa: PLC0415

        try:
            found = sync(archive.store.get(archive.root + key, default_buffer_prototype()))
        except _BROKEN as error:
            raise ValueError(reason_of(error)) from error
        return None if found is None else found.to_bytes()

    def folders(self) -> list[str]:
        """Return the names of the folders at the top."""
        archive = self._archive()
        inside = (name.removeprefix(archive.root) for name in archive.sizes if name.startswith(archive.root))
        return sorted({name.split("/")[0] for name in inside if "/" in name})

    def array(self, key: str) -> "zarr.Array[Any]":
        """Open an array for reading."""
        import zarr  # noqa: PLC0415 - slow, and not needed to find a folder's movie

        archive = self._archive()
        return zarr.open_array(archive.store, path=archive.root + key, mode="r")

    def files(self, key: str) -> tuple[Path, ...]:
        """Return the archive."""
        del key
        return (self.path,)

    def _archive(self) -> "_Archive":
        try:
            found = self.path.stat()
        except OSError as error:
            raise DatasetError(f"{self.path} cannot be read ({reason_of(error)}): check that it is there") from error
        # A process that was forked must not share the position in an open file.
        return _archive(self.path, (os.getpid(), found.st_size, found.st_mtime_ns, found.st_ino))


@dataclass(frozen=True, slots=True)
class _Archive:
    """The list of an archive's files, which was judged, and what Zarr reads it by."""

    store: "ZipStore"
    sizes: dict[str, int]
    root: str


# Reading the list of 100,000 files takes longer than a timepoint. An archive is closed when it is no more in use.
@lru_cache(maxsize=2)
def _archive(path: Path, stamp: tuple[int, ...]) -> _Archive:
    """Open an archive.

    Raises
    ------
    DatasetError
        It is damaged, encrypted, or holds something else than a Zarr hierarchy.
    """
    del stamp
    from zarr.core.sync import sync  # noqa: PLC0415 - slow, and not needed to find a folder's movie
    from zarr.storage import ZipStore  # noqa: PLC0415

    try:
        with zipfile.ZipFile(path) as file:
            infos = file.infolist()
    except _BROKEN as error:
        raise DatasetError(
            f"expected {path.name} to be a whole zip archive, but it cannot be opened ({reason_of(error)}): copy or "
            "download it again"
        ) from error
    for info in infos:
        _judge(info, path)
    sizes = {info.filename: info.file_size for info in infos}
    return _Archive(sync(ZipStore.open(path, mode="r")), sizes, _root(sizes, path))  # opened before threads share it


def _judge(info: zipfile.ZipInfo, path: Path) -> None:
    """Refuse a file of an archive that leads out of it, cannot be unpacked, or would fill the memory."""
    name = info.filename
    if name.startswith("/") or "\\" in info.orig_filename or ":" in name.split("/")[0] or ".." in name.split("/"):
        raise DatasetError(
            f"expected the files in {path.name} to stay within it, got the name {info.orig_filename[:100]!r}: pack the "
            "movie's folder again"
        )
    if info.flag_bits & _IS_ENCRYPTED:
        raise DatasetError(f"{path.name} is encrypted: unpack it with its password, and choose the folder")
    if info.compress_type not in _METHODS:
        raise DatasetError(
            f"{path.name} is packed by a method that cannot be read (number {info.compress_type}): unpack it and "
            "choose the folder, or pack it again without compression"
        )
    if info.compress_type != zipfile.ZIP_STORED and info.file_size > LARGEST_BLOCK_BYTES:
        raise DatasetError(
            f"expected the files packed in {path.name} to have at most {in_bytes(LARGEST_BLOCK_BYTES)} each, but "
            f"{name[:100]} would unpack to {in_bytes(info.file_size)}: pack the movie's folder again without "
            "compression (zip -0)"
        )


def _root(names: Iterable[str], path: Path) -> str:
    """Return the folder of an archive's hierarchy, with ``/`` at its end: empty if it is at the top."""
    found = list(names)
    if any(name in METADATA for name in found):
        return ""
    tops = sorted({name.split("/")[0] for name in found if name.count("/") == 1 and name.split("/")[1] in METADATA})
    if len(tops) == 1:
        return f"{tops[0]}/"
    if tops:
        raise DatasetError(
            f"{path.name} holds {len(tops)} Zarr folders ({', '.join(tops[:5])}): unpack it, and choose one of them"
        )
    files = [name for name in found if not name.endswith("/")]
    some = f"{counted(len(files), 'file')}, such as {files[0][:100]}" if files else "no file"
    raise DatasetError(f"expected {path.name} to hold an OME-Zarr movie, got {some}: unpack it, and choose the movie")
