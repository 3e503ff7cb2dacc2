"""Finding the entries of a .zip file that ``torch.save`` wrote.

There is more than one way to look for the end record of a .zip file, and two readers that differ in it can see two
different contents. This one looks only at the very end, where ``torch.save`` writes it, and it is the only reader:
what is checked is what is used. It decompresses nothing: ``torch.save`` does not compress.
"""

import struct
from dataclasses import dataclass
from typing import BinaryIO

MOST_ENTRIES = 16_384
BEGINNING = b"PK\x03\x04"  # by these bytes PyTorch distinguishes its two formats
_LARGEST_DIRECTORY = 4 << 20
_END = struct.Struct("<4s4H2LH")
_LOCATOR = struct.Struct("<4sLQL")
_LONG_END = struct.Struct("<4sQ2H2L4Q")
_ENTRY = struct.Struct("<4s6H3L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")
_SHORT, _LONG = 0xFFFF, 0xFFFFFFFF  # "see the longer field"


class ArchiveError(Exception):
    """A .zip file is damaged, or was not written by ``torch.save``."""


@dataclass(frozen=True, slots=True)
class ArchiveEntry:
    """An entry.

    Attributes
    ----------
    n_bytes
        Its length.
    header
        Offset of its header, bytes.
    """

    n_bytes: int
    header: int


class Archive:
    """The table of contents of a .zip file.

    Parameters
    ----------
    file
        Open for reading.
    size
        Its length, bytes.

    Raises
    ------
    ArchiveError
        It is damaged, compressed, has too many entries, or two of one name.
    """

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file = file
        count, length, self._end = _directory(file, size)
        self.entries = _entries(_read(file, self._end, length), count)
        if sum(entry.n_bytes for entry in self.entries.values()) > size:
            raise ArchiveError("its entries are longer than the file")

    def place(self, name: str) -> tuple[int, int] | None:
        """Return the offset and length of an entry's content, bytes; None if there is no such entry.

        Raises
        ------
        ArchiveError
            It is damaged.
        """
        entry = self.entries.get(name)
        if entry is None:
            return None
        signature, *_, name_length, extra_length = _LOCAL.unpack(_read(self._file, entry.header, _LOCAL.size))
        position = entry.header + _LOCAL.size + name_length + extra_length
        if signature != BEGINNING or position + entry.n_bytes > self._end:
            raise ArchiveError(f"its entry {name[:80]} is not where it should be")
        return position, entry.n_bytes

    def read(self, name: str, largest: int) -> bytes | None:
        """Return the content of an entry; None if there is no such entry.

        Raises
        ------
        ArchiveError
            It is damaged, or longer than `largest`.
        """
        place = self.place(name)
        if place is None:
            return None
        position, length = place
        if length > largest:
            raise ArchiveError(f"its entry {name[:80]} is too long for a model")
        return _read(self._file, position, length)


def _directory(file: BinaryIO, size: int) -> tuple[int, int, int]:
    """Return the number of entries of the table of contents, its length, and its offset."""
    end = size - _END.size
    signature, disk, first_disk, here, count, length, begin, comment = _END.unpack(_read(file, end, _END.size))
    if signature != b"PK\x05\x06" or comment:
        raise ArchiveError("it is truncated, or something follows its end")
    if _SHORT in (here, count) or _LONG in (length, begin):
        end, here, count, length, begin = _long_directory(file, end - _LOCATOR.size)
    if disk or first_disk or here != count or begin + length > end:
        raise ArchiveError("its table of contents is broken")
    if count > MOST_ENTRIES or length > _LARGEST_DIRECTORY:
        raise ArchiveError(f"it has {count:,} entries, more than the {MOST_ENTRIES:,} that a model can have")
    return count, length, begin


def _long_directory(file: BinaryIO, place: int) -> tuple[int, int, int, int, int]:
    signature, _, end, _ = _LOCATOR.unpack(_read(file, place, _LOCATOR.size))
    if signature != b"PK\x06\x07" or end + _LONG_END.size > place:
        raise ArchiveError("its table of contents is broken")
    signature, *_, here, count, length, begin = _LONG_END.unpack(_read(file, end, _LONG_END.size))
    if signature != b"PK\x06\x06":
        raise ArchiveError("its table of contents is broken")
    return end, here, count, length, begin


def _entries(directory: bytes, count: int) -> dict[str, ArchiveEntry]:
    found: dict[str, ArchiveEntry] = {}
    position = 0
    for _ in range(count):
        if position + _ENTRY.size > len(directory):
            raise ArchiveError("its table of contents is broken")
        signature, _, _, flags, method, _, _, _, packed, length, n_name, n_extra, n_comment, *_, header = _ENTRY.unpack(
            directory[position : position + _ENTRY.size]
        )
        name_at = position + _ENTRY.size
        extra_at = name_at + n_name
        position = extra_at + n_extra + n_comment
        if signature != b"PK\x01\x02" or position > len(directory):
            raise ArchiveError("its table of contents is broken")
        length, packed, header = _longer([length, packed, header], directory[extra_at : extra_at + n_extra])
        if method or packed != length or flags & 1:
            raise ArchiveError("it is compressed")
        name = directory[name_at:extra_at].decode("utf-8", "replace")
        if name in found:
            raise ArchiveError(f"it has two entries {name[:80]}")
        found[name] = ArchiveEntry(length, header)
    return found


def _longer(fields: list[int], extra: bytes) -> list[int]:
    """Return length, compressed length and offset, from the extra field if they are too large for their own."""
    position = 0
    while position + 4 <= len(extra) and _LONG in fields:
        kind, length = struct.unpack_from("<2H", extra, position)
        if kind == 1:
            content = extra[position + 4 : position + 4 + length]
            values = iter(struct.unpack(f"<{len(content) // 8}Q", content[: len(content) // 8 * 8]))
            return [next(values, _LONG) if field == _LONG else field for field in fields]
        position += 4 + length
    return fields


def _read(file: BinaryIO, position: int, length: int) -> bytes:
    if position < 0:
        raise ArchiveError("it is truncated")
    file.seek(position)
    content = file.read(length)
    if len(content) < length:
        raise ArchiveError("it is truncated")
    return content
