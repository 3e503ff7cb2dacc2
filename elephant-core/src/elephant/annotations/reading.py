"""Recognising the format of a file of annotations, by its content and name, and reading it."""

import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from shutil import copyfileobj

from elephant.annotations.base import HEAD_BYTES, AnnotationReader, MovieFacts
from elephant.annotations.records import SpotRecord
from elephant.config import AnnotationParams
from elephant.errors import InvalidInputError, NotFoundError, PluginError
from elephant.memory import collecting_later
from elephant.plugins import Plugin, installed_classes, installed_names
from elephant.progress import CancelToken, NeverCancelled

KIND = "annotation"
STANDARD_INPUT = "-"

# By how files of other kinds begin.
_OTHERS = {
    b"PK\x03\x04": "an archive, such as a workbook of Excel or a project of Mastodon; save its spots as a table",
    b"\x89HDF": "an HDF5 file, such as a movie",
    b"\x1f\x8b": "compressed (gzip); unpack it",
    b"%PDF": "a PDF",
    b"\x89PNG": "a PNG image",
}


def read_annotations(
    path: Path,
    params: AnnotationParams | None = None,
    movie: MovieFacts | None = None,
    cancel: CancelToken | None = None,
) -> list[SpotRecord]:
    """Read annotations or tracks in any format for which a reader is installed.

    Parameters
    ----------
    path
        A file, a folder, or ``-`` for standard input.
    params
        What the person says about it.
    movie
        What is known of the movie that it belongs to.
    cancel
        Asked now and then.

    Returns
    -------
    list of SpotRecord
        In the order of the file; physical, X, Y, Z.

    Raises
    ------
    NotFoundError
        Nothing is there.
    InvalidInputError
        It is of another kind, lacks something, or a spot is wrong; the message says which.
    """
    params, movie, cancel = params or AnnotationParams(), movie or MovieFacts(), cancel or NeverCancelled()
    with _in_a_file(path) as place:
        plugin, kind = _reader_of(place, params.spots_format)
        with plugin.blamed(), collecting_later():
            return list(kind().read(place, params, movie, cancel))


@contextmanager
def _in_a_file(path: Path) -> Iterator[Path]:
    """Yield the path, or a temporary file with what comes from standard input or a pipe, which is read only once."""
    is_stdin = str(path) == STANDARD_INPUT
    if not is_stdin and not path.is_fifo() and not path.is_char_device():
        yield path
        return
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / ("standard input" if is_stdin else path.name)
        with place.open("wb") as file, nullcontext(sys.stdin.buffer) if is_stdin else path.open("rb") as source:
            copyfileobj(source, file)
        yield place


def _reader_of(path: Path, name: str | None) -> tuple[Plugin, type[AnnotationReader]]:
    """Return the reader of that name, or else the one that claims the file."""
    head = _head(path)
    found, broken = installed_classes(KIND, AnnotationReader, name)  # type: ignore[type-abstract]
    if broken and name is not None:
        raise broken[0]
    if name is not None and not found:
        raise InvalidInputError(
            f"expected a format that is installed ({', '.join(_names())}), got {name}: check the name, or install its "
            "package"
        )
    if name is None:
        found = [(plugin, kind) for plugin, kind in found if _is_claimed(plugin, kind, path, head)]
    if len(found) > 1:
        titles = " and ".join(plugin.title for plugin, _ in found)
        raise InvalidInputError(f"{titles} both read {path.name}: say with `spots_format` which of them should")
    if found:
        return found[0]
    raise _unknown(path, head, broken)


def _is_claimed(plugin: Plugin, kind: type[AnnotationReader], path: Path, head: bytes) -> bool:
    with plugin.blamed():
        return kind.claims(path, head)


def _head(path: Path) -> bytes:
    try:
        if path.is_dir():
            return b""
        with path.open("rb") as file:
            return file.read(HEAD_BYTES)
    except FileNotFoundError:
        raise NotFoundError(f"there is no file of spots at {path}: check the path") from None


def _unknown(path: Path, head: bytes, broken: Sequence[PluginError]) -> InvalidInputError:
    more = f" ({'; '.join(map(str, broken))})" if broken else ""
    known = f"expected a table (.csv), JSON, or another format that is installed ({', '.join(_names())}){more}"
    if path.is_dir():
        return InvalidInputError(f"{path} is a folder: expected a file of spots: {known}")
    for beginning, words in _OTHERS.items():
        if head.lstrip().startswith(beginning):
            return InvalidInputError(f"{path.name} is {words}: {known}")
    if head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
        return InvalidInputError(f"{path.name} is XML, but not TrackMate's; export its spots as a table: {known}")
    return InvalidInputError(f"{path.name} is neither text nor of a format that is known: {known}")


def _names() -> list[str]:
    return installed_names(KIND, "table")
