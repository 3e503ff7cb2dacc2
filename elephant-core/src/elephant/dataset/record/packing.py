"""Spots and links as rows of bytes that keep every bit, and these as short texts."""

import base64
import zlib
from binascii import Error
from collections.abc import Sequence
from math import isfinite
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from elephant.types import AnsweredSpot, Link, Spot, Tag

Method = Literal["detection", "flow"]
RowKind = Literal["detection", "flow", "answers"]
Rows = NDArray[np.void]

# Their order is that of the numbers in files.
_TAGS = (Tag.TP, Tag.FP, Tag.TN, Tag.FN, Tag.TB, Tag.FB, Tag.UNLABELED)
_NUMBERS = MappingProxyType({tag: number for number, tag in enumerate(_TAGS)})
_ELLIPSOID = [("pos", "<f8", (3,)), ("covariance", "<f8", (3, 3))]
_SPOT = [*_ELLIPSOID, ("id", "<i8"), ("tag", "u1")]
ROWS = MappingProxyType(
    {
        "detection": np.dtype(_SPOT),
        "answers": np.dtype([*_SPOT, ("log_odds", "<f8")]),  # NaN: not known
        "flow": np.dtype([*_ELLIPSOID, ("displacement", "<f8", (3,))]),
    }
)
_LOWER = ((1, 0), (2, 0), (2, 1))
_LEVEL = 1  # higher ones save little: most bits of positions are noise


def pack(kind: RowKind, annotations: Sequence[Spot] | Sequence[Link]) -> Rows:
    """Return spots, or links, of one timepoint as rows, (N,), in their order."""
    rows = np.zeros(len(annotations), ROWS[kind])
    if not len(rows):
        return rows
    names = [name for name in rows.dtype.names or () if name not in ("tag", "log_odds")]
    for name in names:
        rows[name] = [getattr(one, name) for one in annotations]
    if kind != "flow":
        rows["tag"] = [_NUMBERS[one.tag] for one in annotations if isinstance(one, Spot)]
    if kind == "answers":
        rows["log_odds"] = np.array([getattr(one, "log_odds", None) for one in annotations], np.float64)
    return rows


def unpack(kind: RowKind, t: int, rows: Rows) -> list[Any]:
    """Return the spots, or links, that rows stand for.

    Raises
    ------
    elephant.errors.InvalidInputError
        A number is not finite, or a covariance not symmetric.
    ValueError
        A tag is unknown.
    """
    if kind == "flow":
        return [Link(t, row["pos"].copy(), row["covariance"].copy(), row["displacement"].copy()) for row in rows]
    if len(rows) and rows["tag"].max() >= len(_TAGS):
        raise ValueError(f"expected the number of a tag below {len(_TAGS)}, got {rows['tag'].max()}")
    spots = [(t, row["pos"].copy(), row["covariance"].copy(), _TAGS[int(row["tag"])], int(row["id"])) for row in rows]
    if kind == "detection":
        return [Spot(*spot) for spot in spots]
    known = [odds if isfinite(odds) else None for odds in rows["log_odds"].tolist()]
    return [AnsweredSpot(*spot, log_odds) for spot, log_odds in zip(spots, known, strict=True)]


def n_labelling(rows: Rows) -> int:
    """Return how many annotations label something: all links, and spots with a tag."""
    names = rows.dtype.names or ()
    return int((rows["tag"] != _NUMBERS[Tag.UNLABELED]).sum()) if "tag" in names else len(rows)


def squeeze(rows: Rows) -> str:
    """Return rows as a short text: columns of bytes, compressed."""
    columns = [_mirrored(rows)[name].tobytes() for name in rows.dtype.names or ()]
    joined = b"".join(
        np.frombuffer(column, np.uint8).reshape(len(rows), -1).T.tobytes() for column in columns if len(rows)
    )
    return base64.b64encode(zlib.compress(joined, _LEVEL)).decode("ascii")


def unsqueeze(kind: RowKind, text: str, n: int) -> Rows:
    """Return the `n` rows of a text.

    Raises
    ------
    ValueError
        It does not hold as many.
    """
    dtype = ROWS[kind]
    size = n * dtype.itemsize
    try:
        # One byte more shows what is too long, without unpacking all of it.
        joined = zlib.decompressobj().decompress(base64.b64decode(text, validate=True), size + 1)
    except (zlib.error, Error) as error:
        raise ValueError(f"expected {n} compressed annotations ({error})") from error
    if len(joined) != size:
        raise ValueError(f"expected {n} annotations of {dtype.itemsize} bytes, got {len(joined)} bytes")
    rows, at = np.zeros(n, dtype), 0
    for name in dtype.names or ():
        width = dtype[name].itemsize
        column = np.frombuffer(joined, np.uint8, width * n, at).reshape(width, n).T.copy()
        rows[name] = column.view(dtype[name].base).reshape(n, *dtype[name].shape)
        at += width * n
    return _mirrored(rows)


def _mirrored(rows: Rows) -> Rows:
    """Replace the lower half of each covariance by its bits that differ from the upper half's, and back."""
    changed = rows.copy()
    bits = changed["covariance"].view("<i8")
    for i, j in _LOWER:
        bits[:, i, j] ^= bits[:, j, i]
    return changed


Runs = list[tuple[int, int, int]]
_MOST_COMPARED = 50_000


def kept_runs(before: Rows, rows: Rows) -> Runs:
    """Return which rows are in those before: runs of (first, end, where the first is now), as they are met now."""
    if max(len(before), len(rows)) > _MOST_COMPARED:
        return []
    old, new = _as_bytes(before), _as_bytes(rows)
    places = {row: place for place, row in enumerate(old)}
    runs: Runs = []
    for at, row in enumerate(new):
        if runs:
            first, end, begin = runs[-1]
            if begin + end - first == at and end < len(old) and old[end] == row:
                runs[-1] = (first, end + 1, begin)
                continue
        place = places.get(row)
        if place is not None:
            runs.append((place, place + 1, at))
    return runs


def _as_bytes(rows: Rows) -> list[bytes]:
    joined, size = rows.tobytes(), rows.dtype.itemsize
    return [joined[i : i + size] for i in range(0, len(joined), size)]
