"""Whether the movie of a dataset is still the one that the dataset was made from."""

from functools import lru_cache
from pathlib import Path

from elephant.dataset.readers import BIGDATAVIEWER, reader_of_movie
from elephant.dataset.readers.file_patterns import is_pattern
from elephant.dataset.source import METHOD, DatasetSource, FileStamp, stamp_of
from elephant.errors import ElephantError
from elephant.io.addresses import address_of, shown
from elephant.progress import NeverCancelled

ANEW = "generate the dataset again, which clears its labels and predictions"
_VERDICTS_KEPT = 128

Stamps = tuple[FileStamp | None, ...]


def stamps_now(folder: Path, source: DatasetSource) -> Stamps:
    """Return the present stamps of the files of a dataset's movie; None for each that is missing."""
    beside = source.movie_path(folder).parent
    return tuple(stamp_of(beside, stamp.name) for stamp in source.files)


def describe_replacement(folder: Path, source: DatasetSource) -> str:
    """Return a sentence if the movie that a dataset was copied from is another one now, otherwise an empty string.

    A movie that was deleted, touched or copied is no change. Other machines are not asked: the copy is complete, and
    they may take long to answer, or not be there.
    """
    if address_of(source.movie_path(folder)) is not None:
        return ""
    known, found = source.fingerprint, stamps_now(folder, source)
    if known is None or known.method != METHOD or None in found or found == known.files:
        return ""
    digest, trouble = _look_at(source.movie_path(folder), source.reader, source.setups, found)
    if digest == known.digest:
        return ""
    since = f"the movie {source.movie} has changed since this dataset was made from it"
    if trouble:
        return f"{since}, and cannot be read now ({trouble}): restore it, then {ANEW}"
    return f"{since}: {ANEW}"


def describe_loss(folder: Path, source: DatasetSource) -> str:
    """Return a sentence if a dataset cannot read its images from its movie any more, otherwise an empty string.

    A movie that was touched, or repacked in the same place, is still the same.
    """
    path, known = source.movie_path(folder), source.fingerprint
    try:
        found = stamps_now(folder, source)
    except ElephantError as error:  # of another machine
        return f"the dataset {folder.name} reads its images from a movie that cannot be read now: {error}"
    is_no_path = address_of(path) is not None or is_pattern(path.name)
    if None in found if is_no_path else not path.exists():
        return (
            f"the movie {shown(path)} is gone, and the dataset {folder.name} reads its images from there: put it back, "
            f"or, if it was moved, give its new place with `elephant add NEW_PLACE {folder}`, which keeps the "
            "labels"
        )
    if known is None or found == known.files:
        return ""
    digest, trouble = _look_at(path, source.reader, source.setups, found)
    if digest == known.digest and known.method == METHOD:
        return ""
    why = f" and cannot be read now ({trouble})" if trouble else ""
    return (
        f"the movie {shown(path)} has changed since it was added as the dataset {folder.name}{why}, which reads its "
        "images from there: restore it, or add it again with --overwrite, which clears labels and predictions"
    )


@lru_cache(_VERDICTS_KEPT)
def _look_at(
    path: Path,
    reader: str | None,
    setups: tuple[int | None, ...],
    stamps: Stamps,  # noqa: ARG001
) -> tuple[str, str]:
    """Return the digest of a movie with these stamps, or why it cannot be read."""
    try:
        installed = BIGDATAVIEWER if reader is None else reader_of_movie(path, reader)
        return installed.digest(path, setups, NeverCancelled()), ""
    except ElephantError as error:
        return "", str(error)
