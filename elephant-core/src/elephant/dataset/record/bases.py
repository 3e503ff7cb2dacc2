"""The annotations that the last entries of labels had, from which the next ones say how they differ."""

from collections.abc import Callable

import numpy as np

from elephant.dataset.record.entries import (
    MOST_ANNOTATIONS,
    MOST_IN_LINE,
    AnyEntry,
    LabelsEntry,
    PartEntry,
    TaughtEntry,
)
from elephant.dataset.record.packing import ROWS, Method, Rows, unsqueeze

Key = tuple[Method, int]
_MOST_PARTS = MOST_ANNOTATIONS // MOST_IN_LINE + 1


class Bases:
    """The newest annotations of each method and timepoint, as rows.

    Parameters
    ----------
    most_bytes
        Most memory that they may take.
    on_too_many
        Called where they take more; by default the oldest ones are forgotten.
    """

    def __init__(self, most_bytes: int, on_too_many: Callable[[], None] | None = None) -> None:
        self._rows: dict[Key, tuple[int, Rows]] = {}
        self._parts: dict[int, tuple[int, str]] = {}
        self._most_bytes = most_bytes
        self._on_too_many = on_too_many
        self._n_bytes = 0

    def get(self, key: Key) -> tuple[int, Rows] | None:
        """Return the number of the newest entry of a method and a timepoint, with its rows; None if it is not known."""
        return self._rows.get(key)

    def keep(self, key: Key, entry: int, rows: Rows) -> None:
        """Keep the rows of the newest entry."""
        self._forget(key)
        self._rows[key] = (entry, rows)
        self._n_bytes += rows.nbytes
        while self._n_bytes > self._most_bytes:
            if self._on_too_many is not None:
                self._on_too_many()
            self._forget(next(iter(self._rows)))

    def add(self, entry: AnyEntry) -> Rows | None:
        """Take note of an entry; return the rows of one that has annotations.

        Raises
        ------
        ValueError
            It does not fit together, or one that it needs is missing.
        """
        if isinstance(entry, PartEntry):
            if entry.entry - 1 not in self._parts:  # they follow each other
                self._parts.clear()
            self._parts[entry.entry] = (entry.n, entry.packed)
            if len(self._parts) > _MOST_PARTS:
                self._parts.clear()
                raise ValueError("too many such entries follow each other")
            return None
        parts, self._parts = self._parts, {}
        if not isinstance(entry, TaughtEntry):
            return None
        rows = self._assembled(entry, parts)
        if isinstance(entry, LabelsEntry):
            self.keep((entry.method, entry.t), entry.entry, rows)
        return rows

    def _forget(self, key: Key) -> None:
        if key in self._rows:
            self._n_bytes -= self._rows.pop(key)[1].nbytes

    def _assembled(self, entry: TaughtEntry, parts: dict[int, tuple[int, str]]) -> Rows:
        missing = [number for number in entry.parts if number not in parts]
        if missing:
            raise ValueError(f"entry {missing[0]}, which holds some of its annotations, is missing")
        texts = [*(parts[number] for number in entry.parts), (entry.n_packed, entry.packed)]
        n_kept = sum(max(end - first, 0) for first, end, _ in entry.kept)
        if n_kept + sum(n for n, _ in texts) != entry.n:
            raise ValueError(f"expected {entry.n} annotations, got {n_kept + sum(n for n, _ in texts)}")
        rows = np.zeros(entry.n, ROWS[entry.rows])
        is_new = np.ones(entry.n, bool)
        if entry.kept:
            self._put_kept(entry, rows, is_new)
        new = [unsqueeze(entry.rows, text, n) for n, text in texts if n]
        rows[is_new] = np.concatenate([rows[:0], *new])
        return rows

    def _put_kept(self, entry: TaughtEntry, rows: Rows, is_new: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> None:
        known = self._rows.get((entry.method, entry.t))
        if known is None or known[0] != entry.base or known[1].dtype != rows.dtype:
            raise ValueError(f"entry {entry.base}, from which it says how it differs, is missing")
        for first, end, at in entry.kept:
            n = end - first
            if n < 1 or end > len(known[1]) or not is_new[at : at + n].all() or at + n > len(rows):
                raise ValueError(f"expected annotations {first} to {end} of entry {entry.base} at {at}, which overlap")
            rows[at : at + n] = known[1][first:end]
            is_new[at : at + n] = False
