"""What a person says of the places of a review, kept with the dataset.

Answers are lines of JSON in ``review.jsonl`` in the dataset's folder, to which lines are only added. A later answer to
a place counts, not an earlier one, and none from before the labels were cleared.
"""

import logging
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from elephant.dataset import Dataset
from elephant.io.atomic import explained_storage
from elephant.types import Spot, Tag

logger = logging.getLogger(__name__)

FILE = "review.jsonl"
MOST_ANSWERS = 100_000
_LONGEST_LINE = 10_000
_TAGS = {("spot", True): Tag.TP, ("spot", False): Tag.FP, ("missed", True): Tag.FN, ("missed", False): Tag.TN}
_SAME = 0.5  # radii: answers so near are to the same place


class Answer(BaseModel):
    """Whether a person sees a nucleus at a place.

    Attributes
    ----------
    t, pos, covariance
        The place: timepoint, centre, Z, Y, X, and covariance, row-major, physical.
    kind
        ``spot`` where the model found a nucleus, ``missed`` where it did not.
    is_nucleus
        What the person says.
    log_odds
        What the model said, before any correction; none if it is not known.
    model
        The name of the model.
    person
        Who said it, where that is known.
    at
        When, seconds since 1970.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)

    t: int = Field(ge=0)
    pos: tuple[float, float, float]
    covariance: tuple[float, ...] = Field(min_length=9, max_length=9)
    kind: Literal["spot", "missed"]
    is_nucleus: bool
    log_odds: float | None = None
    model: str = Field("", max_length=1000)
    person: str = Field("", max_length=200)
    at: float = Field(default_factory=time.time)

    @property
    def tag(self) -> Tag:
        """Its tag as an annotation, which is one of TP, FP, FN and TN."""
        return _TAGS[self.kind, self.is_nucleus]

    def spot(self) -> Spot:
        """Return it as an annotation."""
        return Spot(self.t, np.array(self.pos), np.array(self.covariance).reshape(3, 3), self.tag)


class _Cleared(BaseModel):
    """A line that says when all labels were cleared."""

    cleared: float


_LINE: TypeAdapter[Answer | _Cleared] = TypeAdapter(Answer | _Cleared)


def keep_answers(dataset: Dataset, answers: Sequence[Answer]) -> None:
    """Add answers to those that are kept with a dataset.

    Raises
    ------
    elephant.errors.StorageError
        They cannot be written.
    """
    _append(dataset, answers)


def forget_answers(dataset: Dataset) -> None:
    """Let no answer count that was given before now: the labels were cleared.

    Raises
    ------
    elephant.errors.StorageError
        It cannot be written.
    """
    if (dataset.folder / FILE).exists():
        _append(dataset, [_Cleared(cleared=time.time())])


def _append(dataset: Dataset, lines: Sequence[BaseModel]) -> None:
    text = "".join(line.model_dump_json() + "\n" for line in lines).encode()
    path = dataset.folder / FILE
    with (
        dataset.labels_lock(),
        explained_storage(f"answers in {FILE}", dataset.folder, len(text)),
        path.open("ab") as file,
    ):
        # What a power cut left of a last line is passed over when it is read.
        file.write(b"" if _ends_a_line(path) else b"\n")
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _ends_a_line(path: Path) -> bool:
    if not path.stat().st_size:
        return True
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"


def read_answers(dataset: Dataset) -> list[Answer]:
    """Return what was answered, of each place the last answer, the oldest first; damaged lines are left out.

    Of more than 100,000 lines the first are read, and a warning says so.
    """
    by_t: dict[int, list[tuple[int, Answer]]] = {}
    for i, answer in enumerate(_lines(dataset)):
        by_t.setdefault(answer.t, []).append((i, answer))
    last = [kept for of_t in by_t.values() for kept in _last(of_t)]
    return [answer for _, answer in sorted(last, key=lambda one: one[0])]


def _last(answers: Sequence[tuple[int, Answer]]) -> Iterator[tuple[int, Answer]]:
    """Yield the answers of a timepoint to which no later one is so near that it is to the same place."""
    pos = np.array([answer.pos for _, answer in answers])
    reach = _SAME * np.sqrt([max(*answer.covariance[::4], 0.0) for _, answer in answers])
    for k, one in enumerate(answers):
        if not (np.linalg.norm(pos[k + 1 :] - pos[k], axis=1) <= reach[k]).any():
            yield one


def _lines(dataset: Dataset) -> Iterator[Answer]:
    """Yield the answers since the labels were cleared last."""
    found: list[Answer] = []
    damaged = n_lines = 0
    try:
        with (dataset.folder / FILE).open("rb") as file:
            while line := file.readline(_LONGEST_LINE):
                n_lines += 1
                if n_lines > MOST_ANSWERS:
                    logger.warning(
                        "%s of %s has more than %d lines: the newest answers are not read; move it away to begin anew",
                        *(FILE, dataset.name, MOST_ANSWERS),
                    )
                    break
                try:
                    read = _LINE.validate_json(line)
                    if isinstance(read, Answer):
                        read.spot()
                        found.append(read)
                    else:
                        found.clear()
                except ValueError:
                    damaged += bool(line.strip())
    except FileNotFoundError:
        return iter(())
    if damaged:
        logger.warning("%d lines of %s of %s are damaged: they are left out", damaged, FILE, dataset.name)
    return iter(found)
