"""TensorBoard's event files, read without the libraries that write them: those would bring PyTorch along.

A file is a row of records: a length (8 bytes), its checksum (4), an event, its checksum (4). An event is a Protocol
Buffers message: field 2 is the step, 5 a summary, whose field 1 is a value with the fields 1, its tag, and 2, a float.
"""

import math
import struct
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

_HEAD, _TAIL = 12, 4
_LARGEST_EVENT = 1 << 20
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_SIZE = {_FIXED64: 8, _FIXED32: 4}


@dataclass(slots=True)
class Series:
    """Steps and values of one scalar."""

    steps: "array[int]" = field(default_factory=lambda: array("q"))
    values: "array[float]" = field(default_factory=lambda: array("f"))


class EventFile:
    """A file that grows while it is read: what was read once is kept.

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
        """Read on, at most so many bytes; tell whether that was all there is at the moment."""
        with self._path.open("rb") as file:
            file.seek(self._at)
            data = file.read(most_bytes)
        at = 0
        for begin, end in _records(data):
            self._take(data[begin:end])
            at = end + _TAIL
        self._at += at
        # What is left is a record that is being written, or that its writer was killed within.
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
            series = self.series.setdefault(tag, Series())
            series.steps.append(step)
            series.values.append(scalar)


def _records(data: bytes) -> Iterator[tuple[int, int]]:
    """Yield where the events of the whole records begin and end."""
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
    """Yield the fields of a message; one that is cut off, or of another kind, ends them."""
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
        if at + size > len(message):
            return
        yield number, message[at : at + size]
        at += size


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(message):
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            break
    return value, at
