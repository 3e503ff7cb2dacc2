"""Writing masks into a .zip that can be sent while it is written: what is in its file never changes again.

Each entry's sizes and checksum follow its data, as the format allows for streams. The beginning of an archive is known
before any mask is, so it can be sent to keep a connection alive. Python's own ``zipfile`` writes neither, since it puts
an entry's size into its header.

References
----------
PKWARE, APPNOTE.TXT - .ZIP File Format Specification, version 6.3.10.
"""

import struct
import tempfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import tifffile

from elephant.export.masks import Mask
from elephant.io.locks import IS_POSIX
from elephant.progress import CancelToken

_BLOCK = 4 << 20
_LEVEL = 1
_VERSION, _VERSION_64 = 20, 45
_SIZES_FOLLOW = 1 << 3
_DEFLATED = 8
_FIRST_DAY = 1 << 5 | 1  # 1 January 1980
# Numbers from these limits on are written into longer fields elsewhere, and a mark takes their place.
_LIMIT_16, _LIMIT_32 = 0xFFFF, 0xFFFFFFFF
_MARK_16, _MARK_32 = 0xFFFF, 0xFFFFFFFF
# A field that readers skip; Android's tools align entries with it.
_PADDING, _N_PADDING = 0xD935, 6000
_ZIP64 = 1

_LOCAL = struct.Struct("<4s5H3L2H")
_FOLLOWING, _FOLLOWING_64 = struct.Struct("<4s3L"), struct.Struct("<4sL2Q")
_CENTRAL = struct.Struct("<4s6H3L5H2L")
_END = struct.Struct("<4s4H2LH")
_END_64 = struct.Struct("<4sQ2H2L4Q")
_END_64_AT = struct.Struct("<4sLQL")
_EXTRA = struct.Struct("<2H")


def beginning_of_archive(first: str) -> bytes:
    """Return the first few kilobytes of an archive whose first entry has this name, whatever the mask holds.

    They are a reserve that can be sent byte by byte before anything else is known.
    """
    padding = _EXTRA.pack(_PADDING, _N_PADDING) + bytes(_N_PADDING)
    return _local_header(first, padding)


class MaskArchive:
    """A .zip of masks; a context manager, which completes the archive unless an error was raised.

    Parameters
    ----------
    file
        Open for writing, at its beginning.
    folder
        Folder of the temporary TIFF that is being compressed; it has no name, so that it cannot be left behind.
    has_reserve
        Whether the archive begins with :func:`beginning_of_archive`.
    """

    def __init__(self, file: BinaryIO, folder: Path, *, has_reserve: bool = False) -> None:
        self._file = file
        self._folder = folder
        self._has_reserve = has_reserve
        self._position = 0
        self._entries: list[_Entry] = []

    def __enter__(self) -> "MaskArchive":
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self._end()

    def add(self, name: str, mask: Mask, cancel: CancelToken) -> None:
        """Add a mask as a TIFF that ImageJ opens; afterwards all of it is in the file.

        Parameters
        ----------
        name
            Name of the TIFF.
        mask
            uint16, (Z), Y, X.
        cancel
            Asked before each plane and each block.

        Raises
        ------
        OSError
            It cannot be written, for instance because the disk is full.
        elephant.errors.Cancelled
            From `cancel`; the archive is then incomplete.
        """
        self._add(name, self._tiff(mask, cancel))

    def add_text(self, name: str, text: str) -> None:
        """Add a file of plain text."""
        self._add(name, [text.encode()])

    def _add(self, name: str, blocks: Iterable[bytes]) -> None:
        begin = self._position
        is_reserve = self._has_reserve and not self._entries
        self._write(beginning_of_archive(name) if is_reserve else _local_header(name))
        crc = size = compressed = 0
        compressor = zlib.compressobj(_LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
        for block in blocks:
            crc, size = zlib.crc32(block, crc), size + len(block)
            compressed += self._write(compressor.compress(block))
        compressed += self._write(compressor.flush())
        # Readers infer from the sizes which of the two follows.
        following = _FOLLOWING if max(size, compressed) < _LIMIT_32 else _FOLLOWING_64
        self._write(following.pack(b"PK\x07\x08", crc, compressed, size))
        self._entries.append(_Entry(name.encode("ascii"), crc, compressed, size, begin))
        self._file.flush()

    def _tiff(self, mask: Mask, cancel: CancelToken) -> Iterator[bytes]:
        # Windows cannot remove an open file, but removes it itself when the process ends in any way.
        with tempfile.NamedTemporaryFile(dir=self._folder, delete=not IS_POSIX) as tiff:
            if IS_POSIX:
                Path(tiff.name).unlink()
            tifffile.imwrite(
                tiff,
                _planes(mask, cancel),
                shape=mask.shape,
                dtype=mask.dtype,
                imagej=True,
                photometric="minisblack",
                metadata={"axes": "ZYX"[-mask.ndim :]},
            )
            tiff.seek(0)
            while block := tiff.read(_BLOCK):
                cancel.check()
                yield block

    def _write(self, data: bytes) -> int:
        self._file.write(data)
        self._position += len(data)
        return len(data)

    def _end(self) -> None:
        begin, n = self._position, len(self._entries)
        for entry in self._entries:
            self._write(entry.central_header())
        size = self._position - begin
        if is_large := n >= _LIMIT_16 or begin + size >= _LIMIT_32:
            at = self._position
            versions, disks = (_VERSION_64, _VERSION_64), (0, 0)
            self._write(_END_64.pack(b"PK\x06\x06", _END_64.size - 12, *versions, *disks, n, n, size, begin))
            self._write(_END_64_AT.pack(b"PK\x06\x07", 0, at, 1))
        if is_large:
            n, size, begin = _MARK_16, _MARK_32, _MARK_32
        self._write(_END.pack(b"PK\x05\x06", 0, 0, n, n, size, begin, 0))
        self._file.flush()


@dataclass(frozen=True, slots=True)
class _Entry:
    """A mask's entry in the table of contents."""

    name: bytes
    crc: int
    compressed: int
    size: int
    begin: int

    def central_header(self) -> bytes:
        """Return its header in the table of contents."""
        numbers = [self.size, self.compressed, self.begin]
        large = [number for number in numbers if number >= _LIMIT_32]
        size, compressed, begin = (_MARK_32 if number >= _LIMIT_32 else number for number in numbers)
        extra = _EXTRA.pack(_ZIP64, 8 * len(large)) + struct.pack(f"<{len(large)}Q", *large) if large else b""
        version = _VERSION_64 if large else _VERSION
        made = (version, version, _SIZES_FOLLOW, _DEFLATED, 0, _FIRST_DAY)
        lengths = (len(self.name), len(extra), 0, 0, 0)
        return _CENTRAL.pack(b"PK\x01\x02", *made, self.crc, compressed, size, *lengths, 0, begin) + self.name + extra


def _local_header(name: str, extra: bytes = b"") -> bytes:
    written = name.encode("ascii")
    made = (_VERSION, _SIZES_FOLLOW, _DEFLATED, 0, _FIRST_DAY)
    return _LOCAL.pack(b"PK\x03\x04", *made, 0, 0, 0, len(written), len(extra)) + written + extra


def _planes(mask: Mask, cancel: CancelToken) -> Iterator[Mask]:
    for plane in mask.reshape(-1, *mask.shape[-2:]):
        cancel.check()
        yield np.ascontiguousarray(plane)
