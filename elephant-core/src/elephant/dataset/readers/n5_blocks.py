"""Decoding the files in which N5 stores blocks of an image.

A file has a header, big-endian: 16 bits that say what follows (0: an image), 16 for the number of axes, 32 for the
size along each, X first; then the values, big-endian, X changing fastest, compressed. At the edges of an image, blocks
may be cut or not.

These lines stand here in place of a library: TensorStore would add 20 MB for them and knows no LZ4, zarr-python 3 no
longer reads N5, and neither limits what a block may become in memory. The compressions are those of packages that
zarr needs anyway.

References
----------
The N5 file-system specification, version 4, https://github.com/saalfeldlab/n5.
"""

import bz2
import importlib
import lzma
import math
import struct
import zlib
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from elephant.types import Shape

_GZIP = b"\x1f\x8b"
_ZLIB_OR_GZIP = 47  # of zlib's window bits: whichever it is
_MOST_XZ_BYTES = 256 << 20  # the strongest preset needs 65 MiB
_LZ4_MAGIC = b"LZ4Block"
_LZ4_HEADER = struct.Struct("<8sBiiI")  # magic, method and level, bytes as stored and in memory, checksum
_LZ4_RAW, _LZ4_COMPRESSED = 0x10, 0x20
_ZSTD_MAGIC = 0xFD2FB528
_ZSTD_BLOCK_BYTES = 128 << 10  # the most that a block of Zstandard holds
_MOST_HEADER_BYTES = 1 << 10
_LARGEST_GROWTH = 2  # of what cannot be compressed

Codec = Callable[[bytes, int], "bytes | bytearray"]


class _Decompressor(Protocol):
    @property
    def eof(self) -> bool: ...

    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


def most_stored_bytes(n_bytes: int) -> int:
    """Return how many bytes the file of a block may have whose values take `n_bytes`."""
    return _MOST_HEADER_BYTES + _LARGEST_GROWTH * n_bytes


def decode_block(stored: bytes, codec: Codec, dtype: "np.dtype[Any]", largest: Shape) -> NDArray[Any]:
    """Return the values of a block, (Z, Y, X), big-endian.

    Parameters
    ----------
    stored
        The content of the file.
    codec
        What decompresses it; see :func:`codec_of`.
    dtype
        Type of the values.
    largest
        (Z, Y, X) of a block as the image declares it; none may be larger.

    Raises
    ------
    ValueError
        The block is damaged; the message says how.
    """
    try:
        mode, n_axes = struct.unpack_from(">HH", stored)
        if mode not in (0, 1) or n_axes != len(largest):
            raise ValueError(f"expected the header of an image of {len(largest)} axes, got {mode} and {n_axes}")
        shape = struct.unpack_from(f">{n_axes}I", stored, 4)[::-1]
        begin = 4 + 4 * n_axes + 4 * mode
        n_values = struct.unpack_from(">I", stored, begin - 4)[0] if mode else math.prod(shape)
    except struct.error as error:
        raise ValueError(f"it ends after {len(stored)} bytes, within its header") from error
    if n_values != math.prod(shape) or any(n > most for n, most in zip(shape, largest, strict=True)):
        said, most = (" x ".join(map(str, each)) for each in (shape, largest))
        raise ValueError(f"expected at most {most} voxels (Z, Y, X), got {said}")
    n_bytes = n_values * dtype.itemsize
    content = codec(stored[begin:], n_bytes)
    if len(content) != n_bytes:
        raise ValueError(f"expected {n_bytes} bytes of values, got {len(content)}")
    return np.frombuffer(content, dtype.newbyteorder(">")).reshape(shape)


def codec_of(name: str) -> Codec | None:
    """Return what decompresses blocks, given the most bytes that a block may become; None if the name is not known.

    It raises a ValueError, or what its library raises, if the content is damaged, or returns another number of bytes.
    """
    return _CODECS.get(name.lower())


def _raw(data: bytes, n_bytes: int) -> bytes:  # noqa: ARG001 - as every codec
    return data


def _gzip(data: bytes, n_bytes: int) -> bytes | bytearray:
    """Decompress gzip, or zlib, which the same name may mean."""
    if data.startswith(_GZIP) and (fast := _libdeflate()) is not None:
        with suppress(Exception):  # zlib tells what is wrong
            return fast(data, n_bytes)
    return _bounded(zlib.decompressobj(_ZLIB_OR_GZIP), data, n_bytes)


def _bzip2(data: bytes, n_bytes: int) -> bytes:
    return _bounded(bz2.BZ2Decompressor(), data, n_bytes)


def _xz(data: bytes, n_bytes: int) -> bytes:
    return _bounded(lzma.LZMADecompressor(memlimit=_MOST_XZ_BYTES), data, n_bytes)


def _bounded(decompressor: _Decompressor, data: bytes, n_bytes: int) -> bytes:
    content = decompressor.decompress(data, n_bytes + 1)
    if not decompressor.eof:
        raise ValueError(
            f"its compressed values end too early, after {len(content)} of {n_bytes} bytes"
            if len(content) <= n_bytes
            else f"it holds more than {n_bytes} bytes of values"
        )
    return content


def _blosc(data: bytes, n_bytes: int) -> bytes:
    from numcodecs import blosc  # noqa: PLC0415 - likewise

    if len(data) < 16 or int.from_bytes(data[4:8], "little") != n_bytes:
        raise ValueError(f"expected the header of Blosc with {n_bytes} bytes of values")
    if int.from_bytes(data[12:16], "little") > len(data):
        raise ValueError("its compressed values end too early")
    content: bytes = blosc.decompress(data)
    return content


def _zstd(data: bytes, n_bytes: int) -> bytes:
    from numcodecs import zstd  # noqa: PLC0415 - slow to import, and seldom needed

    if _most_of_zstd(data) > _LARGEST_GROWTH * n_bytes + (1 << 20):
        raise ValueError(f"it holds more than {n_bytes} bytes of values")
    content: bytes = zstd.decompress(data)
    return content


def _most_of_zstd(data: bytes) -> int:
    """Return how many bytes a frame of Zstandard may become: Java's writers do not note the number.

    Its blocks are walked along, of which each says how many bytes it takes (RFC 8878, section 3.1.1).
    """
    try:
        magic, descriptor = struct.unpack_from("<IB", data)
        if magic != _ZSTD_MAGIC:
            raise ValueError("expected Zstandard's first bytes")
        is_single, n_id = descriptor >> 5 & 1, (0, 1, 2, 4)[descriptor & 3]
        n_size = (is_single, 2, 4, 8)[descriptor >> 6]
        at = 5 + (not is_single) + n_id
        if n_size:
            return int.from_bytes(data[at : at + n_size], "little") + 256 * (n_size == 2)
        total, is_last = 0, False
        while not is_last:
            low, high = struct.unpack_from("<HB", data, at)
            is_last, kind, size = bool(low & 1), low >> 1 & 3, (low | high << 16) >> 3
            total += _ZSTD_BLOCK_BYTES if kind == 2 else size
            at += 3 + (1 if kind == 1 else size)
        if at > len(data):
            raise ValueError("its compressed values end too early")
    except struct.error as error:
        raise ValueError("its compressed values end too early") from error
    return total


def _lz4(data: bytes, n_bytes: int) -> bytearray:
    """Decompress the blocks of Java's LZ4BlockOutputStream, of which an empty one is the last; z5 writes a bare one."""
    from numcodecs import lz4  # noqa: PLC0415 - likewise

    if not data.startswith(_LZ4_MAGIC):
        return bytearray(lz4.decompress(n_bytes.to_bytes(4, "little") + data))
    content, at = bytearray(), 0
    while at < len(data):
        if len(data) - at < _LZ4_HEADER.size:
            raise ValueError("its compressed values end too early")
        magic, token, n_stored, n_values, _ = _LZ4_HEADER.unpack_from(data, at)
        at += _LZ4_HEADER.size
        method = token & 0xF0
        if magic != _LZ4_MAGIC or method not in (_LZ4_RAW, _LZ4_COMPRESSED) or n_stored < 0 or n_values < 0:
            raise ValueError("expected LZ4 blocks as Java writes them")
        if at + n_stored > len(data) or len(content) + n_values > n_bytes:
            raise ValueError(f"its compressed values end too early, or are more than {n_bytes} bytes")
        if n_values == 0:
            break
        part = data[at : at + n_stored]
        content += part if method == _LZ4_RAW else lz4.decompress(n_values.to_bytes(4, "little") + part)
        at += n_stored
    return content


_CODECS: dict[str, Codec] = {
    "raw": _raw,
    "gzip": _gzip,
    "bzip2": _bzip2,
    "xz": _xz,
    "blosc": _blosc,
    "zstd": _zstd,
    "zstandard": _zstd,
    "lz4": _lz4,
}


@lru_cache(maxsize=1)
def _libdeflate() -> Codec | None:
    """Return what takes a third of zlib's time, where the package is installed."""
    try:
        codec: Codec = importlib.import_module("deflate").gzip_decompress
    except (ImportError, OSError):
        return None
    return codec
