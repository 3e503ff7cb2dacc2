"""Reading a record from its beginning."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

from elephant.dataset.record.bases import Bases
from elephant.dataset.record.entries import LONGEST_LINE, AnyEntry, TaughtEntry
from elephant.dataset.record.lines import Chain
from elephant.dataset.record.log import BEGINNING, FILE, check_begin
from elephant.dataset.record.packing import unpack
from elephant.errors import DatasetError, NotFoundError
from elephant.progress import CancelToken, NeverCancelled
from elephant.types import Link, Spot
from elephant.words import in_bytes

_O_SAFE = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
_MOST_BYTES = 512 << 20  # of the newest annotations of all timepoints
_MOST_DAMAGE = 20
_KIND = re.compile(rb'\{"entry":(\d{1,16}),"what":"([a-z]{1,20})"')


class Recorded:
    """A record to read, entry by entry.

    Parameters
    ----------
    folder
        The dataset's folder.
    cancel
        Asked before each entry.

    Attributes
    ----------
    damage
        What could not be read, in words, once its place was passed.
    digest
        Digest of all lines that were read, of which the last one's entry is `number`.
    """

    def __init__(self, folder: Path, cancel: CancelToken | None = None) -> None:
        self.path = folder / FILE
        self.damage: list[str] = []
        self._cancel = cancel or NeverCancelled()
        self._chain = Chain()

    @property
    def number(self) -> int:
        """Number of the last entry that was read; -1 before the first."""
        return self._chain.number

    @property
    def digest(self) -> str:
        """Digest of all that was read."""
        return (self._chain.digest or b"").decode("ascii")

    def entries(self, *kinds: str) -> Iterator[AnyEntry]:
        """Yield the entries.

        Parameters
        ----------
        kinds
            Those that are wanted, of all that `what` may say; by default all. Lines of others are passed over, unread.

        Raises
        ------
        NotFoundError
            There is no record.
        DatasetError
            The file is no record of annotations, or one of a later version.
        """
        with self._open() as lines:
            for number, line in enumerate(lines, start=1):
                self._cancel.check()
                if number == 1:
                    check_begin(self.path, line)
                try:
                    if kinds and (kind := _KIND.match(line)) and kind[2].decode("ascii") not in kinds:
                        self._chain.pass_over(int(kind[1]), line)
                        continue
                    yield self._chain.read(line)
                except ValueError as error:
                    self._note(f"line {number} of {self.path.name} is skipped: {error}")

    def taught(self, *kinds: str) -> Iterator[tuple[AnyEntry, list[Spot] | list[Link]]]:
        """Yield the entries, those of labels and of answers with their annotations.

        Parameters
        ----------
        kinds
            As for :meth:`entries`; annotations of labels need all labels before, and all others ``part``.

        Raises
        ------
        NotFoundError, DatasetError
            As for :meth:`entries`; or the annotations of the movie need too much memory.
        """
        bases = Bases(_MOST_BYTES, self._refuse)
        for entry in self.entries(*kinds):
            annotations: list[Any] = []
            try:
                rows = bases.add(entry)
                if isinstance(entry, TaughtEntry) and rows is not None:
                    annotations = unpack(entry.rows, entry.t, rows)
            except ValueError as error:
                self._note(f"entry {entry.entry} of {self.path.name} is skipped: {error}")
                continue
            yield entry, annotations

    def _refuse(self) -> None:
        raise DatasetError(
            f"the annotations in {self.path} take more than {in_bytes(_MOST_BYTES)} at once: this is no record of "
            "this program"
        )

    def _note(self, sentence: str) -> None:
        if len(self.damage) < _MOST_DAMAGE:
            self.damage.append(sentence)

    def _open(self) -> "_Lines":
        try:
            handle = os.open(self.path, os.O_RDONLY | _O_SAFE)
        except FileNotFoundError as error:
            raise NotFoundError(
                f"the dataset {self.path.parent.name} has no record of annotations: it begins with the first labels "
                "that are written"
            ) from error
        except OSError as error:
            raise DatasetError(f"the record {self.path} cannot be read ({error.strerror})") from error
        return _Lines(self.path, handle, self._note)


class _Lines:
    """The lines of a file, without their ends; none is read that is longer than one may be."""

    def __init__(self, path: Path, handle: int, note: Any) -> None:
        self._path, self._note = path, note
        self._file = os.fdopen(handle, "rb")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def __iter__(self) -> Iterator[bytes]:
        is_first = True
        while line := self._file.readline(LONGEST_LINE + 1):
            if len(line) > LONGEST_LINE:
                raise DatasetError(
                    f"{self._path} has a line of more than {in_bytes(LONGEST_LINE)}: this is no record of this program"
                )
            if not line.endswith(b"\n"):
                if is_first and not line.startswith(BEGINNING):
                    check_begin(self._path, line)
                self._note(
                    f"the last entry of {self._path.name}, of {len(line)} bytes, is incomplete, as after a power cut: "
                    "it is skipped"
                )
                return
            yield line[:-1]
            is_first = False


def read_record(folder: Path, cancel: CancelToken | None = None) -> Recorded:
    """Return the record of a dataset, to read."""
    return Recorded(folder, cancel)
