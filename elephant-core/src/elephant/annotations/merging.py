"""Spots of several files as if they were one."""

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from elephant.annotations.base import MovieFacts
from elephant.annotations.reading import read_annotations
from elephant.annotations.records import SpotRecord
from elephant.config import AnnotationParams
from elephant.progress import CancelToken, NeverCancelled
from elephant.words import counted

logger = logging.getLogger(__name__)


def read_all(
    paths: Sequence[Path],
    params: AnnotationParams | None = None,
    movie: MovieFacts | None = None,
    cancel: CancelToken | None = None,
) -> list[SpotRecord]:
    """Read the spots of all files, in the order given.

    Each spot counts once, also where several files hold it. Ids that an earlier file has too are given anew, with
    the parents that refer to them, and so are numbers of tracks that cannot mean the same track. A parent that is not
    in its own file may be in an earlier one. In 3D, a warning says where no spot has a ``z``.

    Parameters
    ----------
    paths
        The files, or folders.
    params, movie, cancel
        As for :func:`.read_annotations`.

    Raises
    ------
    NotFoundError, InvalidInputError
        As for :func:`.read_annotations`.
    """
    params, movie = params or AnnotationParams(), movie or MovieFacts()
    joined: list[SpotRecord] = []
    for path in paths:
        part = read_annotations(path, params, movie, cancel or NeverCancelled())
        if movie.n_dims == 3 and len(part) > 1 and not any(record.pos[2] for record in part):
            logger.warning("%s: z is 0 for all spots, but the dataset is 3D: is the column z missing?", path.name)
        joined += fitted(part, joined, path.name) if joined else part
    return joined


def fitted(part: Sequence[SpotRecord], before: Sequence[SpotRecord], name: str) -> list[SpotRecord]:
    """Return the spots of a file as they fit to those of the files before.

    Parameters
    ----------
    name
        Of the file, for warnings about what was left out or numbered anew.
    """
    known = {_key(record): record for record in before}
    twins = {r.id: known[_key(r)].id for r in part if r.id is not None and _key(r) in known}
    new = [record for record in part if _key(record) not in known]
    if len(new) < len(part):
        logger.warning(
            "%s: %s ignored, since earlier files contain them (same timepoint, position and covariance)",
            name,
            counted(len(part) - len(new), "spot"),
        )
    own = {record.id for record in new if record.id is not None}
    nameless = {i for i, earlier in twins.items() if earlier is None} - own
    if n := sum(record.parent in nameless for record in new):
        logger.warning(
            "%s: %s left out, since the parents are in earlier files that give them no id: name this file first",
            name,
            counted(n, "link"),
        )
    used = {record.id for record in before if record.id is not None}
    collide = own & used
    shift = _shift(own, used) if collide else 0
    if collide:
        logger.warning(
            "%s: %s also in earlier files: replaced by %d to %d, together with the parents that refer to them",
            name,
            f"{counted(len(collide), 'id')} {'is' if len(collide) == 1 else 'are'}",
            min(own) + shift,
            max(own) + shift,
        )

    def renamed(old: int | None) -> int | None:
        if old is None:
            return None
        return old + shift if old in own else twins.get(old, old)

    track = _numbers("track", new, before, name, apart=bool(collide))
    value = _numbers("value", new, before, name, apart=bool(collide))
    return [
        replace(r, id=renamed(r.id), parent=renamed(r.parent), track=track(r.track), value=value(r.value)) for r in new
    ]


def _numbers(
    field: str, new: Iterable[SpotRecord], before: Iterable[SpotRecord], name: str, *, apart: bool
) -> Callable[[int | None], int | None]:
    """Return the new numbers of the tracks, or values, of a file.

    Parameters
    ----------
    apart
        Whether the files were numbered without knowledge of one another, as their ids say.
    """
    here, there = _at(field, new), _at(field, before)
    own, used = {number for _, number in here}, {number for _, number in there}
    shared = own & used
    if not shared:
        return lambda number: number
    if not apart and not here & there:
        logger.warning("%s: %s also in earlier files: treated as the same tracks", name, counted(len(shared), field))
        return lambda number: number
    shift = _shift(own, used)
    logger.warning(
        "%s: %s used for other nuclei in earlier files: replaced by %d to %d",
        name,
        f"{counted(len(shared), field)} {'is' if len(shared) == 1 else 'are'}",
        min(own) + shift,
        max(own) + shift,
    )
    return lambda number: None if number is None else number + shift if number in own else number


def _at(field: str, records: Iterable[SpotRecord]) -> set[tuple[int, int]]:
    """Return timepoints and numbers; negative ones stand for none."""
    found = ((record.t, getattr(record, field)) for record in records)
    return {(t, number) for t, number in found if number is not None and number >= 0}


def _shift(own: Iterable[int], used: Iterable[int]) -> int:
    return max(used) + 1 - min(own)


def _key(record: SpotRecord) -> tuple[Any, ...]:
    # A link that the server is sent is another thing than its spot.
    return record.t, record.pos, record.covariance, record.displacement
