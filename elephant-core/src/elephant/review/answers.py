"""What a person says of the places of a review: entries of the record of a dataset.

A later answer to a place counts, not an earlier one, and none from before the labels were cleared. Answers that an
earlier version kept in ``review.jsonl`` in the dataset's folder are read from there, and never written.
"""

import logging
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import numpy as np
import scipy  # its parts are loaded where they are first used: a server that answers requests rarely needs them
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from elephant.dataset import Dataset
from elephant.dataset.record import AnswersEntry, ClearedEntry, read_record
from elephant.errors import NotFoundError
from elephant.progress import CancelToken
from elephant.types import AnsweredSpot, FloatArray, Spot, Tag

logger = logging.getLogger(__name__)

OLD_FILE = "review.jsonl"
MOST_ANSWERS = 100_000
_LONGEST_LINE = 10_000
_TAGS = {("spot", True): Tag.TP, ("spot", False): Tag.FP, ("missed", True): Tag.FN, ("missed", False): Tag.TN}
_SAME = 0.5  # radii: answers so near are to the same place
_FEW = 64

Kind = Literal["spot", "missed"]
_MEANINGS = MappingProxyType[Tag, tuple[Kind, bool]](
    {Tag.TP: ("spot", True), Tag.FP: ("spot", False), Tag.FN: ("missed", True), Tag.TN: ("missed", False)}
)


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
        Who said it, where that is known: the record names who asked for what is written.
    at
        When, seconds since 1970.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)

    t: int = Field(ge=0)
    pos: tuple[float, float, float]
    covariance: tuple[float, ...] = Field(min_length=9, max_length=9)
    kind: Kind
    is_nucleus: bool
    log_odds: float | None = None
    model: str = Field("", max_length=1000)
    person: str = Field("", max_length=200)
    at: float = Field(default_factory=time.time)

    @property
    def tag(self) -> Tag:
        """Its tag as an annotation, which is one of TP, FP, FN and TN."""
        return _TAGS[self.kind, self.is_nucleus]

    def spot(self) -> AnsweredSpot:
        """Return it as an annotation."""
        covariance = np.array(self.covariance).reshape(3, 3)
        return AnsweredSpot(self.t, np.array(self.pos), covariance, self.tag, log_odds=self.log_odds)


@dataclass(frozen=True, slots=True, eq=False)
class _Kept:
    """An answer of the record: its spot, and the entry that it is in."""

    entry: AnswersEntry
    spot: Spot

    def answer(self) -> Answer:
        spot, entry = self.spot, self.entry
        kind, is_nucleus = _MEANINGS[spot.tag]
        return Answer(
            t=spot.t,
            pos=tuple(spot.pos.tolist()),
            covariance=tuple(spot.covariance.ravel().tolist()),
            kind=kind,
            is_nucleus=is_nucleus,
            log_odds=spot.log_odds if isinstance(spot, AnsweredSpot) else None,
            model=entry.model,
            person=(entry.who or "")[:200],
            at=entry.when,
        )


def read_answers(dataset: Dataset, cancel: CancelToken | None = None) -> list[Answer]:
    """Return what was answered, of each place the last answer, the oldest first.

    Where there are more than 100,000 answers the newest are returned. What is damaged is left out. Warnings say so.

    Parameters
    ----------
    cancel
        Asked before each entry of the record.

    Raises
    ------
    elephant.errors.DatasetError
        The file in the place of the record is none.
    elephant.errors.Cancelled
        `cancel` asked for the end.
    """
    by_t: dict[int, list[tuple[int, Answer | _Kept]]] = {}
    for i, one in enumerate(_all(dataset, cancel)):
        by_t.setdefault(one.t if isinstance(one, Answer) else one.spot.t, []).append((i, one))
    last = sorted((kept for of_t in by_t.values() for kept in _last(of_t)), key=lambda one: one[0])
    return [one if isinstance(one, Answer) else one.answer() for _, one in last]


def _all(dataset: Dataset, cancel: CancelToken | None) -> list[Answer | _Kept]:
    """Return all answers since the labels were cleared last, the oldest first."""
    with dataset.labels_lock():  # an entry whose labels did not come into place is taken away
        cleared, kept = _recorded(dataset, cancel)
    found: deque[Answer | _Kept] = deque((old for old in _old(dataset) if old.at > cleared), maxlen=MOST_ANSWERS)
    if len(found) + len(kept) > MOST_ANSWERS:
        logger.warning("%s has more than %d answers: the oldest are left out", dataset.name, MOST_ANSWERS)
    found.extend(kept)
    return list(found)


def _recorded(dataset: Dataset, cancel: CancelToken | None) -> tuple[float, deque[_Kept]]:
    """Return when the labels were cleared last, and the answers in the record since then."""
    record, cleared = read_record(dataset.folder, cancel), 0.0
    found: deque[_Kept] = deque(maxlen=MOST_ANSWERS + 1)
    n_damaged = 0
    try:
        for entry, spots in record.taught("part", "answers", "cleared"):
            if isinstance(entry, ClearedEntry) and entry.method != "flow":
                cleared = entry.when
                found.clear()
            elif isinstance(entry, AnswersEntry):
                right = [_Kept(entry, spot) for spot in spots if isinstance(spot, Spot) and spot.tag in _MEANINGS]
                n_damaged += len(spots) - len(right)
                found.extend(right)
    except NotFoundError:
        return 0.0, found
    if n_damaged:
        logger.warning("%d answers of %s are damaged: they are left out", n_damaged, dataset.name)
    for sentence in record.damage:
        logger.warning("%s: %s", dataset.name, sentence)
    return cleared, found


def _last(answers: Sequence[tuple[int, Answer | _Kept]]) -> Iterator[tuple[int, Answer | _Kept]]:
    """Yield the answers of a timepoint to which no later one is so near that it is to the same place."""
    spots = [one.spot() if isinstance(one, Answer) else one.spot for _, one in answers]
    pos = np.array([spot.pos for spot in spots])
    reach = _SAME * np.sqrt([max(*np.diagonal(spot.covariance), 0.0) for spot in spots])
    for one, is_past in zip(answers, _superseded(pos, reach), strict=True):
        if not is_past:
            yield one


def _superseded(pos: FloatArray, reach: FloatArray) -> NDArray[np.bool_]:
    """Return which positions, (N, 3), have a later one within their reach, (N,)."""
    n = len(pos)
    if n <= _FEW:
        later: NDArray[np.bool_] = np.triu(scipy.spatial.distance.cdist(pos, pos) <= reach[:, None], 1).any(axis=1)
        return later
    half = n // 2
    apart, _ = scipy.spatial.cKDTree(pos[half:]).query(pos[:half])
    earlier = _superseded(pos[:half], reach[:half]) | (apart <= reach[:half])
    return np.concatenate([earlier, _superseded(pos[half:], reach[half:])])


class _Cleared(BaseModel):
    """A line of an old file that says when all labels were cleared."""

    cleared: float


_LINE: TypeAdapter[Answer | _Cleared] = TypeAdapter(Answer | _Cleared)


def _old(dataset: Dataset) -> list[Answer]:
    """Return the answers that an earlier version kept in a file of their own."""
    found: list[Answer] = []
    n_damaged = 0
    for line in _old_lines(dataset):
        try:
            read = _LINE.validate_json(line)
            if isinstance(read, Answer):
                read.spot()
                found.append(read)
            else:
                found.clear()
        except ValueError:
            n_damaged += bool(line.strip())
    if n_damaged:
        logger.warning("%d lines of %s of %s are damaged: they are left out", n_damaged, OLD_FILE, dataset.name)
    return found


def _old_lines(dataset: Dataset) -> Iterator[bytes]:
    try:
        with (dataset.folder / OLD_FILE).open("rb") as file:
            n_lines = 0
            while line := file.readline(_LONGEST_LINE):
                n_lines += 1
                if n_lines > MOST_ANSWERS:
                    logger.warning("%s of %s is too long: the rest is not read", OLD_FILE, dataset.name)
                    return
                yield line
    except FileNotFoundError:
        return
