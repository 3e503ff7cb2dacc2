"""TensorBoard's event files, written and read without its libraries.

Those would import PyTorch into processes that do not need it, and hang when a disk is full. A file is a sequence of
records: a length (8 bytes), its checksum (4), an event, its checksum (4). An event is a Protocol Buffers message:
field 1 is the time, 2 the step, 3 the file version, 5 a summary, whose field 1 is a value with the fields 1, its
tag, and 2, a float. Checksums are CRC-32C (RFC 3720, B.4), rotated by 15 bits with a constant added.
"""

import math
import socket
import struct
import time
import uuid
from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

PATTERN = "events.out.tfevents.*"
_VERSION = b"brain.Event:2"
_FLUSH_S = 2.0
_HEAD, _TAIL = 12, 4
# Time and step come first.
_BEGINNING = 64
_LARGEST_EVENT = 1 << 20
_MOST_SERIES = 1000  # of a file: a training has four
_LONGEST_VARINT = 10  # bytes, of 64 bits
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_SIZE = {_FIXED64: 8, _FIXED32: 4}


class EventWriter:
    """Writes a new file in a folder; readers see its content after a few seconds.

    Parameters
    ----------
    folder
        The folder, which is created if it does not exist.

    Raises
    ------
    OSError
        The file cannot be written, now or later.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        # The time has only seconds: without more, trainings that begin in the same second would share a file.
        name = f"events.out.tfevents.{int(time.time()):010d}.{socket.gethostname()}.{uuid.uuid4().hex[:8]}"
        self._file = (folder / name).open("xb")
        self._flushed_at = -math.inf
        self._write(_double(1, time.time()) + _bytes(3, _VERSION))

    def add(self, step: int, values: Mapping[str, float]) -> None:
        """Write the scalars of a step."""
        scalars = (_bytes(1, _bytes(1, tag.encode()) + _float(2, value)) for tag, value in values.items())
        self._write(_double(1, time.time()) + _key(2, _VARINT) + _as_varint(step) + _bytes(5, b"".join(scalars)))

    def close(self) -> None:
        """Flush to disk."""
        self._file.close()

    def _write(self, event: bytes) -> None:
        length = struct.pack("<Q", len(event))
        self._file.write(length + _checksum(length) + event + _checksum(event))
        if time.monotonic() - self._flushed_at > _FLUSH_S:
            self._file.flush()
            self._flushed_at = time.monotonic()


@dataclass(slots=True)
class Series:
    """Steps and values of one scalar."""

    steps: "array[int]" = field(default_factory=lambda: array("q"))
    values: "array[float]" = field(default_factory=lambda: array("f"))


class EventFile:
    """Reads a file that may still be growing; the values read so far are kept.

    Parameters
    ----------
    path
        The file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._at = 0
        self.series: dict[str, Series] = {}

    def read(self, most_bytes: int) -> bool:
        """Read at most `most_bytes` more bytes; return whether the end of the file has been reached."""
        with self._path.open("rb") as file:
            file.seek(self._at)
            data = file.read(most_bytes)
        at = 0
        for begin, end in _records(data):
            self._take(data[begin:end])
            at = end + _TAIL
        self._at += at
        # The rest is a record that is still being written, or whose writer was killed.
        return len(data) < most_bytes or at == 0

    def _take(self, event: bytes) -> None:
        step = 0
        values: list[tuple[str, float]] = []
        for number, value in _fields(event):
            if number == 2 and isinstance(value, int):
                step = value
            elif number == 5 and isinstance(value, bytes):
                values += [found for n, v in _fields(value) if n == 1 and isinstance(v, bytes) for found in _scalar(v)]
        for tag, scalar in values:
            if tag not in self.series and len(self.series) >= _MOST_SERIES:
                continue
            series = self.series.setdefault(tag, Series())
            series.steps.append(step)
            series.values.append(scalar)


def _records(data: bytes) -> Iterator[tuple[int, int]]:
    """Yield the begin and end of the event in each complete record."""
    at = 0
    while at + _HEAD <= len(data):
        (length,) = struct.unpack_from("<Q", data, at)
        end = at + _HEAD + length
        if length > _LARGEST_EVENT or end + _TAIL > len(data):
            return
        yield at + _HEAD, end
        at = end + _TAIL


def _scalar(value: bytes) -> Iterator[tuple[str, float]]:
    tag, number = "", math.nan
    for name, content in _fields(value):
        if name == 1 and isinstance(content, bytes):
            tag = content.decode(errors="replace")
        elif name == 2 and isinstance(content, bytes) and len(content) == 4:
            (number,) = struct.unpack("<f", content)
    if tag:
        yield tag, number


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield the fields of a message, up to a truncated or unknown one."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        number, kind = key >> 3, key & 7
        if kind == _VARINT:
            value, at = _varint(message, at)
            yield number, value
            continue
        if kind == _BYTES:
            size, at = _varint(message, at)
        elif kind in _SIZE:
            size = _SIZE[kind]
        else:
            return
        if size < 0 or at + size > len(message):
            return
        yield number, message[at : at + size]
        at += size


def _varint(message: bytes, at: int) -> tuple[int, int]:
    """Return the signed 64-bit number at an offset, and the offset after it; after an invalid one, that of the end."""
    value = 0
    for i, byte in enumerate(message[at : at + _LONGEST_VARINT]):
        value |= (byte & 0x7F) << 7 * i
        if byte < 0x80:
            return (value & (1 << 63) - 1) - (value & 1 << 63), at + i + 1
    return 0, len(message)


def last_step(folder: Path) -> int:
    """Return the largest step in the files of a folder; 0 if there is none."""
    return max((step for path in folder.glob(PATTERN) for step in _steps(path)), default=0)


def _steps(path: Path) -> Iterator[int]:
    """Yield the steps of a file, up to where it is truncated or damaged."""
    with path.open("rb") as file:
        size = path.stat().st_size
        while len(head := file.read(_HEAD)) == _HEAD:
            (length,) = struct.unpack_from("<Q", head)
            end = file.tell() + length
            if end + _TAIL > size:
                return
            event = file.read(min(length, _BEGINNING))
            yield next((value for number, value in _fields(event) if number == 2 and isinstance(value, int)), 0)
            file.seek(end + _TAIL)


def _key(number: int, kind: int) -> bytes:
    return _as_varint(number << 3 | kind)


def _double(number: int, value: float) -> bytes:
    return _key(number, _FIXED64) + struct.pack("<d", value)


def _float(number: int, value: float) -> bytes:
    return _key(number, _FIXED32) + struct.pack("<f", value)


def _bytes(number: int, content: bytes) -> bytes:
    return _key(number, _BYTES) + _as_varint(len(content)) + content


def _as_varint(value: int) -> bytes:
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*found, value])


def _crc_table() -> tuple[int, ...]:
    table = []
    for i in range(256):
        value = i
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
        table.append(value)
    return tuple(table)


_CRC = _crc_table()


def _checksum(content: bytes) -> bytes:
    crc = 0xFFFFFFFF
    for byte in content:
        crc = _CRC[(crc ^ byte) & 0xFF] ^ crc >> 8
    crc ^= 0xFFFFFFFF
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)
