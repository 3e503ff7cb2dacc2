"""A cache on disk of bounded size, for objects that were read from other machines, and for what took long to compute.

Each object is a file of its own that names its address or key, its version and a checksum, so that one that is
incomplete, damaged or of another name is never taken. Several processes use the same folder without locks: a file is
renamed into place when it is whole, and one that another process removes is read to its end. Its times are part of the
record: the last use decides what is removed first, and the last change is when the server confirmed it.
"""

import hashlib
import json
import logging
import os
import threading
import time
import zlib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from elephant.io.atomic import TEMPORARY_SUFFIX, temporary_file

_MAGIC = b"elephant object 1\n"
_LARGEST_HEADER = 16 << 10
_LARGEST_PART = 4  # of the whole cache: a larger object would displace too much
_BETWEEN_SWEEPS = 32  # parts of the cache that a process adds before it measures all of it
_ABANDONED_S = 3600
_KEPT = 0.75  # of the cache after a sweep

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Entry:
    """An object as the server gave it.

    Attributes
    ----------
    content
        Its bytes; None if there was no such object.
    version
        The server's ETag, or else the time of the last change; empty if it gave neither.
    checked
        When the server last said so, in seconds since 1970.
    """

    content: bytes | None
    version: str
    checked: float


class ObjectCache:
    """The cache in a folder.

    Parameters
    ----------
    folder
        Created with the first object.
    most_bytes
        Limit for all files together. Processes that write at the same time may exceed it by a part.
    what
        What it holds, for messages.
    """

    def __init__(self, folder: Path, most_bytes: int, what: str = "what was read from other machines") -> None:
        self._folder = folder
        self._what = what
        self._most = most_bytes
        self._added = most_bytes  # by others, for all that is known: the first object causes a sweep
        self._lock = threading.Lock()

    def find(self, name: str) -> Entry | None:
        """Return an object; None if there is none that is whole.

        Parameters
        ----------
        name
            Its address, and which part of it.
        """
        path = self._path(name)
        try:
            with path.open("rb") as file:
                found = os.fstat(file.fileno())
                header, content = self._parsed(file.read(), name)
            os.utime(path, (time.time(), found.st_mtime))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            logger.info("an object in the cache %s is damaged and is dropped: %s", self._folder, error)
            with suppress(OSError):
                path.unlink()
            return None
        return Entry(content, str(header["version"]), found.st_mtime)

    def holds(self, name: str) -> bool:
        """Tell whether there is an object, whole or not, without reading it."""
        return self._path(name).is_file()

    def store(self, name: str, entry: Entry) -> None:
        """Keep an object; where the disk does not take it, it is not kept."""
        content = entry.content or b""
        if len(content) * _LARGEST_PART > self._most:
            return
        header = {"name": name, "version": entry.version, "size": len(content), "crc": zlib.crc32(content)}
        head = json.dumps(header | {"is_there": entry.content is not None}).encode()
        if len(head) > _LARGEST_HEADER:
            return
        try:
            self._write(self._path(name), _MAGIC + head + b"\n", content, entry.checked)
        except OSError as error:
            logger.warning("%s cannot keep %s: %s", self._folder, self._what, error)
            return
        self._sweep_after(len(head) + len(content))

    def confirm(self, name: str, checked: float) -> None:
        """Take note that the server said at a time that an object is still the same."""
        with suppress(OSError):
            os.utime(self._path(name), (time.time(), checked))

    def _path(self, name: str) -> Path:
        key = hashlib.blake2b(name.encode(), digest_size=20).hexdigest()
        return self._folder / key[:2] / key[2:]

    @staticmethod
    def _parsed(data: bytes, name: str) -> tuple[dict[str, object], bytes | None]:
        end = data.find(b"\n", len(_MAGIC))
        if not data.startswith(_MAGIC) or end < 0:
            raise ValueError("its beginning is missing")
        header = json.loads(data[len(_MAGIC) : end])
        content = memoryview(data)[end + 1 :]
        if (header["name"], header["size"], header["crc"]) != (name, len(content), zlib.crc32(content)):
            raise ValueError("it is another one, or incomplete")
        return header, bytes(content) if header["is_there"] else None

    @staticmethod
    def _write(path: Path, head: bytes, content: bytes, checked: float) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = temporary_file(path.parent, TEMPORARY_SUFFIX)
        try:
            with os.fdopen(handle, "wb") as file:  # not synced: after a power cut the checksum tells
                file.write(head)
                file.write(content)
            os.utime(temporary, (time.time(), checked))
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise

    def _sweep_after(self, n_bytes: int) -> None:
        with self._lock:
            self._added += n_bytes
            if self._added * _BETWEEN_SWEEPS < self._most:
                return
            self._added = 0
        self._sweep()

    def _sweep(self) -> None:
        """Remove what was not used for longest until the rest takes three quarters of the limit."""
        files: list[tuple[float, int, Path]] = []
        for folder, _, names in os.walk(self._folder):
            for name in names:
                path = Path(folder, name)
                with suppress(OSError):
                    found = path.stat()
                    if path.suffix == TEMPORARY_SUFFIX and found.st_mtime > time.time() - _ABANDONED_S:
                        continue  # another process writes it
                    files.append((found.st_atime, found.st_size, path))
        total = sum(size for _, size, _ in files)
        if total * (1 + 1 / _BETWEEN_SWEEPS) <= self._most:
            return
        for _, size, path in sorted(files):
            if total <= _KEPT * self._most:
                return
            with suppress(OSError):  # another process removed it
                path.unlink()
            total -= size
