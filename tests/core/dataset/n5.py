"""Small movies in N5 as Java writes them, and such as nobody should."""

import bz2
import gzip
import itertools
import json
import lzma
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numcodecs import blosc, lz4, zstd
from numpy.typing import NDArray


def as_java_writes_lz4(content: bytes) -> bytes:
    """Return the blocks of Java's LZ4BlockOutputStream; one that cannot be compressed is stored as it is."""
    blocks = []
    for at in range(0, len(content), 100):
        part = content[at : at + 100]
        packed = lz4.compress(part)[4:]
        method, stored = (0x20, packed) if len(packed) < len(part) else (0x10, part)
        blocks.append(b"LZ4Block" + struct.pack("<Biii", method | 6, len(stored), len(part), 0) + stored)
    return b"".join(blocks) + b"LZ4Block" + struct.pack("<Biii", 0x16, 0, 0, 0)


def as_java_writes_zstd(content: bytes) -> bytes:
    """Return a frame that does not say how long its content is: of raw blocks and one of a repeated byte."""
    blocks = [(0, content[at : at + 1000]) for at in range(0, len(content) - 5, 1000)]
    stored = content[: len(blocks) * 1000]
    rest = content[len(stored) :]
    parts = [*blocks, *((0, rest[i : i + 1]) for i in range(len(rest)))]
    framed = [
        struct.pack("<I", len(part) << 3 | kind << 1 | (i == len(parts) - 1))[:3]
        for i, (kind, part) in enumerate(parts)
    ]
    return struct.pack("<IBB", 0xFD2FB528, 0, 0x58) + b"".join(a + b for a, (_, b) in zip(framed, parts, strict=True))


ENCODERS: dict[str, Callable[[bytes], bytes]] = {
    "raw": bytes,
    "gzip": gzip.compress,
    "zlib": zlib.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "blosc": lambda content: blosc.compress(content, b"lz4", 5, 1),
    "zstd": lambda content: zstd.compress(content, 3),
    "zstd of Java": as_java_writes_zstd,
    "lz4": as_java_writes_lz4,
    "lz4 of z5": lambda content: lz4.compress(content)[4:],
}


def block(values: NDArray[Any], encode: Callable[[bytes], bytes] = gzip.compress, *, mode: int = 0) -> bytes:
    """Return the file of a block, (Z, Y, X)."""
    header = struct.pack(">HH", mode, values.ndim) + struct.pack(f">{values.ndim}I", *values.shape[::-1])
    header += struct.pack(">I", values.size) if mode else b""
    return header + encode(values.astype(values.dtype.newbyteorder(">")).tobytes())


def write_image(
    folder: Path,
    values: NDArray[Any],
    chunks: tuple[int, int, int] = (2, 7, 5),
    *,
    encoding: str = "gzip",
    is_padded: bool = False,
    **attributes: Any,
) -> Path:
    """Write an image, (Z, Y, X); blocks at the edges are cut, or padded."""
    described = {
        "dimensions": values.shape[::-1],
        "blockSize": chunks[::-1],
        "dataType": values.dtype.name,
        "compression": {"type": encoding.split(maxsplit=1)[0].replace("zlib", "gzip")},
    } | attributes
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "attributes.json").write_text(json.dumps({k: v for k, v in described.items() if v is not None}))
    for corner in itertools.product(*(range(0, size, step) for size, step in zip(values.shape, chunks, strict=True))):
        part = values[tuple(slice(at, at + step) for at, step in zip(corner, chunks, strict=True))]
        if is_padded:
            missing = [(0, step - size) for step, size in zip(chunks, part.shape, strict=True)]
            part = np.pad(part, missing, constant_values=99)
        if part.any():
            place = folder.joinpath(*[str(at // step) for at, step in zip(corner, chunks, strict=True)][::-1])
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(block(part, ENCODERS[encoding]))
    return folder


def write_n5(path: Path, values: NDArray[Any], *, setup: int = 0, first: int = 0, **how: Any) -> Path:
    """Write a movie, (T, Z, Y, X)."""
    path.mkdir(exist_ok=True)
    (path / "attributes.json").write_text(json.dumps({"n5": "4.0.0"}))
    for t, volume in enumerate(values, start=first):
        write_image(path / f"setup{setup}" / f"timepoint{t}" / "s0", volume, **how)
    return path
