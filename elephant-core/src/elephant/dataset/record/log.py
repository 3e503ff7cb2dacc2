"""Appending to a record: whole entries, one writer at a time, under the lock of the labels."""

import logging
import os
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from elephant.dataset.record.author import current_author
from elephant.dataset.record.bases import Bases
from elephant.dataset.record.entries import (
    FORMAT,
    LONGEST_LINE,
    MOST_IN_LINE,
    MOST_RUNS,
    VERSION,
    BeginEntry,
)
from elephant.dataset.record.lines import Chain
from elephant.dataset.record.packing import Method, Rows, kept_runs, n_labelling, pack, squeeze
from elephant.errors import DatasetError
from elephant.io.atomic import sync_folder
from elephant.types import Link, Shape, Spot

FILE = "annotations.jsonl"
BEGINNING = b'{"entry":0,'
_TAIL_BYTES = 1 << 20  # what is read of a record that another process has written: nothing older is needed
_KEPT_BYTES = 32 << 20
_MOST_KEPT = 16  # datasets
_UNDO = "record-"
_O_SAFE = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LabelsOf:
    """What labels come from.

    Attributes
    ----------
    annotations
        Spots or links, in the order in which they were painted.
    params
        How they became labels, as JSON knows it.
    """

    annotations: Sequence[Spot] | Sequence[Link]
    params: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class AnswersOf(LabelsOf):
    """Answers of a review, painted over the labels that were there.

    Attributes
    ----------
    model
        File name of the model that was reviewed; empty where it is not known.
    """

    model: str = ""


@dataclass(frozen=True, slots=True)
class Taught:
    """Labels of a timepoint that come from annotations.

    Attributes
    ----------
    method
        Whose labels.
    t
        The timepoint.
    source
        What they come from.
    shape
        Size of the image, (Z), Y, X.
    checksum
        CRC-32 of the labels.
    """

    method: Method
    t: int
    source: LabelsOf
    shape: Shape
    checksum: int


@dataclass(frozen=True, slots=True)
class Event:
    """What an entry of another kind says; see :mod:`elephant.dataset.record.entries`."""

    what: str
    values: Mapping[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class _Tail:
    """What this process knows of the end of a record."""

    inode: tuple[int, int]
    end: int
    chain: Chain
    bases: Bases
    is_whole: bool = True  # the last line


_tails: OrderedDict[Path, _Tail] = OrderedDict()


class AnnotationLog:
    """The record in a dataset's folder, to append to. Call it with the lock of the labels held.

    Parameters
    ----------
    folder
        The dataset's folder.
    labelled_before
        Returns the timepoints that have labels, of each method, for a record that begins.
    """

    def __init__(self, folder: Path, labelled_before: Callable[[], Mapping[str, list[int]]] = dict) -> None:
        self.path = folder / FILE
        self._labelled_before = labelled_before

    def append(self, news: Taught | Event, undo_in: Path | None = None) -> int:
        """Append an entry, unsynced, and return its number.

        Parameters
        ----------
        undo_in
            A folder in which a name says how to take the entry away again: see :func:`undo`.

        Raises
        ------
        OSError
            It cannot be written: the record is as before, or its last line is incomplete, which does not matter.
        DatasetError
            The file is no record of annotations, or one of a later version.
        """
        handle = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | _O_SAFE, 0o666)
        try:
            tail = self._tail(handle)
            if not tail.end:
                os.ftruncate(handle, 0)
            lines = self._begun(tail) + self._lines(tail, news)
            if undo_in is not None:
                (undo_in / f"{_UNDO}{tail.end}").touch()
            # Until it is there, nobody knows it.
            _tails.pop(self.path, None)
            _write(handle, lines)
        finally:
            os.close(handle)
        if not tail.end:
            sync_folder(self.path.parent)
        tail.end += len(lines)
        tail.is_whole = True
        _tails[self.path] = tail
        while len(_tails) > _MOST_KEPT:
            _tails.popitem(last=False)
        return tail.chain.number

    def newest(self, method: Method, t: int) -> int | None:
        """Return the number of the newest entry with labels of a timepoint; None if it is not near the end."""
        try:
            with self._reading() as tail:
                known = tail.bases.get((method, t))
        except FileNotFoundError:
            return None
        return None if known is None else known[0]

    def position(self) -> tuple[int, str]:
        """Return the number of the last entry, and the digest of all that is recorded.

        Raises
        ------
        OSError, DatasetError
            There is no record, or the file is none.
        """
        with self._reading() as tail:
            return tail.chain.number, (tail.chain.digest or b"").decode("ascii")

    @contextmanager
    def _reading(self) -> Iterator[_Tail]:
        handle = os.open(self.path, os.O_RDONLY | _O_SAFE)
        try:
            yield self._tail(handle)
        finally:
            os.close(handle)

    def _begun(self, tail: _Tail) -> bytes:
        """Return what is written before the entry: the first line, or the end of an incomplete one."""
        if tail.end:
            return b"" if tail.is_whole else b"\n"
        before = {method: found for method, found in self._labelled_before().items() if found}
        begin = {"what": "begin", "format": FORMAT, "version": VERSION, "labelled_before": before}
        return tail.chain.line(_signed(begin))

    def _lines(self, tail: _Tail, news: Taught | Event) -> bytes:
        if isinstance(news, Event):
            return tail.chain.line(_signed({"what": news.what, **news.values}))
        is_answers = isinstance(news.source, AnswersOf)
        rows = pack("answers" if is_answers else news.method, news.source.annotations)
        lines, body = _labels_lines(tail, news, rows)
        lines += tail.chain.line(_signed(body))
        if not is_answers:
            tail.bases.keep((news.method, news.t), tail.chain.number, rows)
        return lines

    def _tail(self, handle: int) -> _Tail:
        """Return the end of the record, read again where another process has changed it."""
        status = os.fstat(handle)
        inode, known = (status.st_dev, status.st_ino), _tails.get(self.path)
        if known is not None and known.inode == inode and known.end == status.st_size and _ends_with(handle, known):
            return known
        return read_tail(self.path, handle, inode, status.st_size)


def read_tail(path: Path, handle: int, inode: tuple[int, int], size: int) -> _Tail:
    """Read the end of a record.

    Raises
    ------
    DatasetError
        The file is no record of annotations, or one of a later version.
    """
    tail = _Tail(inode, size, Chain(), Bases(_KEPT_BYTES))
    if not size:
        return tail
    first, end, _ = _read(handle, 0, LONGEST_LINE).partition(b"\n")
    if not end and first.startswith(BEGINNING):
        tail.end = 0  # of this program, which was killed before anything was recorded
        return tail
    check_begin(path, first)
    start = max(size - _TAIL_BYTES, 0)
    *lines, rest = _read(handle, start, size - start).split(b"\n")
    tail.is_whole = not rest
    if start:
        tail.chain.digest = None
        del lines[:1]  # its beginning was not read
    for line in lines:
        try:
            tail.bases.add(tail.chain.read(line))
        except ValueError:  # whoever reads the record is told so
            continue
    if tail.chain.digest is None or tail.chain.number < 0:
        raise DatasetError(f"{path} is damaged at its end: move the file away; a new record begins then")
    if rest:
        logger.warning("The last entry of %s is incomplete, as after a power cut, and is skipped", path)
    return tail


def check_begin(path: Path, line: bytes) -> BeginEntry:
    """Check that a file is a record of annotations, by its first line.

    Raises
    ------
    DatasetError
        It is not, or it is one of a later version.
    """
    try:
        begin = Chain().read(line)
    except ValueError as error:
        raise DatasetError(_foreign(path, f"its first line is not that of one: {error}")) from error
    if not isinstance(begin, BeginEntry):
        raise DatasetError(_foreign(path, f"it begins with {begin.what}"))
    if begin.version > VERSION:
        raise DatasetError(
            f"{path} is a record of version {begin.version}, and this program knows those up to {VERSION}: "
            "install a newer one"
        )
    return begin


def _foreign(path: Path, why: str) -> str:
    return f"expected a record of annotations in {path}, got another file ({why[:200]}): move the file away"


def undo(folder: Path, undo_in: Path) -> None:
    """Take away the entry of a change that was not made.

    Parameters
    ----------
    undo_in
        The folder that :meth:`AnnotationLog.append` was given.
    """
    for name in undo_in.glob(f"{_UNDO}*"):
        number = name.name.removeprefix(_UNDO)
        try:
            handle = os.open(folder / FILE, os.O_RDWR | _O_SAFE)
        except FileNotFoundError:
            continue
        try:
            if number.isascii() and number.isdigit() and os.fstat(handle).st_size > int(number):
                os.ftruncate(handle, int(number))
        finally:
            os.close(handle)


def forget_undo(undo_in: Path) -> None:
    """Keep the entry of a change that was made."""
    for name in undo_in.glob(f"{_UNDO}*"):
        name.unlink(missing_ok=True)


def _signed(body: Mapping[str, Any]) -> dict[str, Any]:
    author = current_author()
    signed = {"what": body["what"], "when": round(time.time(), 3)}
    known = {"who": author.who, "request": author.request}
    return {**signed, **{name: value for name, value in known.items() if value}, **body}


def _labels_lines(tail: _Tail, news: Taught, rows: Rows) -> tuple[bytes, dict[str, Any]]:
    """Return the lines before that of labels, for what does not fit into it, and its body."""
    answers = news.source if isinstance(news.source, AnswersOf) else None
    base = tail.bases.get((news.method, news.t)) if answers is None else None
    runs = [] if base is None else kept_runs(base[1], rows)
    runs = runs if len(runs) <= MOST_RUNS else []
    is_new = [True] * len(rows)
    for first, end, at in runs:
        is_new[at : at + end - first] = [False] * (end - first)
    new = rows[is_new] if runs else rows
    lines, parts = b"", []
    while len(new) > MOST_IN_LINE:
        part, new = new[:MOST_IN_LINE], new[MOST_IN_LINE:]
        lines += tail.chain.line(_signed({"what": "part", "n": len(part), "packed": squeeze(part)}))
        parts.append(tail.chain.number)
    body: dict[str, Any] = {
        "what": "labels" if answers is None else "answers",
        "method": news.method,
        "t": news.t,
        "params": news.source.params,
        "shape": news.shape,
    }
    body |= {"model": answers.model} if answers is not None and answers.model else {}
    body |= {"n": len(rows), "n_labelling": n_labelling(rows), "checksum": news.checksum}
    body |= {"base": base[0], "kept": runs} if runs and base is not None else {}
    body |= {"parts": parts} if parts else {}
    body |= {"n_packed": len(new), "packed": squeeze(new)} if len(new) else {}
    return lines, body


def _ends_with(handle: int, tail: _Tail) -> bool:
    end = (tail.chain.digest or b"") + b'"}\n'
    return tail.is_whole and _read(handle, max(tail.end - len(end), 0), len(end)) == end


def _read(handle: int, at: int, n: int) -> bytes:
    os.lseek(handle, at, os.SEEK_SET)
    found = b""
    while len(found) < n and (piece := os.read(handle, n - len(found))):
        found += piece
    return found


def _write(handle: int, lines: bytes) -> None:
    view = memoryview(lines)
    while view:
        view = view[os.write(handle, view) :]
